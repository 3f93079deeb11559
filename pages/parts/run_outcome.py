"""What came out of a run, in a sentence and in figures: each kind of recipe has its own."""

from typing import Any

import streamlit as st

from core.config import AffineRecipe, ImportRecipe, KMeansRecipe
from core.runs.run import MODEL, PACKED, Run
from core.runs.store import RunStore, describe
from pages.parts.states import duration, kept, percent, plain, size


def sentence(store: RunStore, run: Run) -> str:
    """What a finished run achieved, and what to do next."""
    match run.recipe:
        case ImportRecipe():
            return _imported(run)
        case KMeansRecipe() | AffineRecipe():
            return _quantized(run)
    return _trained(store, run)


def figures(run: Run, rows: list[dict]) -> None:
    """Draw the figures that the run has by now; `rows` are its epochs."""
    with st.container(horizontal=True, key="figures"):
        if run.recipe.kind in ("kmeans", "affine"):
            _before_and_after(run, rows)
        elif run.recipe.kind == "import":
            _accuracy(run)
            _kept(run)
            if (run.path / MODEL).exists():
                st.metric("On disk", size(_on_disk(run, MODEL)), border=True, help="In float.")
        else:
            _accuracy(run)
            st.metric("Best", percent(run.status.best_accuracy), border=True,
                      help="The best test accuracy of any epoch.")
            _kept(run)
            st.metric("Images a second", f"{rows[-1]['images_per_second']:,.0f}" if rows else "—", border=True)
            _epoch(run)


def _trained(store: RunStore, run: Run) -> str:
    result, recipe = run.status.summary, run.recipe
    share = f"{result['kept']:,} of its {result['prunable']:,} weights" if recipe.prune else "all its weights"
    text = (f"{recipe.model} keeps {share} and gets **{percent(result['test_accuracy'])}** of the test images right, "
            f"after {duration(result['train_seconds'])} of training.")
    others = [other for other in store.list() if other.state == "finished" and other.density != recipe.density
              and (other.recipe.kind, other.model, other.dataset) == ("train", recipe.model, recipe.dataset)]
    if not others:
        return text + " Next: **Duplicate with changes**, and " + (
            "train it dense to see what the cut weights were worth, or keep only a fifth of these." if recipe.prune
            else "cut 90% of it.")
    densest = max(others, key=lambda other: other.density)
    return text + (f" For comparison: “{plain(densest.name)}” ({kept(densest.density)}) got "
                   f"{percent(densest.status.test_accuracy)}.")


def _imported(run: Run) -> str:
    result = run.status.summary
    return (f"{plain(run.recipe.file)} is a {run.model} of {result['prunable']:,} weights, {kept(result['density'])}, "
            f"and gets **{percent(result['test_accuracy'])}** of the test images of {plain(run.dataset)} right. If its "
            "authors got more, its pixels were normalised in another way. Next: **Quantize**.")


def _quantized(run: Run) -> str:
    result = run.status.summary
    text = (f"{describe(run.recipe)}: **{percent(result['test_accuracy'])}** of the test images right, "
            f"{_change(result)}, in a file {_times(run):.1f} times smaller.")
    lost = (result["parent_accuracy"] or 0) - result["test_accuracy"]
    if lost < 0.01:
        return text
    if isinstance(run.recipe, KMeansRecipe):
        tune = "tune it for more epochs" if run.recipe.epochs else "tune it for some epochs"
        return text + f" To lose less, **Duplicate with changes** and {tune}, or give sensitive layers more clusters."
    return text + " To lose less, **Duplicate with changes** and take more bits, for sensitive layers at least."


def _change(result: dict) -> str:
    """The accuracy beside that of the model before."""
    before = result["parent_accuracy"]
    points = 100 * (result["test_accuracy"] - before)
    if abs(points) < 0.005:
        return f"as before ({percent(before)})"
    return f"{abs(points):.2f} points {'more' if points > 0 else 'less'} than before ({percent(before)})"


def _before_and_after(run: Run, rows: list[dict]) -> None:
    status, before = run.status, run.status.summary.get("parent_accuracy")
    accuracy = status.test_accuracy
    known = before is not None and accuracy is not None
    points = 100 * (accuracy - before) if known else 0.0
    same: dict[str, Any] = {"delta_color": "off", "delta_arrow": "off"} if abs(points) < 0.005 else {}
    st.metric("Test accuracy", percent(accuracy), (f"{points:+.2f} points" if not same else "as before") if known
              else None, border=True, help=f"Before: {percent(before)}." if known else None, **same)
    if (run.path / PACKED).exists():
        packed, whole = _on_disk(run, PACKED), _on_disk(run, MODEL)
        st.metric("Packed file", size(packed), f"float: {size(whole)}", delta_color="off", delta_arrow="off",
                  border=True, help=f"{packed:,} bytes on disk; the same network in float has {whole:,}.")
        st.metric("Smaller by", f"{_times(run):.1f}×", "on disk", delta_color="off", delta_arrow="off", border=True)
    _kept(run, total="prunable" in status.summary)
    if run.recipe.epochs:
        _epoch(run)
        st.metric("Images a second", f"{rows[-1]['images_per_second']:,.0f}" if rows else "—", border=True,
                  help="While tuning.")


def _accuracy(run: Run) -> None:
    st.metric("Test accuracy", percent(run.status.test_accuracy), border=True)


def _on_disk(run: Run, file: str) -> int:
    return (run.path / file).stat().st_size


def _times(run: Run) -> float:
    """How many times smaller than its float weights the packed file is; by the summary where one was thrown away."""
    if all((run.path / file).exists() for file in (MODEL, PACKED)):
        return _on_disk(run, MODEL) / _on_disk(run, PACKED)
    return run.status.summary["float_bytes"] / run.status.summary["packed_bytes"]


def _kept(run: Run, total: bool = False) -> None:
    """The weights that are not pruned; `total` puts how many there are below them."""
    summary = run.status.summary
    st.metric("Weights kept", f"{summary['kept']:,}" if "kept" in summary else "—",
              f"of {summary['prunable']:,}" if total else None, delta_color="off", delta_arrow="off", border=True,
              help=f"Of {summary['prunable']:,} prunable weights." if "prunable" in summary else None)


def _epoch(run: Run) -> None:
    st.metric("Epoch", f"{run.status.epoch} / {run.recipe.epochs}", border=True)
