"""The notebook API of the original: a network's kernels, its weights against another's, and its activations.

    VisualizeNetwork().display_activations(model, images)

Every method returns matplotlib figures that belong to the caller alone, and shows them once where IPython runs.
"""

import sys
from collections.abc import Iterable
from functools import partial

import numpy as np
from matplotlib.figure import Figure
from torch import Tensor, nn

from core.charts.mosaics import encoded, figure
from core.errors import UserError
from core.inspect.activations import ACTIVATIONS, RELUS, run
from core.inspect.channels import statistics
from core.inspect.distributions import frequencies
from core.inspect.kernels import kernel_images, scale_of
from core.inspect.mosaic import Scale, mosaic
from core.models.parameters import prunable


class VisualizeNetwork:
    """Draws networks on any device, and leaves them as they were.

    `channels` limits how many heat maps a figure holds: the first ones are taken, and the title says so.
    `show=False` only returns the figures.
    """

    def __init__(self, channels: int = 256, show: bool = True):
        if channels < 1:
            raise UserError(f"channels must be at least 1, got {channels}")
        self.channels, self.show = channels, show

    def display_kernel(self, model: nn.Module, layers: Iterable[str] | None = None) -> list[Figure]:
        """A figure for each convolution: one heat map an output channel, averaged over the input channels.

        1x1 kernels have no shape to show: their layer is drawn as one matrix, output channels by input channels.
        `layers` takes only the weights of these names ("features.0.weight"). Raises UserError for an unknown one.
        """
        weights = {name: weight for name, weight in prunable(model).items() if weight.ndim == 4}
        return self._shown([self._kernels(name, weights[name]) for name in _chosen(weights, layers)])

    def display_scatter_plot(self, initial_net: nn.Module, post_process_net: nn.Module) -> Figure:
        """Frequency against value of all convolution and linear weights: the first network blue, the second orange.

        A network of up to 1,000 different weights is drawn exactly, a point each. One of more is counted in 1,000
        bins between the extremes of both, a point in the middle of each bin that is not empty.
        """
        networks = [_weights(net) for net in (initial_net, post_process_net)]
        span = (min(values.min() for values in networks), max(values.max() for values in networks))
        drawn = Figure(figsize=(9, 5), layout="constrained")
        axes = drawn.subplots()
        for values, colour, name in zip(networks, ("tab:blue", "tab:orange"), ("initial", "processed"), strict=True):
            points, counts, how = frequencies(values, span)
            axes.scatter(points, counts, s=9, color=colour, alpha=0.7, label=f"{name}: {values.size:,} weights, {how}")
        axes.set(xlabel="weight value", ylabel="frequency (weights)", yscale="log", title="Weight distribution")
        axes.legend()
        return self._shown([drawn])[0]

    def display_activations(self, model: nn.Module, x: Tensor, layers: Iterable[str] | None = None) -> list[Figure]:
        """A figure for each ReLU call, in call order: one heat map a channel, for the first image of the batch.

        `x` (N, C, H, W) are images as the network takes them, normalised floats. A network that calls no ReLU at
        all is drawn with its other activation functions. Raises UserError for another `x` and for an unknown layer.
        """
        image = x[:1] if x.ndim == 4 else x  # which is refused, with its own shape
        kinds = RELUS if run(model, image, layers=()).shapes else ACTIVATIONS
        captured = run(model, image, layers, kinds)
        return self._shown([self._activation(key, captured.maps(key), statistics(output, captured.axes[key]).dead)
                            for key, output in captured.activations.items()])

    def _kernels(self, name: str, weight: Tensor) -> Figure:
        kernels = kernel_images(weight)
        size = "×".join(map(str, weight.shape[2:]))
        if kernels.view == "matrix":
            title = f"{name}: {weight.shape[0]} × {weight.shape[1]} kernels of {size}, inputs to the right"
            title += "" if kernels.averaged == (1, 1) else f", averaged {kernels.averaged[0]} × {kernels.averaged[1]}"
            return figure([kernels.picture(scale_of(kernels))], [""], "weight", title)
        title = f"{name}: {weight.shape[0]} kernels of {size}, averaged over {weight.shape[1]} input channels"
        picture = kernels.picture(scale_of(kernels), order=range(min(len(kernels.maps), self.channels)))
        return figure([picture], [self._limit(len(kernels.maps))], "mean weight", title)

    def _activation(self, key: str, maps: np.ndarray, dead: Tensor) -> Figure:
        picture = mosaic(maps, Scale.sequential(maps), range(min(len(maps), self.channels)), dead.cpu().numpy())
        title = f"{key}: {len(maps)} channels, {int(dead.sum())} dead"
        return figure([picture], [self._limit(len(maps))], "activation", title)

    def _limit(self, count: int) -> str:
        return f"the first {self.channels} channels" if count > self.channels else ""

    def _shown(self, figures: list[Figure]) -> list[Figure]:
        """The figures, displayed if IPython runs: as pictures, for a Figure shows itself only with pyplot set up."""
        ipython = sys.modules.get("IPython")
        shell = ipython and ipython.get_ipython()
        if not (self.show and shell):
            return figures
        for drawn in figures:
            _display(drawn)
            drawn._ipython_display_ = partial(_display_later, drawn, shell.execution_count)
        return _Displayed(figures)


class _Displayed(list):
    """Figures that were shown: as the last value of the cell that made them they are not shown again."""

    def _ipython_display_(self) -> None:
        for drawn in self:
            drawn._ipython_display_()


def _display(drawn: Figure) -> None:
    from IPython.display import Image, display
    display(Image(encoded(drawn, dpi=80)))


def _display_later(drawn: Figure, cell: int) -> None:
    """Show the figure in every cell but the one of this number, which made it."""
    from IPython import get_ipython
    if get_ipython().execution_count != cell:
        _display(drawn)


def _weights(model: nn.Module) -> np.ndarray:
    """All the finite prunable weights in one float32 array."""
    weights = [weight.detach().float().cpu().numpy().ravel() for weight in prunable(model).values()]
    values = np.concatenate(weights) if weights else np.empty(0, np.float32)
    values = values[np.isfinite(values)]
    if not values.size:
        raise UserError("the network must have finite weights in a Conv2d or Linear, got none")
    return values


def _chosen(weights: dict[str, Tensor], layers: Iterable[str] | None) -> list[str]:
    chosen = list(weights if layers is None else layers)
    if unknown := [name for name in chosen if name not in weights]:
        known = ", ".join(list(weights)[:3]) or "none, for there is no such layer"
        raise UserError(f"layers must be weights of convolutions ({known}), got {unknown[0]!r}")
    return chosen
