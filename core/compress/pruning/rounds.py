"""Scores weights over the batches of a round, and over rounds that cut more and more of them."""

from collections.abc import Generator
from dataclasses import replace

import torch
from torch import Tensor, nn

from core.compress.channels.scores import channel_scores
from core.compress.masks import Masks, keep_top
from core.compress.pruning.methods import PRUNING_METHODS
from core.compress.pruning.saliency import FIRST_PASSES, SALIENCIES, Saliency, ScoringOptions
from core.compress.pruning.scoring_images import ScoringImages
from core.compress.pruning.selection import Scores
from core.errors import UserError
from core.models.parameters import prunable_weights

_CUT_SCORE = -1.0
"""The score of a weight that an earlier round has cut for good. All others are >= 0."""


def score_in_rounds(
    method: str,
    model: nn.Module,
    images: ScoringImages,
    density: float,
    layerwise: bool,
    rounds: int,
    options: ScoringOptions,
) -> Generator[None, None, Scores]:
    """Score all prunable weights in `rounds` rounds; yields after every pass through the network.

    After each round but the last, round(density^(k / rounds) * n) of the n weights stay. A weight
    that is cut for good scores -1. The model is left unchanged. Raises UserError for a network
    without prunable weights, for scores that are not finite, and if all of the first round are
    zero.
    """
    weights = _prunable_weights(model)
    masks: Masks = {}
    for round_number in range(1, rounds + 1):
        remaining = _masked(weights, masks)
        result = yield from _score_round(method, model, remaining, images, round_number, options)
        _check_scores(result, first_round=round_number == 1)
        if PRUNING_METHODS[method].channels:
            result = channel_scores(model, result, _side(images))
        if not PRUNING_METHODS[method].recovers:
            for name, mask in masks.items():
                result[name].masked_fill_(~mask, _CUT_SCORE)
        if round_number < rounds:
            masks = keep_top(result, density ** (round_number / rounds), layerwise)
    return result


def _score_round(
    method: str,
    model: nn.Module,
    weights: dict[str, Tensor],
    images: ScoringImages,
    round_number: int,
    options: ScoringOptions,
) -> Generator[None, None, Scores]:
    """Score on the images of a round; yields after every pass."""
    if method in FIRST_PASSES:
        first_pass = yield from _sum_over_batches(
            FIRST_PASSES[method], model, weights, images, round_number, options
        )
        options = replace(options, first_pass=first_pass)
    result = yield from _sum_over_batches(
        SALIENCIES[method], model, weights, images, round_number, options
    )
    if not PRUNING_METHODS[method].signed:
        for score in result.values():
            score.abs_()
    return result


def _sum_over_batches(
    saliency: Saliency,
    model: nn.Module,
    weights: dict[str, Tensor],
    images: ScoringImages,
    round_number: int,
    options: ScoringOptions,
) -> Generator[None, None, Scores]:
    """Add up a saliency over the batches of a round; yields after every batch."""
    total: Scores = {}
    for batch in images.batches(round_number):
        part = saliency(model, weights, batch, options)
        _add_(total, part, only_part=images.batch_count == 1)
        yield
    return {name: score.to(part[name].dtype) for name, score in total.items()}


def _side(images: ScoringImages) -> int:
    """Height and width of the images, which are square."""
    first, _ = images.load(0, 1)
    return first.shape[-1]


def _prunable_weights(model: nn.Module) -> dict[str, Tensor]:
    """The prunable weights without their autograd history or hooks. The memory is the model's."""
    weights = {name: weight.detach() for name, weight in prunable_weights(model).items()}
    if not weights:
        raise UserError("The network has no prunable weights: no convolution and no linear layer.")
    return weights


def _masked(weights: dict[str, Tensor], masks: Masks) -> dict[str, Tensor]:
    """The weights with the cut ones at zero; without masks, the weights themselves."""
    if not masks:
        return weights
    return {name: weight * masks[name].to(weight.device) for name, weight in weights.items()}


def _add_(total: Scores, part: Scores, only_part: bool) -> None:
    """Add scores in float64, where the device has it. The only part needs no such precision."""
    for name, score in part.items():
        if name in total:
            total[name] += score
        elif only_part or score.device.type == "mps":
            total[name] = score
        else:
            total[name] = score.double()


def _check_scores(scores: Scores, first_round: bool) -> None:
    """Refuse scores that are not finite, and scores that are all zero.

    In a later round all may be zero, because the cuts have disconnected the network. The masks will
    show that.
    """
    bounds = [bound for score in scores.values() for bound in score.aminmax()]
    largest = torch.stack(bounds).view(-1, 2).abs().amax(1)  # NaN counts as the largest
    for name, finite in zip(scores, largest.isfinite().tolist(), strict=True):
        if not finite:
            raise UserError(
                f"The scores of {name} are not all finite: the network's outputs or gradients"
                " overflow."
            )
    if first_round and not largest.any():
        raise UserError(
            "All scores are zero, so that no weight is better than another: does a layer start at"
            " zero? Magnitude and random pruning work here."
        )
