"""The figures of a budget run as metrics: its best so far, then the result beside its limit."""

import streamlit as st

from core.config import BudgetRecipe
from core.events import Summary
from core.runs.budget import (
    LimitOutcome,
    TriedCandidate,
    best_so_far,
    chosen_candidate,
    limit_outcome,
    tried_candidates,
)
from core.runs.run import Run
from core.runs.store import RunStore
from pages.parts.budget.search.figures import draw_accuracies, draw_sizes
from pages.parts.budget.search.speeds import draw_speed_result, speed_sentence
from pages.parts.budget.sizes import float_bytes_of_run
from pages.parts.shared.metrics import draw_metric
from pages.parts.shared.words import size


def draw_budget_result(store: RunStore, run: Run) -> None:
    """Draw the figures that a budget run has so far."""
    recipe = run.recipe
    assert isinstance(recipe, BudgetRecipe)
    if recipe.faster is not None:
        draw_speed_result(store, run, recipe)
        return
    tried = tried_candidates(store.events(run.id))
    summary = run.status.summary
    with st.container(horizontal=True, key="figures"):
        if summary is not None:
            draw_accuracies(run, summary)
            draw_sizes(summary)
            outcome = limit_outcome(recipe, chosen_candidate(tried, summary), summary)
            _draw_limit(recipe, outcome, summary)
        elif tried:
            most = recipe.byte_limit(float_bytes_of_run(store, run))
            _draw_best(best_so_far(recipe, tried, most), len(tried), most)


def limit_sentence(recipe: BudgetRecipe, outcome: LimitOutcome, summary: Summary) -> str:
    """Say whether the limit is kept, with what slack, or by how much it is broken.

    A loss on half B that is beyond the limit is named, too.
    """
    if outcome.unit == "times":
        return speed_sentence(recipe, outcome, summary)
    sentence = _decision_sentence(recipe, outcome)
    reported = _reported_loss(summary)
    if recipe.lose is None or reported is None or reported <= recipe.lose:
        return sentence
    return f"{sentence} On half B, which only reports, it loses {reported:.2f} points."


def is_limit_kept(store: RunStore, run: Run) -> bool:
    """Whether a finished budget run keeps its limit, on both halves of the test images."""
    recipe = run.recipe
    summary = run.status.summary
    assert isinstance(recipe, BudgetRecipe)
    if summary is None:
        return True
    chosen = chosen_candidate(tried_candidates(store.events(run.id)), summary)
    outcome = limit_outcome(recipe, chosen, summary)
    reported = _reported_loss(summary)
    is_kept = outcome is None or outcome.is_kept
    return is_kept and (recipe.lose is None or reported is None or reported <= recipe.lose)


def _reported_loss(summary: Summary) -> float | None:
    """Return the percentage points that the result loses on half B."""
    if summary.parent_accuracy is None:
        return None
    return 100 * (summary.parent_accuracy - summary.test_accuracy)


def _decision_sentence(recipe: BudgetRecipe, outcome: LimitOutcome) -> str:
    if outcome.unit == "bytes":
        if outcome.slack >= 0:
            return f"The limit is kept, with {outcome.slack:,.0f} bytes to spare."
        return f"The limit is broken by {-outcome.slack:,.0f} bytes."
    if outcome.is_kept:
        return (
            f"On half A, which decides, even the end of the 95% interval keeps the limit of"
            f" {recipe.lose:g} points, with {-outcome.uncertain:.2f} points to spare."
        )
    if outcome.slack >= 0:
        return (
            f"On half A the result loses less than the limit of {recipe.lose:g} points, but its 95%"
            f" interval ends {outcome.uncertain:.2f} points above it. So this is the nearest, and"
            " not certain."
        )
    return (
        f"No candidate kept the limit of {recipe.lose:g} points on half A. This is the nearest,"
        f" which loses {-outcome.slack:.2f} points more."
    )


def best_sentence(store: RunStore, run: Run) -> str:
    """Say what a budget run that was stopped leaves. Empty if it tried nothing."""
    recipe = run.recipe
    assert isinstance(recipe, BudgetRecipe)
    tried = tried_candidates(store.events(run.id))
    if not tried:
        return ""
    if not run.packed_file.exists():
        return f"Candidates that were tried: {len(tried):,}. None of them is kept as a file."
    number = run.packed_file.stat().st_size
    same = [made for made in tried if made.bytes == number]
    made = min(same, key=lambda made: made.divergence, default=None)
    figures = "" if made is None else f", KL divergence {made.divergence:.4f} nats"
    return f"**Packed** is the best so far: {number:,} bytes{figures}. No test image has tested it."


def _draw_limit(recipe: BudgetRecipe, outcome: LimitOutcome | None, summary: Summary) -> None:
    if outcome is None:
        return
    value, note = _limit_texts(outcome)
    draw_metric("Limit", value, note, limit_sentence(recipe, outcome, summary))


def _limit_texts(outcome: LimitOutcome) -> tuple[str, str]:
    """Return in a word whether the limit is kept, and by how much."""
    if outcome.unit == "bytes":
        text = f"{abs(outcome.slack):,.0f} bytes"
    elif outcome.slack < 0:
        text = f"{-outcome.slack:.2f} points"
    else:
        text = f"{abs(outcome.uncertain):.2f} points"
    if outcome.slack < 0:
        return "missed", f"missed by {text}"
    return ("kept", f"{text} to spare") if outcome.is_kept else ("not certain", f"by {text}")


def _draw_best(best: TriedCandidate | None, count: int, most: int | None) -> None:
    """Draw the best candidate while the search works. most: the limit in bytes."""
    if best is None:
        draw_metric("Best so far", "—", "none keeps the limit yet")
    else:
        note = f"{best.bytes:,} bytes" if most is None else f"{best.bytes:,} of {most:,} bytes"
        draw_metric("Best so far", size(best.bytes), note)
        draw_metric(
            "KL divergence",
            f"{best.divergence:.4f} nats",
            "tuned" if best.epochs else "not tuned",
            "Mean Kullback-Leibler divergence of its answers from those of the float network, on"
            " blends of training images that are held back. It is as unsure of blends as of new"
            " images. 0 means the same answers.",
        )
        if best.lost is not None:
            draw_metric(
                "Lost on half A", f"{best.lost:.2f} points", f"at most {best.most_lost:.2f}"
            )
    draw_metric("Candidates", f"{count:,}", "tried together")
