"""The choice of one RGB picture: a test image of a data set, an upload or a photograph."""

import hashlib
import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import streamlit as st
from PIL import Image
from streamlit.runtime.uploaded_file_manager import UploadedFile

from core import data
from core.data.isolated import open_picture_isolated
from core.data.picture import MAX_PICTURE_BYTES
from core.errors import UserError
from pages.parts.server.permission import permission
from pages.parts.shared.address import keep_choice_in_address, keep_in_address, number_parser
from pages.parts.shared.shell import draw_error
from pages.parts.shared.words import plain

_SOURCES = ["Sample", "Upload", "Camera"]
_FILE_TYPES = ["png", "jpg", "jpeg", "webp", "bmp", "gif"]
_THUMBNAIL_SIDE = 240  # pixels of the longer side
_ANY_CLASS = "any"

_KEPT = "kept_picture"
"""The key in the state of the session of the picture that a person brought."""


@dataclass(frozen=True, eq=False)
class Picture:
    """An upright RGB picture.

    name: its name for people. key: a hash of the pixels or of the file, which identifies the
    picture in a cache. label: the name of its class, None if that is not known. dataset: the data
    set that it is a test image of, None for a file or a photograph.
    """

    image: Image.Image
    name: str
    key: str
    label: str | None = None
    dataset: str | None = None


def choose_picture(dataset: str, root: Path) -> Picture | None:
    """Draw the choice of a picture, and return it. None if no picture is chosen yet.

    A file or a photograph is kept until the end of the session, on all pages, or until it is
    removed. dataset: the data set that the samples come from. root: the folder of the data sets.
    """
    keep_choice_in_address("picture", _SOURCES, _SOURCES[0], what="kind of picture")
    source = st.segmented_control(
        "Picture",
        _SOURCES,
        default=_SOURCES[0],
        key="picture",
        required=True,
        persist_state="session",
        help=(
            "Choose a test image of the model's data set, a file of yours, or a photograph that"
            " you take now. The picture stays on the machine that runs the app."
        ),
    )
    try:
        if source in ("Upload", "Camera"):
            return _choose_own_picture(source)
        return _choose_sample(dataset, root)
    except UserError as error:
        draw_error(error)
        return None


def thumbnail(image: Image.Image) -> bytes:
    """A PNG of the image. A small image is enlarged without smoothing, so that its pixels show."""
    if max(image.size) >= _THUMBNAIL_SIDE:
        image = image.copy()
        image.thumbnail((_THUMBNAIL_SIDE, _THUMBNAIL_SIDE))
    else:
        zoom = _THUMBNAIL_SIDE // max(image.size)
        image = image.resize((image.width * zoom, image.height * zoom), Image.Resampling.NEAREST)
    file = io.BytesIO()
    image.save(file, "PNG", compress_level=1)
    return file.getvalue()


# -- a file or a photograph --


def _choose_own_picture(source: str) -> Picture | None:
    """Return the kept picture. Without one, draw the way to bring one."""
    kept: Picture | None = st.session_state.get(_KEPT)
    if kept is not None:
        _draw_kept(kept)
        return kept
    upload = _draw_camera() if source == "Camera" else _draw_upload()
    if upload is None:
        return None
    st.session_state[_KEPT] = _opened(upload)
    st.rerun()


def _draw_kept(picture: Picture) -> None:
    with st.container(horizontal=True, vertical_alignment="center", key="kept"):
        st.markdown(f":material/image: **{plain(picture.name)}**", width="content")
        st.button(
            "Remove",
            icon=":material/close:",
            type="tertiary",
            key="remove",
            on_click=_forget_kept,
            help="Forgets this picture, so that you can choose another one.",
        )
    st.caption("It is kept until you close this tab, also when you visit other pages.")


def _forget_kept() -> None:
    st.session_state.pop(_KEPT, None)


def _draw_upload() -> UploadedFile | None:
    return st.file_uploader(
        "A picture",
        type=_FILE_TYPES,
        key="upload",
        max_upload_size=MAX_PICTURE_BYTES // 2**20,
        **permission(
            None,
            "A PNG, JPEG, WebP, BMP or GIF file (its first frame) of up to 50 megapixels. The"
            " network gets the middle square.",
        ),
    )


def _draw_camera() -> UploadedFile | None:
    return st.camera_input(
        "Photograph", key="camera", **permission(None, "The browser asks for permission first.")
    )


def _opened(upload: UploadedFile) -> Picture:
    """Decode an upload. Raises UserError for anything but a picture."""
    content = upload.getvalue()
    with st.spinner("Opening the picture …"):
        image = open_picture_isolated(content)
    return Picture(image, upload.name, hashlib.sha256(content).hexdigest())


# -- a test image --


def _choose_sample(dataset: str, root: Path) -> Picture | None:
    """Draw the choice of a test image. None if the data set is not on this machine."""
    if dataset != "Digits" and not data.is_ready(dataset, root):
        st.info(
            f"{dataset} is not on this machine yet. A training or its preview fetches it. You can"
            " upload a picture instead.",
            icon=":material/download:",
        )
        return None
    loaded = data.load(dataset, root)
    labels = loaded.test.labels
    _forget_other_data_set(len(labels), loaded.classes)
    with st.container(horizontal=True, vertical_alignment="bottom", key="samples"):
        _draw_class_choice(labels, loaded.classes)
        _draw_number_choice(dataset, len(labels))
        st.button(
            "Another",
            icon=":material/shuffle:",
            key="another",
            on_click=_choose_random_sample,
            args=(labels, loaded.classes),
            help="Choose a random test image of this class.",
        )
    index = int(st.session_state["sample"])
    pixels = np.ascontiguousarray(loaded.test.images[index].transpose(1, 2, 0))
    return Picture(
        image=Image.fromarray(pixels),
        name=f"test image {index} of {dataset}",
        key=hashlib.sha256(pixels.tobytes()).hexdigest(),
        label=loaded.classes[labels[index]],
        dataset=dataset,
    )


def _forget_other_data_set(images: int, classes: tuple[str, ...]) -> None:
    """Reset a class and an image number that were chosen for another data set."""
    state = st.session_state
    keep_in_address("sample", 0, number_parser(int, 0, None))
    if state["sample"] >= images:
        state["sample"] = 0
    if state.get("class") not in (_ANY_CLASS, *classes):
        state["class"] = _ANY_CLASS


def _draw_class_choice(labels: np.ndarray, classes: tuple[str, ...]) -> None:
    st.selectbox(
        "Class",
        [_ANY_CLASS, *classes],
        key="class",
        on_change=_choose_random_sample,
        args=(labels, classes),
        help="Choose a class to get a random test image of it.",
        width=160,
    )


def _draw_number_choice(dataset: str, images: int) -> None:
    st.number_input(
        "Test image",
        0,
        images - 1,
        0,
        1,
        key="sample",
        persist_state="session",
        width=150,
        on_change=_choose_any_class,
        help=f"The number of the image in the test set of {dataset}.",
    )


def _choose_any_class() -> None:
    st.session_state["class"] = _ANY_CLASS


def _choose_random_sample(labels: np.ndarray, classes: tuple[str, ...]) -> None:
    """Set the image number to that of a random image of the chosen class."""
    chosen = st.session_state["class"]
    if chosen in classes:
        indices = np.flatnonzero(labels == classes.index(chosen))
    else:
        indices = np.arange(len(labels))
    if len(indices):
        st.session_state["sample"] = int(np.random.default_rng().choice(indices))
