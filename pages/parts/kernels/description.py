"""The picture of a weight in words."""

from pages.parts.kernels.cached import KernelImage
from pages.parts.shared.words import part, span


def describe_kernel_image(model: str, layer: str, image: KernelImage) -> str:
    """Return a sentence for people who cannot see the picture."""
    statistics = image.statistics
    content = "a matrix" if image.view == "matrix" else f"{image.tiles} kernels"
    zeros = statistics.zeros / statistics.weights
    return (
        f"{layer} of {model}: {content} ({image.label}) of shape {statistics.size}, weights from"
        f" {span(statistics.low, statistics.high)}, {part(zeros)} of them zero."
    )
