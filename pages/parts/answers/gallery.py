"""The images that one of two models gets right and the other wrong, with all answers."""

import numpy as np
import streamlit as st
from PIL import Image

from core.inspect.behaviour.changes import Changes
from pages.parts.answers.comparison import AnsweringModel, Comparison
from pages.parts.answers.filters import ImageFilter, draw_filters
from pages.parts.shared.picture import thumbnail
from pages.parts.shared.words import plain

_PAGE = 24  # images
_CARD = 168  # pixels
_PICTURE = 112


def draw_gallery(comparison: Comparison, other: AnsweringModel) -> None:
    """Draw the filters and the images, after `filters.keep_filters`.

    The images whose wrong answer is the most confident come first.
    """
    changes = comparison.changes[other.letter]
    chosen = draw_filters(comparison, changes)
    images = chosen.images(changes)
    _draw_both_wrong(chosen, changes)
    if not len(images):
        st.info(_no_images(chosen), icon=":material/image_search:")
        return
    wrong = comparison.first if chosen.is_fixed else other
    st.caption(
        f"{len(images):,} of {len(comparison.labels):,} test images, the most confident wrong"
        f" answer of {wrong.letter} first. A percentage is the probability of the answer."
    )
    place = st.container(horizontal=True, key="answers_gallery")
    page = _choose_page(len(images), f"{chosen} {other.letter}")
    with place:
        for image in images[_PAGE * (page - 1) : _PAGE * page]:
            _draw_card(comparison, other, int(image))


def _draw_both_wrong(chosen: ImageFilter, changes: Changes) -> None:
    """Say how many images of the chosen classes are left out, because no model is right."""
    count = chosen.count_both_wrong(changes)
    if chosen.is_of_classes and count:
        verb = "image of this choice is" if count == 1 else "images of this choice are"
        st.caption(f"{count:,} {verb} wrong in both models, so neither broken nor fixed.")


def _no_images(chosen: ImageFilter) -> str:
    kind = "fixed" if chosen.is_fixed else "broken"
    return f"No image {'of this choice' if chosen.is_of_classes else 'at all'} is {kind}."


def _choose_page(images: int, key: str) -> int:
    """Draw the choice of a page of images, and return its number, from 1."""
    pages = -(-images // _PAGE)
    if pages == 1:
        return 1
    return st.pagination(pages, key=f"answers_page {key}")


def _draw_card(comparison: Comparison, other: AnsweringModel, image: int) -> None:
    label = comparison.classes[comparison.labels[image]]
    with st.container(border=True, width=_CARD, key=f"image-{image}"):
        pixels = np.ascontiguousarray(comparison.dataset.test.images[image].transpose(1, 2, 0))
        st.image(
            _picture(pixels.tobytes(), pixels.shape[0]),
            width=_PICTURE,
            alt=f"Test image {image}, {label}",
        )
        lines = [f"True: **{plain(label)}**"]
        lines += [_answer_line(comparison, model, image) for model in comparison.models]
        st.markdown("  \n".join(lines))
        _draw_link(comparison, other, image)


def _answer_line(comparison: Comparison, model: AnsweringModel, image: int) -> str:
    answer = model.answers.predicted[image]
    is_right = answer == comparison.labels[image]
    sign = ":green[✓]" if is_right else ":red[✗]"
    confidence = model.answers.confidence[image]
    return f"{sign} {model.letter}: {plain(comparison.classes[answer])}, {confidence:.0%}"


def _draw_link(comparison: Comparison, other: AnsweringModel, image: int) -> None:
    """Link to the activations for the image, which the page shows for up to three models."""
    more = [model for model in comparison.others if model is not other]
    shown = [comparison.first, other, *more][:3]
    models = {key: model.run.id for key, model in zip("abc", shown, strict=False)}
    st.page_link(
        "pages/activations.py",
        label=f"Image {image}",
        icon=":material/blur_on:",
        query_params={"of": "Models", **models, "picture": "Sample", "sample": str(image)},
        help="See the activations of the models for this image.",
    )


@st.cache_data(max_entries=2000, show_spinner=False)
def _picture(pixels: bytes, side: int) -> bytes:
    """Return an image (side, side, 3) as a PNG, enlarged without smoothing."""
    return thumbnail(Image.frombytes("RGB", (side, side), pixels))
