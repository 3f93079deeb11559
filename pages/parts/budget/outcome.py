"""Shows what is known before the start: sizes, the limit, and which images decide and report."""

from pathlib import Path

import streamlit as st

from core import data
from core.config import BudgetRecipe
from core.inspect.behaviour.paired import least_shown
from core.runs.run import Run
from pages.parts.budget.fields import minutes_text
from pages.parts.shared.metrics import draw_metric
from pages.parts.shared.words import size


def draw_budget_outcome(
    run: Run, recipe: BudgetRecipe, float_bytes: int, smallest: int | None, root: Path
) -> None:
    """Draw the figures as metrics. run: of the parent.

    float_bytes: of its network. smallest: bytes of the smallest file there is, None if nothing is
    searched. root: the folder of the data sets.
    """
    images = _test_images(run.dataset, root)
    with st.container(horizontal=True, key="budget_figures"):
        draw_metric(
            "Float network",
            size(float_bytes),
            f"{float_bytes:,} bytes",
            "The size of all tensors uncompressed. “Times smaller” compares with it.",
        )
        if not recipe.layers:
            _draw_limit(recipe, float_bytes, images)
        if smallest is not None:
            draw_metric(
                "Smallest file there is",
                size(smallest),
                f"{float_bytes / smallest:.1f}× smaller",
                f"{smallest:,} bytes: each layer has the least that it may get, and everything"
                " else is in the other number format. No search gives less, before tuning.",
            )
        draw_metric(
            "Time, about",
            minutes_text(recipe.minutes),
            "and the tests",
            "The search and the tuning take so long. The tests of the float network and of the"
            " result come on top.",
        )
    if images is not None:
        st.caption(describe_halves(recipe, images))


def describe_halves(recipe: BudgetRecipe, images: int) -> str:
    """Say which half of the test images decides, and which reports. images: of both halves."""
    half_a = (images + 1) // 2
    half_b = images // 2
    report = f"Half B of the test images ({half_b:,}) reports the accuracy and decides nothing."
    if recipe.lose is None:
        return f"{report} Blends of held-back training images judge the candidates."
    return (
        f"Half A of the test images ({half_a:,}) decides whether the limit is kept: even the end"
        f" of the loss's 95% interval must be within it, which {half_a:,} images cannot show of a"
        f" limit below {least_shown(half_a):.2g} points. {report}"
    )


def _draw_limit(recipe: BudgetRecipe, float_bytes: int, images: int | None) -> None:
    if recipe.faster is not None:
        draw_metric(
            "Limit",
            f"{recipe.faster:g}× faster",
            "in float, here",
            "The result answers one image at least so many times faster than the network before,"
            " once its removed channels are taken out. Both are measured in turn, in float by ONNX"
            " Runtime on this machine, and even the lower end of the 95% interval keeps the limit.",
        )
        return
    most = recipe.byte_limit(float_bytes)
    if most is None:
        note = "on half A" if images is None else f"on {(images + 1) // 2:,} images"
        draw_metric(
            "Limit",
            f"{recipe.lose:g} points",
            note,
            "The result loses at most so many percentage points of accuracy on half A of the test"
            " images, compared with the float network on the same images, even at the end of the"
            " 95% interval.",
        )
        return
    draw_metric(
        "Limit",
        size(most),
        f"{float_bytes / most:.3g}× smaller",
        f"{most:,} bytes at most in the packed file, with all that it holds: weights, everything"
        " else, names and shapes.",
    )


def _test_images(dataset: str, root: Path) -> int | None:
    """The number of test images, None if the data set is gone."""
    infos = {choice.name: choice.info for choice in data.available(root)}
    return infos[dataset].test_images if dataset in infos else None
