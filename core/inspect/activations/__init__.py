"""Captures the output of every activation function, and compares networks by it."""

from core.inspect.activations.captured import CapturedActivations, capture, capture_with_logits
from core.inspect.activations.kinds import ACTIVATIONS, RELUS

__all__ = ["ACTIVATIONS", "RELUS", "CapturedActivations", "capture", "capture_with_logits"]
