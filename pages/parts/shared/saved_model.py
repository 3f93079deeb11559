"""The model of a run, read once and kept for all sessions."""

from pathlib import Path
from typing import TYPE_CHECKING

import streamlit as st

from core.runs.run import Run
from pages.parts.shared.cache import FileKey, model_key

if TYPE_CHECKING:
    from core.models.saved import SavedModel


def load_saved_model(run: Run) -> "SavedModel":
    """Return the card and the weights of a run's model. Raises UserError for a damaged file."""
    return _load(model_key(run))


@st.cache_resource(show_spinner=False, max_entries=2)
def _load(model: FileKey) -> "SavedModel":
    from core.models import saved  # imports torch when it reads

    return saved.read_model(Path(model[0]))
