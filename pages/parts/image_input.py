"""The picture that a page looks at: one of a data set, an upload or the camera's, as RGB; or a sentence why not."""

import hashlib
import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import streamlit as st
from PIL import Image

from core import data
from core.data.picture import MAX_BYTES, open_picture
from core.errors import UserError
from pages.parts.states import plain

SOURCES = ["Sample", "Upload", "Camera"]
TYPES = ["png", "jpg", "jpeg", "webp", "bmp", "gif"]
THUMBNAIL = 240  # pixels of the longer side
ANY = "any"


@dataclass(frozen=True, eq=False)
class Picture:
    """An upright RGB picture with a name for people, a `key` that other pixels never have, and its class if known."""

    image: Image.Image
    name: str
    key: str
    label: str | None = None


def choose(dataset: str, root: Path) -> Picture | None:
    """Draw the choice of a picture; None until there is one. `dataset` is where the samples are from."""
    source = st.segmented_control("Picture", SOURCES, default=SOURCES[0], key="picture", required=True,
                                  bind="query-params", help="A test image of the model's data set, a file of yours, "
                                  "or a photograph taken now. It is looked at on the machine that runs the app.")
    try:
        if source == "Sample":
            return _sample(dataset, root)
        upload = _camera() if source == "Camera" else _upload()
        return upload and _opened(upload)
    except UserError as error:
        st.error(plain(str(error)), icon=":material/broken_image:")
        return None


def thumbnail(image: Image.Image) -> bytes:
    """A PNG to show, small pictures enlarged without smoothing, so that each pixel can be seen."""
    if max(image.size) >= THUMBNAIL:
        image = image.copy()
        image.thumbnail((THUMBNAIL, THUMBNAIL))
    else:
        zoom = THUMBNAIL // max(image.size)
        image = image.resize((image.width * zoom, image.height * zoom), Image.Resampling.NEAREST)
    file = io.BytesIO()
    image.save(file, "PNG", compress_level=1)
    return file.getvalue()


def _upload():
    return st.file_uploader("A picture", type=TYPES, key="upload", max_upload_size=MAX_BYTES // 2**20,
                            help="PNG, JPEG, WebP, BMP or GIF (its first frame), up to 50 megapixels. The middle "
                                 "square is what a network sees.")


def _camera():
    return st.camera_input("Photograph", key="camera", help="The browser asks for permission first.")


def _opened(upload) -> Picture:
    content = upload.getvalue()
    digest = hashlib.sha256(content).hexdigest()
    return Picture(_decoded(digest, content), upload.name, digest)


@st.cache_resource(max_entries=4, show_spinner="Opening the picture ...")
def _decoded(digest: str, _content: bytes) -> Image.Image:
    return open_picture(_content)


def _sample(dataset: str, root: Path) -> Picture | None:
    if dataset != "Digits" and not data.is_ready(dataset, root):
        st.info(f"{dataset} is not on this machine yet: a training or its preview fetches it. Meanwhile, upload a "
                "picture.", icon=":material/download:")
        return None
    loaded = data.load(dataset, root)
    labels = loaded.test.labels
    if not st.session_state.get("sample", 0) < len(labels):  # of a larger data set
        st.session_state["sample"] = 0
    if st.session_state.get("class") not in (ANY, *loaded.classes):
        st.session_state["class"] = ANY
    with st.container(horizontal=True, vertical_alignment="bottom", key="samples"):
        st.selectbox("Class", [ANY, *loaded.classes], key="class", on_change=_draw, args=(labels, loaded.classes),
                     help="Draws a test image of this class.", width=160)
        st.number_input("Test image", 0, len(labels) - 1, 0, 1, key="sample", bind="query-params", width=150,
                        on_change=lambda: st.session_state.update({"class": ANY}),
                        help=f"The number of the image in {dataset}'s test set.")
        st.button("Another", icon=":material/shuffle:", key="another", on_click=_draw, args=(labels, loaded.classes),
                  help="A random test image of this class.")
    index = int(st.session_state["sample"])
    pixels = np.ascontiguousarray(loaded.test.images[index].transpose(1, 2, 0))
    return Picture(Image.fromarray(pixels), f"test image {index} of {dataset}",
                   hashlib.sha256(pixels.tobytes()).hexdigest(), loaded.classes[labels[index]])


def _draw(labels: np.ndarray, classes: tuple[str, ...]) -> None:
    """Put the number of a random image of the chosen class into its field."""
    chosen = st.session_state["class"]
    among = np.flatnonzero(labels == classes.index(chosen)) if chosen in classes else np.arange(len(labels))
    if len(among):
        st.session_state["sample"] = int(np.random.default_rng().choice(among))
