"""Takes the dead channels out of a pruned network, so that it leaves Secateur really smaller."""

from dataclasses import dataclass

import torch
from torch import nn

from core.compress.channels.dead import ChannelReport, compare_costs, find_dead_channels
from core.compress.channels.remove import remove_channels
from core.deploy.onnx.check import MOST_DIFFERENCE
from core.deploy.onnx.layers import weights_in_file
from core.errors import UserError
from core.events import Note
from core.models.card import ModelCard
from core.models.parameters import batchnorm_weights, prunable_weights
from core.models.state import preserve_state

_IMAGES = 4  # random ones, on which the answers are compared


@dataclass(frozen=True, eq=False)
class SmallerNetwork:
    """A network without its dead channels.

    network: the smaller one. It is the original itself if no channel could leave.
    report: what the removal saves, None if no channel left.
    problem: why dead channels could not be found or removed, in a sentence, "" if they could.
    """

    network: nn.Module
    report: ChannelReport | None = None
    problem: str = ""

    def __str__(self) -> str:
        """Say what left the network, or why nothing could; "" if nothing is dead."""
        if self.report is None:
            return self.problem
        before = self.report.before
        after = self.report.after
        channels = sum(before.channels.values())
        dead = channels - sum(after.channels.values())
        return (
            f"Dead channels: {dead:,} of {channels:,} leave the network; multiply-adds from"
            f" {before.macs / 1e6:,.1f} M to {after.macs / 1e6:,.1f} M, weights from"
            f" {before.weights:,} to {after.weights:,}."
        )

    def notes(self) -> list[Note]:
        """Return what `str` says as a note for the log of a run; none if nothing is dead."""
        if self.report is None and not self.problem:
            return []
        return [Note(str(self), level="warning" if self.problem else "info")]


def without_dead_channels(network: nn.Module, card: ModelCard) -> SmallerNetwork:
    """Return the network without the channels that no output depends on.

    card: of the network; its `side` is the size of the images. The network is not changed. Only a
    network with weights of exactly 0 has dead channels; any other is returned at once. The smaller
    network is compared with the original on random images. If it answers differently, or if the
    network cannot be analysed, the original is returned with the problem.
    """
    if not _has_zeros(network):
        return SmallerNetwork(network)
    try:
        return _remove(network, card.side)
    except Exception as error:  # any network may come, and the whole one is right too
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        problem = f"Dead channels stay in the network, as they cannot be removed: {reason}"
        return SmallerNetwork(network, problem=problem)


def network_in_file(model: bytes, network: nn.Module, card: ModelCard) -> nn.Module:
    """Return the network in the form in which an ONNX file has it: whole, or without dead channels.

    Files of older versions have all channels. model: a file made of this network, in float or in
    integers. Raises UserError for a file that is not ONNX.
    """
    weights = weights_in_file(model)
    shapes = {name: weight.shape for name, weight in prunable_weights(network).items()}
    is_whole = all(weights[name].shape == shapes[name] for name in shapes if name in weights)
    return network if is_whole else without_dead_channels(network, card).network


def _has_zeros(network: nn.Module) -> bool:
    weights = prunable_weights(network) | batchnorm_weights(network)
    return any(bool((weight == 0).any()) for weight in weights.values())


def _remove(network: nn.Module, side: int) -> SmallerNetwork:
    """Remove the dead channels, and compare the answers.

    Raises UserError if these differ, and whatever the network raises for images without content.
    """
    plan = find_dead_channels(network, side)
    if not plan.layers:
        return SmallerNetwork(network)
    smaller = remove_channels(network, plan)
    difference = _largest_difference(network, smaller, side)
    if not difference <= MOST_DIFFERENCE:  # NaN is a failure too
        raise UserError(f"without them, a logit differs by {difference:.2g} of the largest one.")
    return SmallerNetwork(smaller, compare_costs(network, smaller, side))


@torch.inference_mode()
def _largest_difference(network: nn.Module, smaller: nn.Module, side: int) -> float:
    """Return the largest difference of a logit on random images, as a share of the largest one."""
    parameter = next(network.parameters())
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(_IMAGES, 3, side, side, generator=generator).to(parameter)
    with preserve_state(network), preserve_state(smaller):
        logits = network.eval()(images)
        difference = smaller.eval()(images) - logits
    return float(difference.abs().max() / logits.abs().max().clamp(min=1e-30))
