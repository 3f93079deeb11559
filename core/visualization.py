"""Draws networks in a notebook: their kernels, their weights against another's, their activations.

    VisualizeNetwork().display_activations(model, images)

Every method returns matplotlib figures, which only the caller holds, and displays them once where
IPython runs.
"""

import sys
import warnings
from collections.abc import Iterable
from functools import partial

import numpy as np
from matplotlib.figure import Figure
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

from core.charts.mosaic_figure import draw_mosaic_figure, encode_figure
from core.errors import UserError
from core.inspect.activations.captured import capture_with_logits, warn_about_left_out
from core.inspect.activations.statistics import channel_statistics
from core.inspect.colour_scale import ColourScale
from core.inspect.kernels.views import KernelMaps, kernel_maps, shared_scale
from core.inspect.mosaic import make_mosaic
from core.inspect.weights.histogram import value_frequencies
from core.models.parameters import prunable_weights

_INPUT_TILE = 256  # pixels that a small input image is enlarged to


class VisualizeNetwork:
    """Draws networks on any device, and leaves them unchanged.

    channels: the number of heat maps that a figure holds at most. The first channels are drawn, and
        the figure's title says so.
    show: whether to display the figures where IPython runs. They are returned either way.
    """

    def __init__(self, channels: int = 256, show: bool = True):
        if channels < 1:
            raise UserError(f"channels must be at least 1, got {channels}")
        self.channels = channels
        self.show = show

    def display_kernel(self, model: nn.Module, layers: Iterable[str] | None = None) -> list[Figure]:
        """Draw a figure for each convolution: a heat map for each of its output channels.

        A heat map is the kernel averaged over the input channels. A layer of 1x1 kernels is drawn
        as one matrix, output channels by input channels. `layers` selects weights by their names,
        such as "features.0.weight". Raises UserError for an unknown name. Warns about convolutions
        of one or three dimensions and transposed ones, which have no figure.
        """
        weights = {
            name: weight for name, weight in prunable_weights(model).items() if weight.ndim == 4
        }
        names = list(weights) if layers is None else list(layers)
        _check_names(names, weights)
        if layers is None:
            _warn_about_other_convolutions(model)
        return self._displayed([self._draw_kernels(name, weights[name]) for name in names])

    def display_scatter_plot(self, initial_net: nn.Module, post_process_net: nn.Module) -> Figure:
        """Draw how often each weight value occurs: the first network blue, the second orange.

        All weights of convolutions and linear layers are counted. A network with at most 1,000
        distinct weights has a point for each of them. With more, its weights are counted in 1,000
        bins between the extremes of both networks, and there is a point in the middle of each bin
        that is not empty. Raises UserError for a network without finite weights.
        """
        initial = _finite_weights(initial_net)
        processed = _finite_weights(post_process_net)
        span = (min(initial.min(), processed.min()), max(initial.max(), processed.max()))
        figure = Figure(figsize=(9, 5), layout="constrained")
        axes = figure.subplots()
        for name, values, colour in (
            ("initial", initial, "tab:blue"),
            ("processed", processed, "tab:orange"),
        ):
            points, counts, counting = value_frequencies(values, span)
            label = f"{name}: {values.size:,} weights, {counting}"
            axes.scatter(points, counts, s=9, color=colour, alpha=0.7, label=label)
        axes.set(xlabel="weight value", ylabel="frequency (weights)", title="Weight distribution")
        axes.set_yscale("log")
        axes.legend()
        self._displayed([figure])
        return figure

    def display_activations(
        self, model: nn.Module, x: Tensor, layers: Iterable[str] | None = None
    ) -> list[Figure]:
        """Draw the first image of the batch, and then a figure for each activation function.

        The first figure is the input image: in colour if it has three channels, else in grey. Its
        values are scaled to the range that can be displayed, and its title gives their range. The
        other figures are in the order of the calls, with a heat map for each channel.

        x: (N, C, H, W) images as the network takes them, normalised floats.
        layers: the keys of the calls to draw, such as "features.1".

        The title of a figure names the call and its kind, such as "Hardswish" or "clamp". Raises
        UserError for another `x` and for an unknown layer. Warns about modules whose calls cannot
        be observed.
        """
        # Other shapes are passed on as they are: the error then names the shape of x itself.
        image = x[:1] if x.ndim == 4 else x
        captured = capture_with_logits(model, image, layers)
        warn_about_left_out(captured.left_out)
        figures = [_draw_input(image[0].detach().float().cpu().numpy())]
        for key, output in captured.activations.items():
            dead = channel_statistics(output, captured.axes[key]).dead
            title = f"{key}: {captured.kinds[key]}"
            figures.append(self._draw_activation(title, captured.maps(key), dead.cpu().numpy()))
        return self._displayed(figures)

    def _draw_kernels(self, name: str, weight: Tensor) -> Figure:
        kernels = kernel_maps(weight)
        outputs, inputs, height, width = weight.shape
        size = f"{height}×{width}"
        if kernels.view == "matrix":
            title = f"{name}: {outputs} × {inputs} kernels of {size}, inputs to the right"
            return _draw_matrix(kernels, title)
        title = f"{name}: {outputs} kernels of {size}, averaged over {inputs} input channels"
        mosaic = kernels.mosaic(shared_scale(kernels), order=self._first_channels(outputs))
        return draw_mosaic_figure([mosaic], [self._limit(outputs)], "mean weight", title)

    def _draw_activation(self, name: str, maps: np.ndarray, dead: np.ndarray) -> Figure:
        channels = len(maps)
        scale = ColourScale.sequential(maps)
        mosaic = make_mosaic(maps, scale, self._first_channels(channels), dead)
        title = f"{name}, {channels} channels, {dead.sum()} dead"
        return draw_mosaic_figure([mosaic], [self._limit(channels)], "activation", title)

    def _first_channels(self, count: int) -> range:
        return range(min(count, self.channels))

    def _limit(self, count: int) -> str:
        """Say how many of the channels are drawn, if not all of them are."""
        return f"the first {self.channels} channels" if count > self.channels else ""

    def _displayed(self, figures: list[Figure]) -> list[Figure]:
        """Display the figures if IPython runs, and return them.

        They are displayed as images, because IPython displays a Figure itself only if pyplot is set
        up.
        """
        ipython = sys.modules.get("IPython")
        shell = ipython.get_ipython() if ipython else None
        if not self.show or shell is None:
            return figures
        for figure in figures:
            _display(figure)
            display_later = partial(_display_later, figure, shell.execution_count)
            figure._ipython_display_ = display_later  # type: ignore[attr-defined]  # for IPython
        return _DisplayedFigures(figures)


class _DisplayedFigures(list[Figure]):
    """Figures that were displayed. The cell that made them does not display them again.

    Without this class it would, if they are the value of its last line.
    """

    def _ipython_display_(self) -> None:
        for figure in self:
            figure._ipython_display_()  # type: ignore[attr-defined]  # set by VisualizeNetwork


def _display(figure: Figure) -> None:
    from IPython.display import Image, display

    display(Image(encode_figure(figure, dpi=80)))


def _display_later(figure: Figure, made_in_cell: int) -> None:
    """Display the figure, unless the running cell is the one that made it."""
    from IPython import get_ipython

    if get_ipython().execution_count != made_in_cell:
        _display(figure)


def _draw_input(image: np.ndarray) -> Figure:
    """Draw an image (C, H, W): three channels as red, green and blue, others in grey."""
    channels, height, width = image.shape
    finite = image[np.isfinite(image)]
    low = float(finite.min()) if finite.size else 0.0
    high = float(finite.max()) if finite.size else 0.0
    scale = ColourScale(low, high if high > low else low + 1, "gray")
    maps = image.transpose(1, 2, 0)[None] if channels == 3 else image
    mosaic = make_mosaic(maps, scale, gap=0 if len(maps) == 1 else 1, tile=_INPUT_TILE)
    size = f"{channels} × {height} × {width}"
    title = f"input: {size}, values from {low:.3g} to {high:.3g} scaled for display"
    return draw_mosaic_figure([mosaic], [""], "pixel value", title)


def _draw_matrix(kernels: KernelMaps, title: str) -> Figure:
    rows, columns = kernels.averaged
    if (rows, columns) != (1, 1):
        title += f", averaged {rows} × {columns}"
    return draw_mosaic_figure([kernels.mosaic(shared_scale(kernels))], [""], "weight", title)


def _finite_weights(model: nn.Module) -> np.ndarray:
    """Return all finite prunable weights, float32. Raises UserError if there are none."""
    weights = [
        weight.detach().float().cpu().numpy().ravel() for weight in prunable_weights(model).values()
    ]
    values = np.concatenate(weights) if weights else np.empty(0, np.float32)
    values = values[np.isfinite(values)]
    if not values.size:
        raise UserError("the network must have finite weights in a Conv2d or Linear, got none")
    return values


def _warn_about_other_convolutions(model: nn.Module) -> None:
    """Warn in one sentence about the convolutions that are no Conv2d, if there are any."""
    others = [
        f"{name} ({type(module).__name__})"
        for name, module in model.named_modules()
        if isinstance(module, _ConvNd) and not isinstance(module, nn.Conv2d)
    ]
    if others:
        warnings.warn(f"Left out, because it is no Conv2d: {', '.join(others)}.", stacklevel=3)


def _check_names(names: Iterable[str], weights: dict[str, nn.Parameter]) -> None:
    """Raise UserError if a name is not one of the weights."""
    for name in names:
        if name not in weights:
            examples = ", ".join(list(weights)[:3]) or "none, for there is no such layer"
            raise UserError(f"layers must be weights of convolutions ({examples}), got {name!r}")
