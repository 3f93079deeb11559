"""The accuracy without fine-tuning at several densities, measured on demand and drawn as a curve.

The trial continues a little at every run of a live fragment.
"""

from pathlib import Path

import streamlit as st

from core.config import PruneRecipe
from core.errors import UserError
from core.runs.run import Run
from core.training.held_back import count_held_back
from pages.parts.prune.tried import TriedDensities, densities_tried, trial_key
from pages.parts.shared.address import keep_in_address
from pages.parts.shared.get_images import draw_get_images, has_images_here
from pages.parts.shared.running_scan import (
    PIECE_SECONDS,
    SECONDS_BETWEEN_PIECES,
    RunningScan,
    draw_progress_row,
)
from pages.parts.shared.saved_model import load_saved_model
from pages.parts.shared.words import part, percent, plain


def draw_trial(run: Run, recipe: PruneRecipe, root: Path) -> None:
    """Draw the button and the curve. While a trial runs, they are drawn again and again.

    root: the folder of the data sets.
    """

    @st.fragment(run_every=SECONDS_BETWEEN_PIECES if _is_on() else None, key="trial_live")
    def draw() -> None:
        from core.forecast.trained_pruning import densities_to_try

        tried = densities_tried(run, recipe, root)
        densities = densities_to_try(load_saved_model(run), recipe)
        if tried:
            _draw_curve(run, recipe, tried)
        failure = st.session_state.pop("trial_failed", "")
        if failure:
            st.error(plain(failure), icon=":material/error:")
        missing = [density for density in densities if density not in tried]
        _draw_controls(run, recipe, root, densities, missing, tried)

    draw()


def _is_on() -> bool:
    """Whether a trial runs. The address carries it as ?try=on, so that a refresh continues it."""
    keep_in_address("trial_on", False, {"on": True}.get, name="try", to_text=lambda _: "on")
    return bool(st.session_state["trial_on"])


def _draw_controls(
    run: Run,
    recipe: PruneRecipe,
    root: Path,
    densities: list[float],
    missing: list[float],
    tried: TriedDensities,
) -> None:
    """Draw the button, or the progress of a running trial, which continues a little."""
    has_images = has_images_here(run.dataset, root)
    if st.session_state["trial_on"]:
        if not has_images:  # the address is from another machine
            _end_trial()
        _continue_trial(run, recipe, root, densities, tried)
        return
    if not has_images:
        draw_get_images("A trial", run.dataset, root, key="trial_data")
        return
    if missing and st.button(
        f"Try {len(missing)} more" if tried else "Try densities",
        icon=":material/query_stats:",
        key="try_densities",
        help=(
            "Prunes a copy of the network to each density as the form says, without fine-tuning,"
            " and measures its accuracy on training images."
        ),
    ):
        st.session_state["trial_on"] = True
        st.rerun()
    st.caption(_reliability(run, tried))


def _draw_curve(run: Run, recipe: PruneRecipe, tried: TriedDensities) -> None:
    from core.charts import pruned_accuracy as charts  # imports altair

    table = charts.tried_table(tried.values())
    classes = len(load_saved_model(run).card.classes)
    # A text that changes would make the browser draw a live chart anew.
    alt = "Accuracy without fine-tuning by density"
    if not st.session_state["trial_on"]:
        alt = charts.tried_alt_text(table)
    st.altair_chart(
        charts.tried_chart(table, recipe.density, max(tried), 1 / classes),
        key="tried",
        alt=alt,
    )
    here = tried.get(recipe.density)
    if here is not None:
        before = tried[max(tried)]
        points = 100 * (here.accuracy - before.accuracy)
        st.markdown(
            f"With {part(here.density)} kept: **{percent(here.accuracy)}**, {points:+.2f} points."
            f" Before pruning: {percent(before.accuracy)} of the same images."
        )


def _reliability(run: Run, tried: TriedDensities) -> str:
    """Say which images were looked at, and what that means."""
    count = f"{next(iter(tried.values())).images:,}" if tried else "up to 1,000"
    text = (
        f"Accuracy on {count} training images from which pruning does not learn, before any"
        " fine-tuning. The test images are left alone, so that what you choose here has not seen"
        " them; the finished run reports them."
    )
    if not count_held_back(load_saved_model(run).card):
        text += (
            " The network was trained on these images, because its training held none back. So all"
            " accuracies are higher here than on new images."
        )
    return text


# -- a running trial --


def _continue_trial(
    run: Run, recipe: PruneRecipe, root: Path, densities: list[float], tried: TriedDensities
) -> None:
    """Draw the progress and the Stop button, and measure for a moment."""
    state = st.session_state
    key = f"{trial_key(run, recipe, root)} {densities}"
    running: RunningScan | None = state.get("trial")
    if running is not None and running.key != key:  # the settings have changed
        _end_trial()
    bar = draw_progress_row("trial", _end_trial)
    if running is None:
        bar.progress(0.0, text="Starting …")
    else:
        bar.progress(running.share, text=running.text)
    try:
        if running is None:
            from core.jobs.pruning_trial import try_densities

            saved = load_saved_model(run)
            running = RunningScan(key, try_densities(saved, recipe, root, densities, tried))
            state["trial"] = running
        has_more = running.run_for(PIECE_SECONDS)
    except (UserError, RuntimeError, MemoryError) as error:  # torch raises the last two
        state["trial_failed"] = str(error) or "Out of memory."
        has_more = False
    if not has_more:
        _end_trial()


def _end_trial() -> None:
    """End the trial and draw the page again. The results so far are kept."""
    st.session_state["trial_on"] = False
    st.session_state.pop("trial", None)
    st.rerun()
