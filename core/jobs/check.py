"""Check all that can be known of a recipe before a run exists.

Commands and pages make the same checks. A command passes the words that a person typed, so that an
error names the flag.
"""

import contextlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from core import data
from core.compress.pruning.methods import check_layerwise, check_pattern, cuts_channels
from core.config import (
    AffineRecipe,
    BudgetRecipe,
    CompressRecipe,
    ImportRecipe,
    Int8Recipe,
    KMeansRecipe,
    PruneRecipe,
    Recipe,
    TrainRecipe,
)
from core.data import Choice, DatasetInfo
from core.errors import UserError
from core.models import check_network

Names = Mapping[str, str]
"""The words for the fields of a recipe and for "data_dir". Other fields have their own names."""


def check_recipe(
    recipe: Recipe, root: Path, names: Names | None = None, dataset: str | None = None
) -> None:
    """Raise UserError, in one sentence, for what would make a run of the recipe fail.

    root: the folder of the data sets. dataset: name of the data set, if the recipe has none.
    """
    names = names or {}
    if isinstance(recipe, TrainRecipe | ImportRecipe):
        info = check_dataset(recipe.dataset, root, names)
        with _named(names.get("model")):
            check_network(recipe.model, info.side)
    else:
        info = check_dataset(dataset or "", root, names)
    if isinstance(recipe, TrainRecipe):
        if recipe.prune is not None:
            prune = recipe.prune
            check_layerwise(prune.method, prune.layerwise, names)
            check_pattern(prune.method, prune.pattern, prune.layerwise, names)
        data.check_validation(
            recipe.validation, info.train_images, names.get("validation", "validation")
        )
        _check_counts(recipe, info, info.train_images - recipe.validation, names)
    if isinstance(recipe, PruneRecipe):
        _check_pruning(recipe, names)
    if isinstance(recipe, KMeansRecipe | AffineRecipe | PruneRecipe) and recipe.epochs:
        _check_counts(recipe, info, info.train_images, names)
    if isinstance(recipe, BudgetRecipe):
        _check_budget(recipe, info, names)
    if isinstance(recipe, Int8Recipe) and recipe.images > info.train_images:
        raise UserError(
            f"{names.get('images', 'images')} must be at most {info.train_images:,}, the training"
            f" images of {info.name}, got {recipe.images}"
        )
    check_device(recipe.device, names.get("device"))
    if isinstance(recipe, TrainRecipe) and recipe.devices > 1:
        _check_devices(recipe, names)


def check_dataset(name: str, root: Path, names: Names | None = None) -> DatasetInfo:
    """Return the facts about a data set. Raises UserError if a run could not get it from `root`."""
    names = names or {}
    folder_name = names.get("data_dir", "The folder of the data sets")
    existing = _check_folder(root, folder_name)
    choices = {choice.name: choice for choice in data.available(root)}
    if name not in choices:
        word = names.get("dataset", "dataset")
        raise UserError(f"{word} must be one of {', '.join(choices)}, got {name!r}")
    if _must_be_written(choices[name]) and not _can_be_written(root, existing):
        raise UserError(
            f"{folder_name} must be a folder that can be written, because {name} is not prepared"
            f" yet, got {root}"
        )
    return choices[name].info


def check_device(device: str, name: str | None = None) -> None:
    """Raise UserError, beginning with `name`, if this machine does not have the device."""
    if device in ("auto", "cpu"):
        return
    from core.training.device import choose_device  # imports torch

    with _named(name):
        choose_device(device)


def _check_devices(recipe: TrainRecipe, names: Names) -> None:
    from core.training.device import choose_devices  # imports torch

    word = names.get("devices", "devices")
    with _named(word):
        choose_devices(recipe.device, recipe.devices)
    if recipe.devices > recipe.batch_size:
        raise UserError(
            f"{word} must be at most {recipe.batch_size}, the batch size, got {recipe.devices}"
        )


def _check_folder(root: Path, name: str) -> Path:
    """Return the folder, or the nearest one above it that exists, in which it can be made."""
    try:
        existing = next(path for path in (root, *root.parents) if path.exists())
        is_folder = existing.is_dir()
    except OSError as error:
        raise UserError(f"{name} must be a folder, got {root} ({error.strerror})") from None
    if not is_folder:
        raise UserError(f"{name} must be a folder, got {root} ({existing} is a file)")
    if not os.access(existing, os.R_OK | os.X_OK):
        raise UserError(f"{name} must be a folder that can be read, got {root}")
    return existing


def _can_be_written(root: Path, existing: Path) -> bool:
    """Whether files can be written to `root`, which is made below the folder that exists.

    Only making it tells. Root has every permission in /proc, but no folder can be made there.
    """
    if not os.access(existing, os.W_OK | os.X_OK):
        return False
    try:
        root.mkdir(parents=True, exist_ok=True)
    except OSError:
        return False
    return True


def _must_be_written(choice: Choice) -> bool:
    """Whether the data set has to be written to disk first. Bundled ones also work in memory."""
    return choice.state in ("on disk", "download")


def _check_counts(
    recipe: TrainRecipe | CompressRecipe, info: DatasetInfo, available: int, names: Names
) -> None:
    """Check the numbers of images in the training and in a batch against those that there are."""
    if recipe.train_images is not None and recipe.train_images > available:
        raise UserError(
            f"{names.get('train_images', 'train_images')} must be at most {available:,}, the"
            f" training images of {info.name}, got {recipe.train_images}"
        )
    images = recipe.train_images or available
    if recipe.batch_size > images:
        raise UserError(
            f"{names.get('batch_size', 'batch_size')} must be at most {images:,}, the number of"
            f" training images, got {recipe.batch_size}"
        )


def _check_budget(recipe: BudgetRecipe, info: DatasetInfo, names: Names) -> None:
    """Check the numbers of images of a budget against those that there are."""
    for field in ("images", "batch_size"):
        count = getattr(recipe, field)
        if field in recipe.model_fields_set and count is not None and count > info.train_images:
            raise UserError(
                f"{names.get(field, field)} must be at most {info.train_images:,}, the training"
                f" images of {info.name}, got {count}"
            )


def _check_pruning(recipe: PruneRecipe, names: Names) -> None:
    """Check the settings of a pruning that exclude each other."""

    def word(field: str) -> str:
        return names.get(field, field)

    method = f"{word('method')} {recipe.method}"
    if recipe.layer_densities != "global" and cuts_channels(recipe.method):
        raise UserError(
            f"{word('layer_densities')} must be global with {method}, got {recipe.layer_densities}"
        )
    if recipe.gradual > recipe.epochs:
        raise UserError(
            f"{word('gradual')} must be at most {recipe.epochs}, the epochs of fine-tuning"
            f" ({word('epochs')}), got {recipe.gradual}"
        )
    if recipe.gradual and recipe.method == "compensated":
        raise UserError(f"{word('gradual')} must be 0 with {method}, which prunes at once")
    if recipe.rewind is None:
        return
    if not recipe.epochs:
        raise UserError(f"{word('rewind')} needs {word('epochs')} of fine-tuning after it")
    if recipe.gradual:
        raise UserError(f"{word('rewind')} needs {word('gradual')} 0: it is done once")
    if recipe.method == "compensated":
        raise UserError(
            f"{word('rewind')} does not go with {method}: it would undo what the kept weights make"
            " up for"
        )


def check_density_left(density: float, before: float, word: str = "density") -> None:
    """Raise UserError if a network that keeps `before` of its weights cannot keep `density`.

    A density of 1 prunes nothing, and is always possible.
    """
    if before <= density < 1:
        raise UserError(
            f"{word} must be below {before:.6g}, the fraction of its weights that the parent keeps,"
            f" got {density:g}; 1 prunes nothing"
        )


@contextlib.contextmanager
def _named(name: str | None) -> Iterator[None]:
    """Begin the text of a UserError from inside with `name`, if there is one."""
    try:
        yield
    except UserError as error:
        if name is None:
            raise
        raise UserError(f"{name}: {error}") from None
