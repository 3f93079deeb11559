"""Networks as files that other programs run: ONNX, 8-bit integers, and checks of what was saved."""
