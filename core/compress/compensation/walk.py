"""Replaces the weights of a network one layer after the other."""

from collections.abc import Callable, Generator, Sequence

import torch
from torch import Tensor, nn

from core.compress.compensation.inputs import layers_in_order, measure_inputs
from core.compress.compensation.moments import InputMoments
from core.compress.compensation.replay import Replay
from core.events import Progress

Replace = Callable[[str, InputMoments | None], Tensor]
"""Returns the new weight of the layer of this name.

It also gets the layer's inputs in the network changed so far. They are None for a layer that the
network does not call, because it uses the weight in another way, and for one with inputs or outputs
that are not finite.
"""


def replace_weights_(
    changed: nn.Module,
    network: nn.Module,
    names: Sequence[str],
    batches: Sequence[Tensor],
    replace: Replace,
    stage: str,
) -> Generator[Progress, None, None]:
    """Replace the weights of these names in `changed`, in the order in which it calls the layers.

    Layers that it does not call come first. changed: a copy of `network`, in which other weights
    may differ. network: in float, on the batches' device, in evaluation mode; it is not changed.
    names: weights of Conv2d and Linear. batches: normalised images. Yields Progress of `stage` in
    layers.
    """
    calls = layers_in_order(changed, names, batches[0][:2])
    for name in names:
        if name not in calls:
            _set_weight_(changed, name, replace(name, None))
    replays = [
        Replay(model, [layer_of(model, name) for name in calls]) for model in (changed, network)
    ]
    changed_replay, float_replay = replays
    for done, name in enumerate(calls):
        yield Progress(stage, done, len(calls), "layers")
        float_replay.fix(layer_of(network, name))
        inputs = measure_inputs(changed, network, name, calls[name], batches, replays)
        for replay in replays:
            replay.forget(batches[0])
        weight = replace(name, inputs if inputs.is_finite else None)
        _set_weight_(changed, name, weight)
        changed_replay.fix(layer_of(changed, name))


def layer_of(network: nn.Module, name: str) -> nn.Module:
    """Return the module that has the weight of this name."""
    return network.get_submodule(name.rpartition(".")[0])


@torch.no_grad()
def _set_weight_(network: nn.Module, name: str, weight: Tensor) -> None:
    network.get_parameter(name).copy_(weight)
