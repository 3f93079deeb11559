"""ONNX: the export, the engine that runs it, and its quantization to 8-bit integers."""
