"""Remembers the scores of the last network, for trainings in one process that share them.

The scores of a one-shot method hold for every density. So the trainings of a sweep that differ only
in what comes after the scoring compute them once.
"""

import zlib
from collections.abc import Iterator
from contextlib import contextmanager

from torch import Tensor

from core.compress.pruning.methods import PRUNING_METHODS
from core.compress.pruning.scoring_images import ScoringImages
from core.config import TrainRecipe

_AFTER_SCORING = {
    "epochs",
    "lr",
    "momentum",
    "weight_decay",
    "schedule",
    "step",
    "gamma",
    "label_smoothing",
    "keep_every",
    "keep_mb",
    "precision",
    "devices",
}

_CHECKED_IMAGES = 64

_memory: dict[str, dict[str, Tensor]] | None = None


@contextmanager
def remembering_scores() -> Iterator[None]:
    """Remember the last scores until the end of the `with` block."""
    global _memory
    _memory = {}
    try:
        yield
    finally:
        _memory = None


def recall(recipe: TrainRecipe, images: ScoringImages) -> dict[str, Tensor] | None:
    """Return the scores of a recipe with the same scoring and images, None if there are none."""
    return None if _memory is None else _memory.get(_key(recipe, images))


def remember(recipe: TrainRecipe, images: ScoringImages, scores: dict[str, Tensor]) -> None:
    """Keep the scores instead of those that were kept, if they hold for other densities too."""
    if _memory is None or recipe.prune is None or PRUNING_METHODS[recipe.prune.method].iterative:
        return
    _memory.clear()
    _memory[_key(recipe, images)] = scores


def _key(recipe: TrainRecipe, images: ScoringImages) -> str:
    """All settings of the recipe that the scores depend on, and a checksum of some images.

    Other images may have been imported under the same name.
    """
    some, labels = images.load(0, min(_CHECKED_IMAGES, images.available))
    checksum = zlib.crc32(some.contiguous().cpu().numpy().tobytes())
    checksum = zlib.crc32(labels.cpu().numpy().tobytes(), checksum)
    exclude = dict.fromkeys(_AFTER_SCORING, True)
    settings = recipe.model_dump_json(exclude={**exclude, "prune": {"density", "layerwise"}})
    return f"{settings} {checksum}"
