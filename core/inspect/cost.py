"""What a network costs, before it runs: multiply-adds of every layer, and the size of a pruned network's file."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from core.models.meta import meta_copy
from core.models.parameters import prunable

_FLOAT_BYTES = 4


@dataclass(frozen=True)
class LayerCost:
    """A weight under its parameter's name, with its layer's multiply-adds for one image.

    `kind` is "Conv2d", "Linear" or "MultiheadAttention"; the last is attention's input projection, never pruned.
    """

    name: str
    kind: str
    shape: tuple[int, ...]
    weights: int
    macs: int


def layer_costs(model: nn.Module, side: int) -> list[LayerCost]:
    """The multiply-adds of every layer of `model` for one image of 3 x `side` x `side`, in module order.

    Counted is what is multiplied with a weight of a convolution or linear layer, padding included, and with the
    input projection of an attention; a layer that never runs has 0. Not counted are products of two activations
    (attention itself), biases, normalisations and poolings. A copy without weights is run, on no device; `model` is
    not touched.
    Raises what the network raises for images that it cannot take; `core.models.check` tells that before.
    """
    model = meta_copy(model).eval()
    kinds = {weight: "Conv2d" if weight.ndim == 4 else "Linear" for weight in prunable(model).values()}
    kinds |= {module.in_proj_weight: "MultiheadAttention" for module in model.modules()
              if isinstance(module, nn.MultiheadAttention) and module.in_proj_weight is not None}
    with torch.no_grad(), _Counting(kinds) as counting:
        model(torch.empty(1, 3, side, side, device="meta"))
    return [LayerCost(name, kinds[weight], tuple(weight.shape), weight.numel(), counting.macs[weight])
            for name, weight in model.named_parameters() if weight in kinds]


class _Counting(TorchFunctionMode):
    """Sums the multiply-adds of each of `weights`, also where a module hands its weight to a function (Swin, ViT)."""

    def __init__(self, weights: Iterable[Tensor]):
        super().__init__()
        self.macs = dict.fromkeys(weights, 0)

    def __torch_function__(self, func, types, args=(), kwargs=None):
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
    """Multiply-adds that remain if `kept[name]` weights of each layer do, by a machine that skips every zero.

    Layers that `kept` does not name count whole.
    """
    return sum(round(cost.macs * kept.get(cost.name, cost.weights) / cost.weights) for cost in costs)


@dataclass(frozen=True)
class SizeEstimate:
    """Bytes of a network's file: `dense` in float32, and `sparse` with the zeros left out. Headers are not counted."""

    dense: int
    sparse: int


def estimated_bytes(kept: Mapping[str, int], totals: Mapping[str, int], other_parameters: int) -> SizeEstimate:
    """Estimate the file of a network of which `kept[name]` of `totals[name]` weights remain.

    `other_parameters` counts what is never pruned, biases and BatchNorm with its statistics, in float32 like the kept
    weights. The masks are taken at the entropy of an ideal coder that knows each layer's density, n H(kept / n) bits:
    a bound that a file comes close to, not a measurement. Layers that `kept` does not name stay whole.
    """
    whole = sum(totals.values()) + other_parameters
    remaining = sum(kept.get(name, total) for name, total in totals.items()) + other_parameters
    mask_bits = sum(total * _entropy(kept.get(name, total) / total) for name, total in totals.items())
    return SizeEstimate(whole * _FLOAT_BYTES, remaining * _FLOAT_BYTES + math.ceil(mask_bits / 8))


def _entropy(p: float) -> float:
    """Bits in one toss of a coin that shows heads with probability `p`."""
    return 0.0 if p in (0, 1) else -p * math.log2(p) - (1 - p) * math.log2(1 - p)
