"""Makes the Grad-CAM maps of networks that are compared on one picture (see `gradcam`)."""

from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn

from core.data.batches import normalise
from core.inspect.activations.forward import one_at_a_time
from core.inspect.behaviour.gradcam import grad_cam, grad_cam_layers
from core.models.card import ModelCard
from core.models.state import preserve_state

MapSize = tuple[int, int]
"""Height and width of a convolution's output."""


def mappable_layers(model: nn.Module, side: int) -> dict[str, MapSize]:
    """Return the convolutions that Grad-CAM can draw, with the size of their output, in order.

    side: height and width of the network's images. Left out are convolutions that do not run or run
    several times for an image, whose output is a single place, as in squeeze-and-excitation, and
    whose output has other things than images on its first axis.
    """
    shapes: dict[str, torch.Size] = {}
    calls: Counter[str] = Counter()

    def note(name: str, module: nn.Module, args: tuple, output: Tensor) -> None:
        shapes[name] = output.shape
        calls[name] += 1

    _run_with_hooks(model, side, note)
    return {
        name: (shapes[name][2], shapes[name][3])
        for name in grad_cam_layers(model)
        if calls[name] == 1 and _is_map_of_one_image(shapes[name])
    }


def class_map(
    model: nn.Module, image: np.ndarray, card: ModelCard, layer: str, class_index: int
) -> np.ndarray:
    """Return the Grad-CAM map of a class for a uint8 image (3, side, side), as (side, side) floats.

    Raises UserError like `grad_cam`. The model is left unchanged, and other threads wait.
    """
    batch = normalise(image[None], card.mean, card.std)
    with one_at_a_time:
        return grad_cam(model, layer, batch, class_index).float().numpy()


def map_differences(maps: Sequence[np.ndarray | None]) -> list[np.ndarray | None]:
    """Return every map but the first minus the first, None where one of the two is missing.

    maps: (side, side) each. If the sides differ, the smaller map is enlarged bilinearly.
    """
    first, *others = maps
    return [None if first is None or other is None else _subtract(other, first) for other in others]


def _subtract(map_: np.ndarray, other: np.ndarray) -> np.ndarray:
    side = max(len(map_), len(other))
    difference: np.ndarray = _resized(map_, side) - _resized(other, side)
    return difference


def _resized(map_: np.ndarray, side: int) -> np.ndarray:
    if len(map_) == side:
        return map_
    batch = torch.from_numpy(map_)[None, None]
    resized: np.ndarray = nn.functional.interpolate(batch, (side, side), mode="bilinear").numpy()
    return resized[0, 0]


def _run_with_hooks(model: nn.Module, side: int, hook: Callable[..., None]) -> None:
    """Run the model on a black image, and call `hook` with the name of each convolution first."""
    modules = dict(model.named_modules())
    with one_at_a_time, preserve_state(model), torch.no_grad(), ExitStack() as hooks:
        for name in grad_cam_layers(model):
            hooks.callback(modules[name].register_forward_hook(partial(hook, name)).remove)
        model.eval()
        model(torch.zeros(1, 3, side, side))


def _is_map_of_one_image(shape: torch.Size) -> bool:
    return len(shape) == 4 and shape[0] == 1 and shape[2] * shape[3] > 1
