"""Forecasts what a network costs: multiply-adds of every layer, and the size of a pruned file."""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from core.models.meta import meta_copy
from core.models.parameters import prunable_weights

_FLOAT_BYTES = 4
_PACKED_FLOAT_BYTES = 3.38
"""Bytes of a float32 weight in a packed file, whose exponent is deflated: 3.35 to 3.39 in trained
ResNet-20, ResNet-56 and LeNet5, dense and pruned."""
_MASK_SHARE = 0.75
"""Bytes of a mask in a packed file, as a share of its entropy: 0.65 to 0.9 in LeNet5 and ResNet-20
after SNIP, because whole channels are pruned."""
_HEADER_BYTES = 320
"""Bytes of the packed file's header with the card, without the tensors."""
_LAYER_BYTES = 25
"""Bytes that the header has for each prunable layer: the names and shapes of its tensors."""


@dataclass(frozen=True)
class LayerCost:
    """The cost of one layer.

    name: the parameter name of its weight.
    kind: "Conv2d", "Linear" or "MultiheadAttention"; the last is the input projection of an
    attention, which is never pruned.
    shape: shape of the weight.
    weights: number of its values.
    macs: multiply-adds of the layer for one image.
    """

    name: str
    kind: str
    shape: tuple[int, ...]
    weights: int
    macs: int


def layer_costs(model: nn.Module, side: int) -> list[LayerCost]:
    """Return the cost of every layer for one image of 3 x `side` x `side`, in module order.

    Every product with a weight of a convolution, of a linear layer, or of an attention's input
    projection is counted, products with the padding included; a layer that never runs has 0.
    Products of two activations (attention itself), biases, normalisations and poolings are not
    counted.

    A copy of the model without weights runs on torch's meta device; `model` is not changed. Raises
    what the network raises for images that it cannot take; `core.models.check_side` finds that out
    beforehand.
    """
    model = meta_copy(model).eval()
    kinds = _counted_weights(model)
    with torch.no_grad(), _MacCounter(kinds) as counter:
        model(torch.empty(1, 3, side, side, device="meta"))
    return [
        LayerCost(name, kinds[weight], tuple(weight.shape), weight.numel(), counter.macs[weight])
        for name, weight in model.named_parameters()
        if weight in kinds
    ]


def _counted_weights(model: nn.Module) -> dict[Tensor, str]:
    """Return the weights whose products are counted, and the kind of each one's layer."""
    kinds: dict[Tensor, str] = {}
    for weight in prunable_weights(model).values():
        kinds[weight] = "Conv2d" if weight.ndim == 4 else "Linear"
    for module in model.modules():
        if isinstance(module, nn.MultiheadAttention) and module.in_proj_weight is not None:
            kinds[module.in_proj_weight] = "MultiheadAttention"
    return kinds


class _MacCounter(TorchFunctionMode):
    """Sums the multiply-adds of each weight while it is active.

    It sees function calls, so it also counts where a module passes its weight to a function, as in
    Swin and ViT.
    """

    def __init__(self, weights: Iterable[Tensor]):
        super().__init__()
        self.macs = dict.fromkeys(weights, 0)

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        out = func(*args, **kwargs)
        if func in (F.conv2d, F.linear):
            weight = kwargs["weight"] if "weight" in kwargs else args[1]
            self._add(weight, out.numel() * weight.shape[1:].numel())
        elif func is F.multi_head_attention_forward:
            query, key, value, width, _, in_projection, *_, out_projection, _ = args
            self._add(in_projection, (query.numel() + key.numel() + value.numel()) * width)
            self._add(out_projection, query.numel() * width)
        return out

    def _add(self, weight: Tensor, macs: int) -> None:
        if weight in self.macs:
            self.macs[weight] += macs


def effective_macs(costs: Iterable[LayerCost], kept: Mapping[str, int]) -> int:
    """Return the multiply-adds that remain on a machine that skips every zero weight.

    kept: number of nonzero weights of each layer; a layer that is not in it keeps all.
    """
    total = 0
    for cost in costs:
        total += round(cost.macs * kept.get(cost.name, cost.weights) / cost.weights)
    return total


@dataclass(frozen=True)
class SizeEstimate:
    """The estimated size of a network's files in bytes.

    dense: of all values in float32, without a header.
    packed: of the packed file, which has no zeros but the masks that say where they are.
    """

    dense: int
    packed: int


def estimated_bytes(
    kept: Mapping[str, int], totals: Mapping[str, int], other_parameters: int
) -> SizeEstimate:
    """Estimate the size of a pruned network's file.

    kept: number of nonzero weights of each layer; a layer that is not in it keeps all.
    totals: number of all weights of each layer.
    other_parameters: number of values that are never pruned, such as biases and BatchNorm with its
    statistics, in float32.

    A mask is counted at three quarters of its entropy by each layer's density, n H(kept / n) bits,
    because contexts make it smaller.
    """
    all_values = sum(totals.values()) + other_parameters
    kept_values = other_parameters
    mask_bits = 0.0
    for name, total in totals.items():
        kept_weights = kept.get(name, total)
        kept_values += kept_weights
        mask_bits += total * _entropy(kept_weights / total)
    number_bytes = kept_values * _PACKED_FLOAT_BYTES
    mask_bytes = _MASK_SHARE * mask_bits / 8
    header_bytes = _HEADER_BYTES + _LAYER_BYTES * len(totals)
    return SizeEstimate(
        dense=all_values * _FLOAT_BYTES,
        packed=round(number_bytes + mask_bytes) + header_bytes,
    )


def _entropy(probability: float) -> float:
    """Entropy, in bits, of an event that happens with this probability."""
    if probability in (0, 1):
        return 0.0
    rest = 1 - probability
    return -probability * math.log2(probability) - rest * math.log2(rest)
