"""The outcome of a run as a sentence, and what to do next. Each kind of recipe has its own."""

from core.config import (
    AnswersRecipe,
    BudgetRecipe,
    ImportRecipe,
    Int8Recipe,
    KMeansRecipe,
    LatencyRecipe,
    PruneRecipe,
    QuantizeRecipe,
    TrainRecipe,
)
from core.deploy.latency_report import describe_speed
from core.errors import UserError
from core.events import Summary
from core.runs.budget import EventRows, chosen_candidate, limit_outcome, tried_candidates
from core.runs.latency import read_latency
from core.runs.run import Run
from core.runs.store import RunStore, describe_recipe
from pages.parts.budget.search.result import limit_sentence
from pages.parts.runs.advice import what_to_try
from pages.parts.runs.figures import times_smaller
from pages.parts.shared.accuracies import (
    accuracy_text,
    guessing_verdict,
    known_test_counts,
    run_is_guessing,
)
from pages.parts.shared.cache import has_shared_weights
from pages.parts.shared.words import duration, kept, percent, plain, size

_SMALL_LOSS = 0.01  # of test accuracy, for which no advice is needed


def outcome_sentence(store: RunStore, run: Run) -> str:
    """The result of a finished run, and what to do next."""
    summary = run.status.summary
    if summary is None:
        return "This run has finished, but its status.json has no figures."
    if isinstance(run.recipe, AnswersRecipe):
        return (
            f"The network gets {_right(run, summary)}. Its answers are kept for the **Answers**"
            " page."
        )
    if isinstance(run.recipe, LatencyRecipe):
        return _speed(run)
    verdict = guessing_verdict(run)
    if verdict is not None:
        return (
            f"{run.model} gets {_right(run, summary)}: {verdict}. To try:"
            f" {what_to_try(run.recipe)}."
        )
    if isinstance(run.recipe, TrainRecipe):
        return f"{_trained(run, run.recipe, summary)} {_comparison(store, run, run.recipe)}"
    if isinstance(run.recipe, ImportRecipe):
        return _imported(run, run.recipe, summary)
    if isinstance(run.recipe, Int8Recipe):
        return _in_integers(run, summary)
    if isinstance(run.recipe, PruneRecipe):
        return _pruned(run, run.recipe, summary)
    if isinstance(run.recipe, BudgetRecipe):
        return _budgeted(run, run.recipe, summary, store.events(run.id))
    return _quantized(run, summary)


def _right(run: Run, summary: Summary) -> str:
    """Such as "91.20% (90.6 to 91.7) of the test images right", the first number in bold."""
    images = "half of the test images" if summary.test_half else "the test images"
    return f"{accuracy_text(run, summary.test_accuracy, bold=True)} of {images} right"


def _speed(run: Run) -> str:
    """What a measurement shows, one sentence a line; or why its file cannot be read."""
    try:
        sentences = describe_speed(read_latency(run))
    except UserError as error:
        sentences = [str(error)]
    return "  \n".join(plain(sentence) for sentence in sentences)


def _trained(run: Run, recipe: TrainRecipe, summary: Summary) -> str:
    weights = "all its weights"
    if recipe.prune:
        weights = f"{summary.kept:,} of its {summary.prunable:,} weights"
    return (
        f"{recipe.model} keeps {weights} and gets {_right(run, summary)}, after"
        f" {duration(summary.train_seconds)} of training."
    )


def _comparison(store: RunStore, run: Run, recipe: TrainRecipe) -> str:
    """The accuracy of the densest other run, or what to train next."""
    others = [other for other in store.list() if _is_other_density(other, recipe)]
    if others:
        densest = max(others, key=lambda other: other.density)
        return (
            f"For comparison: “{plain(densest.name)}” ({kept(densest.density)}) got"
            f" {accuracy_text(densest, densest.status.test_accuracy)}."
        )
    if not _is_good(run):
        return f"That is little. Next: **Duplicate with changes**, and {what_to_try(recipe)}."
    if recipe.prune:
        return (
            "Next: **Duplicate with changes**, and train it dense to see what the cut weights were"
            " worth, or keep only a fifth of these."
        )
    return "Next: **Duplicate with changes**, and cut 90% of it."


def _is_good(run: Run) -> bool:
    """Whether the network is nearer to perfect than to guessing, or that is not known."""
    counts = known_test_counts(run)
    accuracy = run.status.test_accuracy
    if counts is None or accuracy is None:
        return True
    _, classes = counts
    return accuracy >= (1 + 1 / classes) / 2


def _is_other_density(run: Run, recipe: TrainRecipe) -> bool:
    """Whether the run trained the same network on the same data set, at another density.

    A network that only guesses is no comparison.
    """
    if not isinstance(run.recipe, TrainRecipe) or run.state != "finished":
        return False
    if run_is_guessing(run):
        return False
    is_same_subject = run.model == recipe.model and run.dataset == recipe.dataset
    return is_same_subject and run.density != recipe.density


def _imported(run: Run, recipe: ImportRecipe, summary: Summary) -> str:
    return (
        f"{plain(recipe.file)} is a {run.model} of {summary.prunable:,} weights,"
        f" {kept(summary.density)}. On {plain(run.dataset)} it gets {_right(run, summary)}. If its"
        " authors got more, they normalised the pixels in another way. Next: **Quantize**."
    )


def _quantized(run: Run, summary: Summary) -> str:
    text = (
        f"{describe_recipe(run.recipe)}: {_right(run, summary)}, {_change(summary)}, in a file"
        f" {times_smaller(run):.1f} times smaller."
    )
    before = summary.parent_accuracy or 0.0
    if before - summary.test_accuracy < _SMALL_LOSS:
        return text
    return f"{text} To lose less, **Duplicate with changes** and {_advice(run)}."


def _pruned(run: Run, recipe: PruneRecipe, summary: Summary) -> str:
    text = (
        f"{summary.kept:,} of {summary.prunable:,} weights are kept: {_right(run, summary)},"
        f" {_change(summary)}, in a file {times_smaller(run):.1f} times smaller."
    )
    before = summary.parent_accuracy or 0.0
    if before - summary.test_accuracy < _SMALL_LOSS:
        return f"{text} Next: **Quantize**, which makes the file several times smaller again."
    return f"{text} To lose less, **Duplicate with changes** and {what_to_try(recipe)}."


def _budgeted(run: Run, recipe: BudgetRecipe, summary: Summary, events: EventRows) -> str:
    # The limit means these bytes, which the file in float exceeds by its header.
    ratio = (summary.float_bytes or 0) / (summary.packed_bytes or 1)
    subject = "The choice of layers" if recipe.layers else "The network that the search found"
    text = (
        f"{subject} gets {_right(run, summary)}, {_change(summary)}, in a file"
        f" {ratio:.1f} times smaller."
    )
    kept = limit_outcome(recipe, chosen_candidate(tried_candidates(events), summary), summary)
    if kept is not None:
        text += f" {limit_sentence(recipe, kept, summary)}"
    before = summary.parent_accuracy or 0.0
    if before - summary.test_accuracy < _SMALL_LOSS:
        return text
    return f"{text} To lose less, **Duplicate with changes** and {what_to_try(recipe)}."


def _in_integers(run: Run, summary: Summary) -> str:
    """The accuracy is that of the file itself, run by ONNX Runtime."""
    file_bytes = size(summary.onnx_bytes or 0)
    return (
        f"In 8-bit integers it gets {_right(run, summary)}, {_change(summary)}, as an ONNX file of"
        f" {file_bytes}. **Weights**, **Kernels** and **Activations** show the network that it was"
        " made from: this file has no weights in float."
    )


def _advice(run: Run) -> str:
    """What to change, the most promising first.

    Centroids have no compensated rounding to bits, and after tuning it may not lose less.
    """
    recipe = run.recipe
    assert isinstance(recipe, QuantizeRecipe)
    is_kmeans = isinstance(recipe, KMeansRecipe)
    can_compensate = not recipe.epochs and (is_kmeans or not has_shared_weights(run))
    if recipe.rounding == "nearest" and can_compensate:
        return "use compensated rounding"
    if not is_kmeans:
        return "take more bits, at least for the sensitive layers"
    epochs = "more epochs" if recipe.epochs else "some epochs"
    return f"tune it for {epochs}, or give the sensitive layers more clusters"


def _change(summary: Summary) -> str:
    """The test accuracy compared with that of the model before."""
    before = summary.parent_accuracy
    if before is None:
        return "not compared with the model before"
    points = 100 * (summary.test_accuracy - before)
    if abs(points) < 0.005:
        return f"as before ({percent(before)})"
    direction = "more" if points > 0 else "less"
    return f"{abs(points):.2f} points {direction} than before ({percent(before)})"
