"""Images of a data set that are not ready on this machine yet, and the button that gets them."""

from pathlib import Path

import streamlit as st

from core import data
from core.errors import UserError
from pages.parts.server.login import access
from pages.parts.server.permission import permission
from pages.parts.shared.progress import drain
from pages.parts.shared.shell import draw_error


def has_images_here(dataset: str, root: Path) -> bool:
    """Whether a page can read the images at once; those of Digits are bundled."""
    return dataset == "Digits" or data.is_ready(dataset, root)


def draw_get_images(what: str, dataset: str, root: Path, key: str) -> None:
    """Say what needs the images, such as "A scan", and draw the button that gets them."""
    st.info(
        f"{what} needs the images of {dataset}, which are not ready on this machine.",
        icon=":material/download:",
    )
    if not st.button(
        "Get them now",
        icon=":material/download:",
        key=key,
        **permission(None, f"Downloads and prepares {dataset}."),
    ):
        return
    try:
        access().check_write()
        drain(data.prepare(dataset, root), st.empty())
    except (UserError, OSError) as error:
        draw_error(error)
        return
    st.rerun()
