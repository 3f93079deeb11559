"""Learning rates as a pure function of the step, so that a resumed run needs no scheduler's state."""

import math

from core.config import TrainRecipe

RISE = 0.3  # the share of a one-cycle run during which the rate rises (Smith and Topin, arXiv 1708.07120)
START, END = 25, 1e4  # one-cycle begins at lr / START and ends at that / END, as torch's OneCycleLR does


def lr_at(recipe: TrainRecipe, step: int, steps_per_epoch: int) -> float:
    """The learning rate of optimiser step `step` (from 0) of a run of `recipe.epochs * steps_per_epoch` steps."""
    total = recipe.epochs * steps_per_epoch
    if recipe.schedule == "step":
        return recipe.lr * recipe.gamma ** (step // steps_per_epoch // recipe.step)
    if recipe.schedule == "cosine":
        return cosine(recipe.lr, 0.0, step / total)
    peak = RISE * total - 1
    if step <= peak:
        return cosine(recipe.lr / START, recipe.lr, step / peak)
    return cosine(recipe.lr, recipe.lr / START / END, (step - peak) / max(1e-9, total - 1 - peak))


def cosine(start: float, end: float, fraction: float) -> float:
    """Half a cosine from `start` to `end`; `fraction` of the way is in [0, 1]."""
    return end + (start - end) * (1 + math.cos(math.pi * fraction)) / 2
