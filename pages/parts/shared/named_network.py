"""The field for the name of one of timm's networks, of which a checkpoint is."""

from typing import TYPE_CHECKING

import streamlit as st

from core.errors import UserError
from core.models import is_timm_name, model_info

if TYPE_CHECKING:
    from core.checkpoints.reader import Checkpoint
    from core.checkpoints.recognition import RecognisedNetwork

_FIELD = "Network of timm"


def draw_named_network(checkpoint: "Checkpoint") -> "RecognisedNetwork | None":
    """Draw the field. Return the network if its name was typed, and the tensors match by name.

    Raises UserError if timm has no such network, or if the tensors are others.
    """
    typed = st.text_input(
        _FIELD,
        placeholder="timm/resnet18",
        key="net_timm",
        help=(
            "timm has too many networks to try them all. If the file is of one of them, type its"
            " name."
        ),
    ).strip()
    if not typed:
        return None
    with st.spinner("Building the network …", show_time=True):
        return _matched(checkpoint, typed if is_timm_name(typed) else f"timm/{typed}")


def _matched(checkpoint: "Checkpoint", name: str) -> "RecognisedNetwork":
    from core.checkpoints.matching import count_classes, match_tensors  # imports torch
    from core.checkpoints.recognition import RecognisedNetwork

    model = model_info(name, _FIELD).name
    classes = count_classes(checkpoint.state, model)
    if classes is None:
        raise UserError(f"{checkpoint.name} is no {model}: it lacks that network's last layer.")
    match_tensors(checkpoint.state, model, classes, name=checkpoint.name)
    return RecognisedNetwork(model, classes, by_order=False)
