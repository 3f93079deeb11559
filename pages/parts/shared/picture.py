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
from core.data.picture import MAX_PICTURE_BYTES, open_picture
from core.errors import UserError
from pages.parts.shared.shell import draw_error

_SOURCES = ["Sample", "Upload", "Camera"]
_FILE_TYPES = ["png", "jpg", "jpeg", "webp", "bmp", "gif"]
_THUMBNAIL_SIDE = 240  # pixels of the longer side
_ANY_CLASS = "any"


@dataclass(frozen=True, eq=False)
class Picture:
    """An upright RGB picture.

    name: its name for people. key: a hash of the pixels or of the file, which identifies the
    picture in a cache. label: the name of its class, None if that is not known.
    """

    image: Image.Image
    name: str
    key: str
    label: str | None = None


def choose_picture(dataset: str, root: Path) -> Picture | None:
    """Draw the choice of a picture, and return it. None if no picture is chosen yet.

    dataset: the data set that the samples come from. root: the folder of the data sets.
    """
    source = st.segmented_control(
        "Picture",
        _SOURCES,
        default=_SOURCES[0],
        key="picture",
        required=True,
        bind="query-params",
        help=(
            "Choose a test image of the model's data set, a file of yours, or a photograph that"
            " you take now. The picture stays on the machine that runs the app."
        ),
    )
    try:
        if source == "Sample":
            return _choose_sample(dataset, root)
        upload = _draw_camera() if source == "Camera" else _draw_upload()
        return _opened(upload) if upload else None
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


def _draw_upload() -> UploadedFile | None:
    return st.file_uploader(
        "A picture",
        type=_FILE_TYPES,
        key="upload",
        max_upload_size=MAX_PICTURE_BYTES // 2**20,
        help=(
            "A PNG, JPEG, WebP, BMP or GIF file (its first frame) of up to 50 megapixels. The"
            " network gets the middle square."
        ),
    )


def _draw_camera() -> UploadedFile | None:
    return st.camera_input(
        "Photograph", key="camera", help="The browser asks for permission first."
    )


def _opened(upload: UploadedFile) -> Picture:
    content = upload.getvalue()
    digest = hashlib.sha256(content).hexdigest()
    return Picture(_decoded(digest, content), upload.name, digest)


@st.cache_resource(max_entries=4, show_spinner="Opening the picture …")
def _decoded(digest: str, _content: bytes) -> Image.Image:
    return open_picture(_content)


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
    )


def _forget_other_data_set(images: int, classes: tuple[str, ...]) -> None:
    """Reset a class and an image number that were chosen for another data set."""
    state = st.session_state
    if state.get("sample", 0) >= images:
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
        bind="query-params",
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
