"""Learning rates as pure functions of the step, so that a resumed run needs no scheduler state."""

import math

from core.config import CompressRecipe, TrainRecipe

# The constants of the one-cycle schedule (Smith and Topin, arXiv:1708.07120), as in torch's
# OneCycleLR: the share of the run during which the rate rises, and the two divisors. The run starts
# at lr / _START_DIVISOR and ends at that rate / _END_DIVISOR.
_RISING_SHARE = 0.3
_START_DIVISOR = 25
_END_DIVISOR = 1e4


def lr_at(recipe: TrainRecipe | CompressRecipe, step: int, steps_per_epoch: int) -> float:
    """Return the learning rate of optimizer step `step`, counted from 0 over all epochs.

    Tuning a compressed network always follows a cosine.
    """
    total = recipe.epochs * steps_per_epoch
    if not isinstance(recipe, TrainRecipe) or recipe.schedule == "cosine":
        return cosine(recipe.lr, 0.0, step / total)
    if recipe.schedule == "step":
        drops = step // steps_per_epoch // recipe.step
        return recipe.lr * recipe.gamma**drops
    return _one_cycle(recipe.lr, step, total)


def _one_cycle(peak_lr: float, step: int, total: int) -> float:
    start_lr = peak_lr / _START_DIVISOR
    end_lr = peak_lr / _START_DIVISOR / _END_DIVISOR
    peak_step = _RISING_SHARE * total - 1
    if step <= peak_step:
        return cosine(start_lr, peak_lr, step / peak_step)
    falling_steps = max(1e-9, total - 1 - peak_step)
    return cosine(peak_lr, end_lr, (step - peak_step) / falling_steps)


def cosine(start: float, end: float, fraction: float) -> float:
    """Return the value at `fraction`, in [0, 1], of half a cosine from `start` to `end`."""
    return end + (start - end) * (1 + math.cos(math.pi * fraction)) / 2
