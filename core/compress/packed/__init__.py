"""The parts of a packed file: its layout, its entropy coding, and where its bytes go."""

from pathlib import Path

READER = Path(__file__).with_name("secateur_reader.py")
"""The script that reads a packed file into numpy arrays, without PyTorch and without this code."""
