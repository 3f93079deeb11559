"""Advises what to try after a run whose network is no better than guessing."""

from core.compress.pruning.methods import PRUNING_METHODS
from core.config import (
    AffineRecipe,
    AnswersRecipe,
    BudgetRecipe,
    ImportRecipe,
    Int8Recipe,
    KMeansRecipe,
    LatencyRecipe,
    PruneRecipe,
    QuantizeRecipe,
    Recipe,
    TrainRecipe,
)

_HIGH_RATE = 0.05
_FEW_EPOCHS = 20


def what_to_try(recipe: Recipe) -> str:
    """The remedies for a recipe in one phrase, the most likely first."""
    match recipe:
        case TrainRecipe():
            remedies = _for_training(recipe)
        case ImportRecipe():
            remedies = _for_import(recipe)
        case PruneRecipe():
            remedies = _for_pruning(recipe)
        case KMeansRecipe():
            remedies = _for_kmeans(recipe)
        case AffineRecipe():
            remedies = _for_affine(recipe)
        case BudgetRecipe():
            remedies = _for_budget(recipe)
        case Int8Recipe():
            remedies = _for_int8(recipe)
        case AnswersRecipe() | LatencyRecipe():
            remedies = ["compare another network"]
    *others, last = remedies
    return f"{', '.join(others)} or {last}" if others else last


def _for_training(recipe: TrainRecipe) -> list[str]:
    remedies = []
    prune = recipe.prune
    if prune and prune.density < 1:
        remedies.append("keep more weights")
        if prune.method != "synflow":
            remedies.append("prune by SynFlow")
        if PRUNING_METHODS[prune.method].needs_data and prune.score_mode == "train":
            remedies.append("score in evaluation mode")
    if recipe.lr >= _HIGH_RATE:
        remedies.append("lower the learning rate")
    if recipe.epochs < _FEW_EPOCHS:
        remedies.append("train for more epochs")
    return remedies or ["lower the learning rate", "train for more epochs"]


def _for_import(recipe: ImportRecipe) -> list[str]:
    remedies = ["another normalisation of the pixels", "another order of the classes"]
    if recipe.by_order:
        remedies.insert(0, "a file whose tensors match by their names")
    return remedies


def _for_pruning(recipe: PruneRecipe) -> list[str]:
    """Fine-tuning wins back most, then a better choice of the weights."""
    remedies = ["fine-tune it for more epochs" if recipe.epochs else "fine-tune it for some epochs"]
    if recipe.density < 1:
        remedies.append("keep more weights")
    if recipe.method == "random":
        remedies.append("prune by magnitude")
    if recipe.method == "magnitude" and not recipe.epochs:
        remedies.append("use compensated pruning")
    return [*remedies, *_for_statistics(recipe)]


def _for_kmeans(recipe: KMeansRecipe) -> list[str]:
    remedies = [*_for_rounding(recipe), "take more clusters", *_for_statistics(recipe)]
    if recipe.epochs:
        remedies.append("lower the learning rate of tuning")
    else:
        remedies.append("tune it for some epochs")
    return remedies


def _for_affine(recipe: AffineRecipe) -> list[str]:
    remedies = [*_for_rounding(recipe), "take more bits"]
    if not recipe.per_channel:
        remedies.append("use a scale for every output channel")
    return [*remedies, *_for_statistics(recipe)]


def _for_budget(recipe: BudgetRecipe) -> list[str]:
    """A wider limit helps most, then more choices for a layer, and more time for them."""
    remedies = ["allow a larger file" if recipe.lose is None else "allow a smaller loss"]
    if recipe.faster is not None:
        remedies = ["ask for less speed"]
    elif recipe.layers:
        remedies = ["search for another choice"]
    elif len(recipe.kinds) == 1:
        remedies.append("let each layer share or round its weights")
    if recipe.tuning_epochs == 0:
        remedies.append("tune it for some epochs")
    return [
        *remedies,
        "give tuning more minutes" if recipe.layers else "give the search more minutes",
    ]


def _for_int8(recipe: Int8Recipe) -> list[str]:
    remedies = ["calibrate on more images"]
    if not recipe.float_first:
        remedies.insert(0, "keep the first layer in float")
    if not recipe.float_last:
        remedies.insert(0, "keep the last layer in float")
    return remedies


def _for_rounding(recipe: QuantizeRecipe) -> list[str]:
    return ["use compensated rounding"] if recipe.rounding == "nearest" else []


def _for_statistics(recipe: QuantizeRecipe | PruneRecipe) -> list[str]:
    """Only "auto" compares both statistics of BatchNorm; neither is always the better one."""
    is_unused = isinstance(recipe, PruneRecipe) and recipe.epochs > 0
    if recipe.recalibrate == "auto" or is_unused:
        return []
    return ["re-estimate BatchNorm's statistics as far as it helps"]
