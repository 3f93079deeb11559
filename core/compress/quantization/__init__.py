"""The parts of quantization: which weights, which scale and zero point, and what a recipe says."""
