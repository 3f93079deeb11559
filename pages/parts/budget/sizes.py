"""The sizes that a limit is compared with, and the refusal of a limit that nothing keeps."""

import sys
from pathlib import Path

import streamlit as st

from core.config import BudgetRecipe
from core.errors import UserError
from core.models.tensor_file import read_header
from core.runs.run import Run
from core.runs.store import RunStore
from pages.parts.budget.fields import BUDGET_LABELS
from pages.parts.shared.cache import FileKey, model_key

_NEAR = 400
"""A packed file holds its recipe, whose text takes some bytes more or less than that of another."""


def float_bytes_of(run: Run) -> int:
    """Return the bytes of all tensors of a run's model. Raises UserError for a damaged file."""
    return _float_bytes(model_key(run))


def float_bytes_of_run(store: RunStore, run: Run) -> int | None:
    """Return the bytes of the float network of a budget run; None if they are not known."""
    if run.status.summary is not None:
        return run.status.summary.float_bytes
    try:
        return float_bytes_of(store.get(run.config.parent or ""))
    except UserError:  # the parent was deleted
        return None


def smallest_bytes(run: Run, recipe: BudgetRecipe) -> int:
    """Return the size of the smallest file that the recipe's kinds can give a run's network.

    It takes seconds the first time. The other settings change it by a few bytes.
    """
    return _smallest_bytes(model_key(run), recipe.kinds, recipe.rest)


def describe_check(recipe: BudgetRecipe) -> str:
    """Say what `check_limit` waits for, which takes longest the first time."""
    ready = "" if "torch" in sys.modules else "Getting ready and "
    if recipe.faster is not None:
        return f"{ready}looking for channels that can leave …".capitalize()
    return f"{ready}measuring the smallest file there is …".capitalize()


def check_limit(run: Run, recipe: BudgetRecipe) -> None:
    """Raise UserError if no choice keeps the limit of bytes, or if a layer is not there.

    For a limit of time: if no channel can leave the network.
    """
    key = model_key(run)
    if recipe.layers:
        _check_choices(key, recipe.model_dump_json())
        return
    if recipe.faster is not None:
        try:
            _check_channels(key)
        except UserError as error:
            raise UserError(f"{BUDGET_LABELS['faster']}: {error}") from None
        return
    most = recipe.byte_limit(float_bytes_of(run))
    if most is None or most > smallest_bytes(run, recipe) + _NEAR:
        return
    name = "bytes" if recipe.bytes is not None else "smaller"
    try:
        _check_smallest(key, recipe.model_dump_json())
    except UserError as error:
        raise UserError(f"{BUDGET_LABELS[name]}: {error}") from None


@st.cache_data(show_spinner=False, max_entries=32)
def _float_bytes(model: FileKey) -> int:
    path = Path(model[0])
    try:
        header = read_header(path)
    except (OSError, ValueError) as error:
        raise UserError(f"{path} is damaged ({error}); choose another model.") from error
    return sum(tensor.nbytes for tensor in header.tensors.values())


@st.cache_data(show_spinner=False, max_entries=32)
def _smallest_bytes(model: FileKey, kinds: tuple[str, ...], rest: str) -> int:
    from core.jobs.budget.checks import smallest_limit  # imports torch
    from core.models.saved import read_model

    recipe = BudgetRecipe.model_validate({"bytes": 1, "kinds": kinds, "rest": rest})
    return smallest_limit(recipe, read_model(Path(model[0])))


@st.cache_data(show_spinner=False, max_entries=32)
def _check_smallest(model: FileKey, recipe: str) -> None:
    from core.jobs.budget.checks import check_smallest  # imports torch
    from core.models.saved import read_model

    check_smallest(BudgetRecipe.model_validate_json(recipe), read_model(Path(model[0])))


@st.cache_data(show_spinner=False, max_entries=32)
def _check_choices(model: FileKey, recipe: str) -> None:
    from core.jobs.budget.checks import check_choices  # imports torch
    from core.models.saved import read_model

    check_choices(BudgetRecipe.model_validate_json(recipe), read_model(Path(model[0])))


@st.cache_data(show_spinner=False, max_entries=32)
def _check_channels(model: FileKey) -> None:
    from core.jobs.budget.channels.masks import check_channels  # imports torch
    from core.models.saved import read_model

    check_channels(read_model(Path(model[0])))
