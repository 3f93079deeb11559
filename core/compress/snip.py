"""Scores that say how much a network would miss each of its weights, before any training.

SNIP: Single-shot Network Pruning based on Connection Sensitivity (arXiv:1810.02340), eq. 5, and the
methods that it is compared with. Every method gives scores, and `keep_top` turns scores into masks.
`core.compress.pruning.methods` lists the methods.
"""

from collections.abc import Generator
from dataclasses import replace

import torch
from torch import Tensor, nn

from core.compress.masks import Masks, check_density, keep_top
from core.compress.pruning.methods import PRUNING_METHODS
from core.compress.pruning.saliency import SALIENCIES, ScoringOptions
from core.compress.pruning.scoring_images import ScoringImages, images_in_memory
from core.compress.pruning.selection import Scores
from core.config import ScoreMode
from core.errors import UserError
from core.events import Progress
from core.models.parameters import prunable_weights

_CUT_SCORE = -1.0
"""The score of a weight that an earlier round has cut. It is below all others, which are >= 0."""


def scores(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    mode: ScoreMode = "eval",
    batch_size: int | None = None,
) -> Scores:
    """|w * dL/dw| of every prunable weight, keyed by parameter name.

    This is the size of the gradient of the loss with respect to a mask on the weight, at mask = 1.
    The paper divides by the sum of all scores. No selection depends on that, so it is left out.

    L is the mean cross entropy of `images` (N, C, H, W), normalised, and `labels` (N,), in float32,
    also under autocast. With `batch_size` the images pass in batches of that size, and the
    gradients are summed before the absolute value is taken.

    mode: "eval" as in the authors' code, where BatchNorm uses its running statistics and dropout
    does nothing; "train", where BatchNorm uses those of the batch and dropout draws.

    The model is left unchanged, also after an exception. Raises UserError, naming the layer, for
    scores that are not finite, and if all scores are zero.
    """
    scoring_images = images_in_memory(images, labels, batch_size)
    steps = scoring_steps(
        "snip", model, scoring_images, density=1.0, options=ScoringOptions(mode=mode)
    )
    while True:
        try:
            next(steps)
        except StopIteration as end:
            result: Scores = end.value
            return result


def scoring_steps(
    method: str,
    model: nn.Module,
    images: ScoringImages,
    *,
    density: float,
    layerwise: bool = False,
    rounds: int | None = None,
    options: ScoringOptions | None = None,
) -> Generator[Progress, None, Scores]:
    """Score all prunable weights by a method of `PRUNING_METHODS`, step by step.

    `keep_top(scores, density, layerwise)` of the result is the method's mask. Yields Progress after
    every pass through the network. At every yield the model is unchanged. The gradients of several
    batches are summed in float64.

    An iterative method scores, keeps round(density^(k / rounds) * n) of the n weights in round k,
    scores those on the images of the next round, and so on (FORCE, arXiv:2006.09081, "iterative
    SNIP"; SynFlow, arXiv:2006.05467, algorithm 1). A weight that an earlier round has cut scores
    -1, below all others. These scores serve this density only. Those of a one-shot method serve
    every density. SynFlow's authors round the number of weights that a round cuts down, where the
    number that it keeps is rounded here: a difference of at most one weight in a round.

    The masks of iterative SNIP are not stable. LeNet5 on CIFAR-10, 20 rounds of 128 images, at 5%,
    2% and 1%, four seeds and two draws of noise of 3e-7 on the images: 11 of 24 masks were the same
    as without noise, the other 13 shared 20% to 65% of their weights with it. With the same images
    in every round 17 were the same, the others shared 27% to 66%. State several seeds.

    Raises UserError as `scores` does, and for an unknown method.
    """
    if method not in PRUNING_METHODS:
        raise UserError(f"method must be one of {', '.join(PRUNING_METHODS)}, got {method!r}")
    check_density(density)
    facts = PRUNING_METHODS[method]
    if not facts.iterative:
        rounds = 1
    elif not rounds:
        rounds = facts.default_rounds
    if not facts.needs_data:
        images = replace(images, per_round=1, batch_size=1)  # only their size is looked at
    options = options or ScoringOptions()
    weights = _prunable_weights(model)
    passes = rounds * images.batch_count
    done = 0
    masks: Masks = {}
    for round_number in range(1, rounds + 1):
        remaining = _masked(weights, masks)
        total: Scores = {}
        for batch in images.batches(round_number):
            part = SALIENCIES[method](model, remaining, batch, options)
            _add_(total, part, only_part=images.batch_count == 1)
            done += 1
            yield Progress("Scoring", done, passes, "passes")
        result = {name: score.abs_().to(part[name].dtype) for name, score in total.items()}
        _check_scores(result, first_round=round_number == 1)
        for name, mask in masks.items():
            result[name].masked_fill_(~mask, _CUT_SCORE)
        if round_number < rounds:
            masks = keep_top(result, density ** (round_number / rounds), layerwise)
    return result


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
    largest = torch.stack([score.amax() for score in scores.values()])  # NaN counts as the largest
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
