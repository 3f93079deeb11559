"""Finds the settings in which runs differ, for a comparison and for the axes of a sweep.

A setting is named by the kind of its recipe and the path of its field, such as
"train.prune.density". A run that was made in several steps has the settings of all its recipes.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pydantic import BaseModel

from core.config import Recipe

Value = str | int | float | bool | None
"""One setting. None stands for a setting that the run does not have."""

Settings = Mapping[str, Value]

DENSITY = "train.prune.density"
METHOD = "train.prune.method"
SEED = "train.seed"
TRAINED_METHOD = "prune.method"
"""The method by which a trained network was pruned."""

_LABELS = {
    "train.model": "Network",
    "train.dataset": "Data set",
    "train.prune.density": "Density",
    "train.prune.method": "Method",
    "train.prune.layerwise": "Layerwise",
    "train.prune.pattern": "Pattern",
    "train.lr": "Learning rate",
    "train.seed": "Seed",
    "import.model": "Network",
    "import.dataset": "Data set",
    "import.std": "Standard deviation",
    "prune.density": "Density after training",
    TRAINED_METHOD: "Method after training",
    "prune.epochs": "Fine-tuning epochs",
    "prune.lr": "Fine-tuning learning rate",
    "prune.train_images": "Fine-tuning images",
    "prune.gradual": "Epochs of gradual pruning",
    "prune.every": "Steps between two prunings",
    "prune.rewind": "Rewound to epoch",
    "prune.images": "Images for pruning",
    "kmeans.init": "Start of the clustering",
    "kmeans.epochs": "Tuning epochs",
    "kmeans.lr": "Tuning learning rate",
    "kmeans.train_images": "Tuning images",
    "affine.epochs": "Tuning epochs",
    "affine.lr": "Tuning learning rate",
    "affine.train_images": "Tuning images",
    "affine.range": "Range of the grid",
    "budget.bytes": "Limit in bytes",
    "budget.smaller": "Limit: times smaller",
    "budget.lose": "Limit: points lost",
    "budget.faster": "Limit: times faster",
    "budget.kinds": "Choices of a layer",
    "budget.images": "Images for the search",
    "budget.lr": "Tuning learning rate",
    "int8.images": "Calibration images",
    "int8.float_first": "First layer in float",
    "int8.float_last": "Last layer in float",
}

# They do not change the result, or follow from what the recipe was applied to.
_WITHOUT_EFFECT = frozenset({"kind", "device", "devices", "keep_every", "keep_mb"})


def settings_of(recipes: Iterable[Recipe]) -> dict[str, Value]:
    """Return the settings of a run by name.

    recipes: those of the run and of its ancestors, the first one first. A dense network has the
    density 1 and no other setting of the pruning.
    """
    settings: dict[str, Value] = {}
    for recipe in recipes:
        for name, value in _flat(recipe).items():
            settings[f"{recipe.kind}.{name}"] = value
        if recipe.kind == "train" and recipe.prune is None:
            del settings["train.prune"]
            settings[DENSITY] = 1.0
    return settings


def label_of(name: str) -> str:
    """Return the words for a setting, such as "Learning rate" for "train.lr"."""
    if name in _LABELS:
        return _LABELS[name]
    field = name.rpartition(".")[2]
    words = field.replace("_", " ").capitalize()
    if name.startswith("train.prune."):
        return f"Scoring: {words.lower()}"
    return words


def differing(runs: Sequence[Settings]) -> list[str]:
    """Return the names of the settings in which the runs differ, in the order of the recipes."""
    names = dict.fromkeys(name for settings in runs for name in settings)
    return [name for name in names if len({settings.get(name) for settings in runs}) > 1]


def _flat(recipe: BaseModel, prefix: str = "") -> dict[str, Value]:
    """Return the fields by their dotted paths. A list or table becomes text."""
    values: dict[str, Value] = {}
    for name in type(recipe).model_fields:
        value = getattr(recipe, name)
        if name in _WITHOUT_EFFECT:
            continue
        if isinstance(value, BaseModel):
            values |= _flat(value, f"{prefix}{name}.")
        else:
            values[prefix + name] = _plain(value)
    return values


def _plain(value: Any) -> Value:
    match value:
        case None | bool() | int() | float() | str():
            return value
        case dict():
            return ", ".join(f"{key}={item}" for key, item in value.items()) or None
        case _:
            return ", ".join(str(item) for item in value)
