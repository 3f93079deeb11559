"""Offers the two classes of the original project under the name that its text imports them by.

    from quantization import QuantizeNetwork, VisualizeNetwork

The original's text imports both from there: a notebook in this folder runs that text as it stands.
"""

from core.quantization import QuantizeNetwork
from core.visualization import VisualizeNetwork

__all__ = ["QuantizeNetwork", "VisualizeNetwork"]
