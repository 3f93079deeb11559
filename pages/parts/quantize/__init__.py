"""Parts of the Quantize page."""
