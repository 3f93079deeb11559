"""The filters of the images: broken or fixed, the true class, and the wrong answer.

Their state outlives the view that draws them, so that a click on a confusion matrix sets them. The
address carries classes by their index, because a class can have any name.
"""

from dataclasses import dataclass

import streamlit as st

from core.inspect.behaviour.changes import (
    Changes,
    ImageOrder,
    both_wrong_images,
    broken_images,
    fixed_images,
)
from pages.parts.answers.comparison import Comparison
from pages.parts.shared.address import choose, keep_choice_in_address

_ANY = "any"
_KINDS = ["broken", "fixed"]
_KIND_KEY = "answers_kind"
_CLASS_KEY = "answers_class"
_ANSWER_KEY = "answers_answer"


@dataclass(frozen=True)
class ImageFilter:
    """Which images are shown. is_fixed: those that the other model gets right, else broken ones.

    label, answer: indices of the true class and of the wrong answer, None for any.
    """

    is_fixed: bool
    label: int | None
    answer: int | None

    @property
    def is_of_classes(self) -> bool:
        """Whether a true class or a wrong answer is chosen."""
        return self.label is not None or self.answer is not None

    def images(self, changes: Changes) -> ImageOrder:
        """Return the positions of the images, the most confident wrong answer first."""
        choose_images = fixed_images if self.is_fixed else broken_images
        return choose_images(changes, self.label, self.answer)

    def count_both_wrong(self, changes: Changes) -> int:
        """Return the number of images of the same classes that both models get wrong."""
        wrong = changes.first if self.is_fixed else changes.second
        return len(both_wrong_images(changes, wrong, self.label, self.answer))

    def other_kind(self) -> "ImageFilter":
        """Return the filter for fixed images instead of broken ones, or the other way round."""
        return ImageFilter(not self.is_fixed, self.label, self.answer)


def keep_filters(comparison: Comparison) -> None:
    """Keep the filters in the address, also where they are not drawn."""
    options = [_ANY, *map(str, range(len(comparison.classes)))]
    keep_choice_in_address(_CLASS_KEY, options, _ANY, what="class", name="class")
    keep_choice_in_address(_ANSWER_KEY, options, _ANY, what="class", name="answer")
    keep_choice_in_address(_KIND_KEY, _KINDS, _KINDS[0], what="kind of image", name="kind")


def choose_cell(label: int | None, answer: int | None, difference: int = 0) -> None:
    """Choose the images of a cell of the difference of two matrices; any if the cell is None.

    A cell on the diagonal holds right answers, so it chooses its class with any wrong answer.
    difference: the number in the cell. More right answers are fixed images, and more wrong ones
    broken images; fewer are the other way round.
    """
    is_wrong = label is not None and label != answer
    if difference:
        choose(_KIND_KEY, "broken" if is_wrong == (difference > 0) else "fixed")
    choose(_CLASS_KEY, _ANY if label is None else str(label))
    choose(_ANSWER_KEY, str(answer) if is_wrong else _ANY)


def is_filtered() -> bool:
    """Whether a class or an answer is chosen."""
    return any(st.session_state[key] != _ANY for key in (_CLASS_KEY, _ANSWER_KEY))


def draw_filters(comparison: Comparison, changes: Changes) -> ImageFilter:
    """Draw the filters after `keep_filters`, and return what they let through."""
    chosen = _chosen()
    counts = {
        "fixed" if some.is_fixed else "broken": len(some.images(changes))
        for some in (chosen, chosen.other_kind())
    }
    with st.container(horizontal=True, vertical_alignment="bottom", key="answers_filters"):
        st.segmented_control(
            "Images",
            _KINDS,
            key=_KIND_KEY,
            required=True,
            persist_state="session",
            format_func=lambda kind: f"{kind.capitalize()} · {counts[kind]:,}",
            help="Broken: only the first model is right. Fixed: only the first model is wrong.",
        )
        _draw_class("True class", _CLASS_KEY, comparison)
        _draw_class("Wrong answer", _ANSWER_KEY, comparison)
    return _chosen()


def _draw_class(label: str, key: str, comparison: Comparison) -> None:
    options = [_ANY, *map(str, range(len(comparison.classes)))]
    st.selectbox(
        label,
        options,
        key=key,
        persist_state="session",
        width=170,
        format_func=lambda option: option if option == _ANY else comparison.classes[int(option)],
    )


def _chosen() -> ImageFilter:
    state = st.session_state
    label, answer = (
        None if state[key] == _ANY else int(state[key]) for key in (_CLASS_KEY, _ANSWER_KEY)
    )
    return ImageFilter(state[_KIND_KEY] == "fixed", label, answer)
