"""Scores that say how much a network would miss each of its weights, before any training.

SNIP: Single-shot Network Pruning based on Connection Sensitivity (arXiv:1810.02340), eq. 5, and the
methods that it is compared with. Every method gives scores, and `keep_top` turns scores into masks.
`core.compress.pruning.methods` lists the methods.
"""

from collections.abc import Generator, Iterator

import torch
from torch import Tensor, nn

from core.compress.masks import Masks, check_density, keep_top
from core.compress.pruning.methods import PRUNING_METHODS
from core.compress.pruning.saliency import SALIENCIES, ScoringBatch
from core.compress.pruning.selection import Scores
from core.errors import UserError
from core.events import Progress
from core.models.parameters import prunable_weights

_CUT_SCORE = -1.0
"""The score of a weight that an earlier round has cut. It is below all others, which are >= 0."""


def scores(
    model: nn.Module, images: Tensor, labels: Tensor, batch_size: int | None = None
) -> Scores:
    """|w * dL/dw| of every prunable weight, keyed by parameter name.

    This is the size of the gradient of the loss with respect to a mask on the weight, at mask = 1.
    The paper divides by the sum of all scores. No selection depends on that, so it is left out.

    L is the mean cross entropy of `images` (N, C, H, W), normalised, and `labels` (N,), in training
    mode and in float32, also under autocast. With `batch_size` the images pass in batches of that
    size, each with its own BatchNorm statistics, and the gradients are summed before the absolute
    value is taken. The model is left unchanged, also after an exception. Raises UserError, naming
    the layer, for scores that are not finite, and if all scores are zero.
    """
    steps = scoring_steps("snip", model, images, labels, density=1.0, batch_size=batch_size)
    while True:
        try:
            next(steps)
        except StopIteration as end:
            result: Scores = end.value
            return result


def scoring_steps(
    method: str,
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    *,
    density: float,
    layerwise: bool = False,
    batch_size: int | None = None,
    rounds: int | None = None,
    seed: int = 0,
) -> Generator[Progress, None, Scores]:
    """Score all prunable weights by a method of `PRUNING_METHODS`, step by step.

    `keep_top(scores, density, layerwise)` of the result is the method's mask. Yields Progress after
    every pass through the network. At every yield the model is unchanged. `seed` is used by the
    method "random" only.

    An iterative method scores, keeps density^(k / rounds) of the weights in round k, scores those,
    and so on, always on the same images (FORCE, arXiv:2006.09081, "iterative SNIP"; SynFlow,
    arXiv:2006.05467, algorithm 1). A weight that an earlier round has cut scores -1, below all
    others. These scores serve this density only. Those of a one-shot method serve every density.

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
    weights = _prunable_weights(model)
    batches = list(_batches(images, labels, batch_size if facts.needs_data else None))
    passes = rounds * len(batches)
    masks: Masks = {}
    for round_number in range(1, rounds + 1):
        remaining = _masked(weights, masks)
        total: Scores = {}
        for index, batch in enumerate(batches, 1):
            _add_(total, SALIENCIES[method](model, remaining, batch, seed))
            done = (round_number - 1) * len(batches) + index
            yield Progress("Scoring", done, passes, "passes")
        result = {name: score.abs_() for name, score in total.items()}
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


def _batches(images: Tensor, labels: Tensor, size: int | None) -> Iterator[ScoringBatch]:
    """Split the images into batches of `size`, or take all as one batch.

    A single last image joins the batch before it, because BatchNorm has no statistics of one image.
    """
    count = len(images)
    if count == 0 or count != len(labels):
        raise UserError(
            f"Scoring takes at least one image and a label each, got {count} and {len(labels)}."
        )
    size = size or count
    starts = list(range(0, count, size))
    last_is_single = count - starts[-1] == 1
    if last_is_single and size > 1 and len(starts) > 1:
        starts.pop()
    for start, stop in zip(starts, [*starts[1:], count], strict=True):
        share = (stop - start) / count
        yield ScoringBatch(images[start:stop], labels[start:stop], share)


def _masked(weights: dict[str, Tensor], masks: Masks) -> dict[str, Tensor]:
    """The weights with the cut ones at zero; without masks, the weights themselves."""
    if not masks:
        return weights
    return {name: weight * masks[name].to(weight.device) for name, weight in weights.items()}


def _add_(total: Scores, part: Scores) -> None:
    for name, score in part.items():
        total[name] = total[name].add_(score) if name in total else score


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
