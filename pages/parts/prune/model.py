"""Describes the model to prune."""

from core.runs.run import Run
from pages.parts.shared.cache import quantized_file
from pages.parts.shared.words import kept, plain


def describe_parent(run: Run) -> str:
    """Say what the model is, and what pruning does to quantized weights. Raises UserError."""
    text = f"{run.model} on {plain(run.dataset)}, {kept(run.density)}."
    if quantized_file(run) is not None:
        text += (
            " It is quantized already, but pruning keeps the weights in float. Prune the network"
            " from before, then quantize."
        )
    return text
