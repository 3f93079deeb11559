"""Scores that say how much a network would miss each of its weights, before any training.

SNIP: Single-shot Network Pruning based on Connection Sensitivity (arXiv:1810.02340), eq. 5, and the
methods that it is compared with. Every method gives scores, and `keep_top` turns scores into masks.
`core.compress.pruning.methods` lists the methods.
"""

from collections.abc import Generator
from dataclasses import replace

from torch import Tensor, nn

from core.compress.masks import check_density
from core.compress.pruning.methods import PRUNING_METHODS, check_layerwise
from core.compress.pruning.rounds import score_in_rounds
from core.compress.pruning.saliency import FIRST_PASSES, ScoringOptions
from core.compress.pruning.scoring_images import ScoringImages, images_in_memory
from core.compress.pruning.selection import Scores
from core.config import ScoreMode
from core.errors import UserError
from core.events import Progress


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
    -1, below all others. With FORCE itself it competes again, see `recoverable_sensitivity`. These
    scores serve this density only. Those of a one-shot method serve every density. SynFlow's
    authors round the number of weights that a round cuts down, where the number that it keeps is
    rounded here: a difference of at most one weight in a round.

    The masks of iterative SNIP are not stable. LeNet5 on CIFAR-10, 20 rounds of 128 images, at 5%,
    2% and 1%, four seeds and two draws of noise of 3e-7 on the images: 11 of 24 masks were the same
    as without noise, the other 13 shared 20% to 65% of their weights with it. With the same images
    in every round 17 were the same, the others shared 27% to 66%. State several seeds.

    Raises UserError as `scores` does, for an unknown method, and for a layerwise method that sets
    the layer densities itself.
    """
    if method not in PRUNING_METHODS:
        raise UserError(f"method must be one of {', '.join(PRUNING_METHODS)}, got {method!r}")
    check_layerwise(method, layerwise)
    check_density(density)
    facts = PRUNING_METHODS[method]
    if not facts.iterative:
        rounds = 1
    elif not rounds:
        rounds = facts.default_rounds
    if not facts.needs_data:
        images = replace(images, per_round=1, batch_size=1)  # only their size is looked at
    passes = rounds * images.batch_count * (2 if method in FIRST_PASSES else 1)
    done = 0
    steps = score_in_rounds(
        method, model, images, density, layerwise, rounds, options or ScoringOptions()
    )
    while True:
        try:
            next(steps)
        except StopIteration as end:
            result: Scores = end.value
            return result
        done += 1
        yield Progress("Scoring", done, passes, "passes")
