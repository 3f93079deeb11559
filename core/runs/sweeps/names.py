"""Names the runs of a sweep by the settings in which they differ."""

from core.config import Recipe
from core.runs.comparison.settings import (
    DENSITY,
    METHOD,
    Settings,
    differing,
    label_of,
    settings_of,
)
from core.runs.store import describe_recipe
from core.runs.sweeps.sweep import Step, Sweep

# `describe_recipe` says these already.
_DESCRIBED = {"train.model", "train.dataset", DENSITY, METHOD, "kmeans.clusters", "affine.bits"}
_DESCRIBED |= {"budget.bytes", "budget.smaller", "budget.lose"}
# The seed of a quantization or of a budget is that of the training.
_FOLLOWING = {"kmeans.seed", "affine.seed", "budget.seed"}


def step_name(sweep: Sweep, step: Step) -> str:
    """Return the name of the run of a step, such as "LeNet5 · Digits · 5% kept, seed 1".

    The name of a network that is trained and then quantized says both.
    """
    recipes = [other.recipe for other in sweep.steps]
    parent = next((other for other in sweep.steps if other.run_id == step.parent), None)
    name = _recipe_name(step.recipe, recipes)
    return name if parent is None else f"{step_name(sweep, parent)} · {name}"


def _recipe_name(recipe: Recipe, recipes: list[Recipe]) -> str:
    own = settings_of([recipe])
    comparable = [settings_of([other]) for other in recipes if other.kind == recipe.kind]
    comparable = [settings for settings in comparable if _is_pruned(settings) == _is_pruned(own)]
    words = [describe_recipe(recipe)]
    for name in differing(comparable):
        if name not in _DESCRIBED | _FOLLOWING:
            words.append(f"{label_of(name).lower()} {own[name]}")
    return ", ".join(words)


def _is_pruned(settings: Settings) -> bool:
    return METHOD in settings
