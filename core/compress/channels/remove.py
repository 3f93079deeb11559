"""Removes channels from a network: a copy with smaller layers."""

import copy
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from core.compress.channels.plan import ChannelPlan, LayerPlan
from core.errors import UserError
from core.models import build_to_fill
from core.models.networks import PaddedShortcut


def remove_channels(network: nn.Module, plan: ChannelPlan) -> nn.Module:
    """Return a copy of the network that has only the channels of the plan.

    In evaluation mode its outputs are those of the network, up to rounding: constants are folded
    as the plan says. The network is not changed. Raises UserError if the plan does not fit it.
    """
    smaller = copy.deepcopy(network)
    for name, layer_plan in plan.layers.items():
        layer = _layer_at(smaller, name)
        _check_fit(name, layer, layer_plan)
        if isinstance(layer, PaddedShortcut):
            _replace_(smaller, name, SelectedShortcut(layer, layer_plan))
        else:
            _shrink_(layer, layer_plan)
    _move_shortcuts_(smaller)
    return smaller


def build_smaller(
    model: str, num_classes: int, plan: ChannelPlan, state: Mapping[str, Tensor]
) -> nn.Module:
    """Build a network from which channels were removed, from its plan and its state dict.

    The tensors are copied. The network is on their device, in evaluation mode. Raises UserError if
    the plan or the state dict does not fit the model.
    """
    smaller = remove_channels(build_to_fill(model, num_classes), plan)
    copies = {name: tensor.clone() for name, tensor in state.items()}
    try:
        smaller.load_state_dict(copies, assign=True)
    except RuntimeError as error:
        reason = str(error).splitlines()[-1].strip()
        raise UserError(f"These weights do not fit {model} without channels: {reason}") from error
    _move_shortcuts_(smaller)
    smaller.requires_grad_(True)
    return smaller.eval()


class SelectedShortcut(nn.Module):
    """A shortcut of option A that takes some channels of its input, and zeros for the others.

    As `PaddedShortcut`, it takes every second position.
    """

    sources: Tensor

    def __init__(self, shortcut: PaddedShortcut, plan: LayerPlan) -> None:
        super().__init__()
        zeros = len(plan.inputs)  # the index of a channel of zeros, behind those of the input
        positions = {index: position for position, index in enumerate(plan.inputs)}
        wanted = [index - shortcut.padding for index in plan.outputs]
        sources = torch.tensor([positions.get(index, zeros) for index in wanted])
        self.register_buffer("sources", sources, persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        with_zeros = F.pad(images[:, :, ::2, ::2], (0, 0, 0, 0, 0, 1))
        return with_zeros.index_select(1, self.sources)


def _move_shortcuts_(network: nn.Module) -> None:
    """Move the indices of shortcuts to the network's device. On the meta device they would go."""
    device = next(network.parameters()).device
    if device.type == "meta":
        return
    for module in network.modules():
        if isinstance(module, SelectedShortcut):
            module.to(device)


def _layer_at(network: nn.Module, name: str) -> nn.Module:
    try:
        return network.get_submodule(name)
    except AttributeError:
        raise UserError(f"The plan has a layer {name}, which the network has not.") from None


def _replace_(network: nn.Module, name: str, layer: nn.Module) -> None:
    parent, _, child = name.rpartition(".")
    setattr(network.get_submodule(parent), child, layer)


def _check_fit(name: str, layer: nn.Module, plan: LayerPlan) -> None:
    """Raise UserError unless the layer has as many channels as the plan says."""
    if not isinstance(
        layer, PaddedShortcut | nn.Conv2d | nn.Linear | nn.modules.batchnorm._BatchNorm
    ):
        raise UserError(f"The plan has a layer {name}, whose channels cannot be removed.")
    for what, indices, of in (
        ("inputs", plan.inputs, plan.of_inputs),
        ("outputs", plan.outputs, plan.of_outputs),
    ):
        is_ascending = list(indices) == sorted(set(indices))
        if not is_ascending or (indices and indices[-1] >= of) or (of and not indices):
            raise UserError(
                f"The plan's {what} of {name} must be ascending numbers below {of}, got {indices}."
            )
    expected = _channel_counts(layer, plan)
    if expected != (plan.of_inputs, plan.of_outputs):
        raise UserError(
            f"The plan is for {name} with {plan.of_inputs} inputs and {plan.of_outputs} outputs,"
            f" but it has {expected[0]} and {expected[1]}."
        )
    folded = {*plan.constants, *([] if plan.into is None else [plan.into])}
    if folded and (max(folded) >= plan.of_inputs or not isinstance(layer, nn.Conv2d | nn.Linear)):
        raise UserError(f"The plan folds constants into {name}, which has no such inputs.")
    if plan.into is not None and not plan.constants.get(plan.into):
        raise UserError(f"The plan folds constants into an input of {name} that is not constant.")


def _channel_counts(layer: nn.Module, plan: LayerPlan) -> tuple[int, int]:
    if isinstance(layer, nn.Conv2d):
        return layer.in_channels, layer.out_channels
    if isinstance(layer, nn.Linear):
        return layer.in_features, layer.out_features
    if isinstance(layer, PaddedShortcut):
        return plan.of_inputs, plan.of_inputs + 2 * layer.padding
    assert isinstance(layer, nn.modules.batchnorm._BatchNorm)
    return 0, layer.num_features


@torch.no_grad()
def _shrink_(layer: nn.Module, plan: LayerPlan) -> None:
    if isinstance(layer, nn.Conv2d | nn.Linear):
        _fold_constants_(layer, plan)
        _shrink_weights_(layer, plan)
        return
    assert isinstance(layer, nn.modules.batchnorm._BatchNorm)
    for name in ("weight", "bias", "running_mean", "running_var"):
        _select_(layer, name, plan.outputs)
    layer.num_features = len(plan.outputs)


def _fold_constants_(layer: nn.Conv2d | nn.Linear, plan: LayerPlan) -> None:
    """Add what the constant inputs contribute to the bias, or to the weights of `plan.into`."""
    removed = [index for index in plan.constants if index != plan.into]
    if not removed:
        return
    weight = layer.weight
    values = weight.new_tensor([plan.constants[index] for index in removed], dtype=torch.float64)
    kernels = weight[:, removed].double().reshape(len(weight), len(removed), -1)
    if plan.into is not None:
        shares = values / plan.constants[plan.into]
        total = torch.einsum("oik,i->ok", kernels, shares)
        weight[:, plan.into] += total.view(weight[:, plan.into].shape).to(weight.dtype)
        return
    total = torch.einsum("oik,i->o", kernels, values)
    if layer.bias is None:
        layer.bias = nn.Parameter(total.to(weight.dtype), requires_grad=weight.requires_grad)
    else:
        layer.bias += total.to(weight.dtype)


def _shrink_weights_(layer: nn.Conv2d | nn.Linear, plan: LayerPlan) -> None:
    _select_(layer, "weight", plan.outputs)
    _select_(layer, "bias", plan.outputs)
    is_depthwise = isinstance(layer, nn.Conv2d) and layer.groups > 1
    if not is_depthwise:
        _select_(layer, "weight", plan.inputs, dimension=1)
    if isinstance(layer, nn.Linear):
        layer.in_features = len(plan.inputs)
        layer.out_features = len(plan.outputs)
        return
    layer.in_channels = len(plan.inputs)
    layer.out_channels = len(plan.outputs)
    if is_depthwise:
        layer.groups = len(plan.outputs)


def _select_(layer: nn.Module, name: str, indices: Sequence[int], dimension: int = 0) -> None:
    """Keep the given indices of a parameter or buffer; None stays None."""
    tensor: Tensor | None = getattr(layer, name)
    if tensor is None:
        return
    where = torch.tensor(indices, device=tensor.device)
    selected = tensor.detach().index_select(dimension, where)
    if isinstance(tensor, nn.Parameter):
        selected = nn.Parameter(selected, requires_grad=tensor.requires_grad)
    setattr(layer, name, selected)
