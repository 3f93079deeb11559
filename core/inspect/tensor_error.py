"""Measures how much of each layer's output a compressed network loses, to find where it arises.

The signal-to-noise ratio of an output counts the layer's own error and what it inherits from the
layers before it. Where it falls most, an error arises.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from core.compress.distortion import snr
from core.errors import UserError
from core.inspect.behaviour.similarity import comparable_layers
from core.models.parameters import prunable_weights
from core.models.state import preserve_state


@dataclass(frozen=True)
class TensorError:
    """The error of one layer's output in another version of the network, on the same images.

    snr: signal-to-noise ratio in decibels, infinite if both outputs are equal. fall: by how many
    decibels it is lower than at the layer before; None for the first layer and beside an infinite
    one.
    """

    layer: str
    snr: float
    fall: float | None


def tensor_errors(
    reference: Mapping[str, Tensor], approximation: Mapping[str, Tensor]
) -> list[TensorError]:
    """Return the error of each layer's output, in the order of the reference.

    reference, approximation: outputs of the same images by layer. Layers that only one of them has,
    or in another shape, are left out. Raises UserError if no layer is left.
    """
    layers = comparable_layers(reference, approximation)
    if not layers:
        raise UserError(
            "The two networks have no layer of the same name and shape: choose two versions of one"
            " network."
        )
    ratios = [snr(reference[layer], approximation[layer]) for layer in layers]
    falls = [None, *(_fall(*pair) for pair in pairwise(ratios))]
    return [
        TensorError(layer, ratio, fall)
        for layer, ratio, fall in zip(layers, ratios, falls, strict=True)
    ]


def network_errors(
    reference: nn.Module, approximation: nn.Module, images: Tensor
) -> list[TensorError]:
    """Return the error of each layer's output in another version of a network.

    images: normalised floats (N, C, H, W), on the device of both networks, which are left
    unchanged. Raises UserError if they have no layer in common.
    """
    return tensor_errors(capture_layers(reference, images), capture_layers(approximation, images))


def capture_layers(model: nn.Module, images: Tensor) -> dict[str, Tensor]:
    """Return the output of every convolution and linear layer by its name, in call order.

    Of a layer that is called several times, the output of the first call. The outputs are copies.
    The model runs in evaluation mode, and is left unchanged.
    """
    outputs: dict[str, Tensor] = {}
    with preserve_state(model), torch.no_grad(), _collecting_outputs(model, outputs):
        model.eval()
        model(images)
    return outputs


def error_rows(errors: Sequence[TensorError]) -> list[dict[str, Any]]:
    """Return the errors as plain rows of a table: layer, snr and fall."""
    return [asdict(error) for error in errors]


def _fall(before: float, ratio: float) -> float | None:
    both_are_finite = abs(before) < float("inf") and abs(ratio) < float("inf")
    return before - ratio if both_are_finite else None


@contextmanager
def _collecting_outputs(model: nn.Module, outputs: dict[str, Tensor]) -> Iterator[None]:
    def keep(layer: str, _module: nn.Module, _arguments: object, output: Tensor) -> None:
        # The next operation may change the tensor in place.
        outputs.setdefault(layer, output.clone())

    with ExitStack() as hooks:
        for name in prunable_weights(model):
            layer = name.rpartition(".")[0]
            hook = model.get_submodule(layer).register_forward_hook(partial(keep, layer))
            hooks.callback(hook.remove)
        yield
