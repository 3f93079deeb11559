"""Accuracies with their uncertainty, and the verdict that a network only guesses, on every page."""

from core import data
from core.accuracy import ChosenBy, guessing_text, interval_text, is_guessing
from core.config import TrainRecipe, data_root
from core.runs.comparison import figures
from core.runs.run import Run
from pages.parts.shared.words import percent

INTERVAL_HELP = (
    "Its 95% interval (Wilson) depends on the number of test images: with 10,000 it reaches at most"
    " 1 point to each side, with 360 at most 5."
)

_BEST_LABELS: dict[ChosenBy, str] = {
    "validation": "by validation",
    "divergence": "by divergence",
    "test": "on the test set: optimistic",
}
_BEST_HELP: dict[ChosenBy, str] = {
    "validation": (
        "Test accuracy of the epoch with the highest accuracy on validation images, which are never"
        " trained on. The test images did not choose it."
    ),
    "divergence": (
        "Test accuracy of the epoch whose answers are nearest to those of the float network, by"
        " the KL divergence on held-back training images. The test images did not choose it."
    ),
    "test": (
        "The highest test accuracy of any epoch. The test images chose the epoch, so new images"
        " would get less. Validation images avoid that."
    ),
}


def accuracy_text(run: Run, accuracy: float | None, *, bold: bool = False) -> str:
    """A test accuracy with its 95% interval, such as "65.61% (64.7 to 66.5)"."""
    text = f"**{percent(accuracy)}**" if bold else percent(accuracy)
    counts = known_test_counts(run)
    if accuracy is None or counts is None:
        return text
    images, _ = counts
    return f"{text} ({interval_text(accuracy, images)})"


def interval_note(run: Run, accuracy: float | None) -> str:
    """The 95% interval of a test accuracy as a sentence for a tooltip; "" if it is not known."""
    counts = known_test_counts(run)
    if accuracy is None or counts is None:
        return ""
    images, _ = counts
    summary = run.status.summary
    half = ", half of all" if summary is not None and summary.test_half else ""
    interval = interval_text(accuracy, images)
    return f"95% interval: {interval}% (Wilson, {images:,} test images{half})."


def run_is_guessing(run: Run) -> bool:
    """Whether the finished run's network is no better than guessing; False if not known."""
    return guessing_verdict(run) is not None


def guessing_verdict(run: Run) -> str | None:
    """Say that the finished run's network is no better than guessing; None if it is, or unknown."""
    accuracy = run.status.test_accuracy
    if run.state != "finished" or accuracy is None:
        return None
    counts = known_test_counts(run)
    if counts is None or not is_guessing(accuracy, *counts):
        return None
    _, classes = counts
    return guessing_text(classes)


def known_test_counts(run: Run) -> tuple[int, int] | None:
    """The numbers of test images and of classes, None if they are not known.

    The data sets on disk are read only if neither the run nor the registry knows them.
    """
    return figures.test_counts(run, data.DATASETS) or figures.test_counts(run, dataset_infos())


def dataset_infos() -> dict[str, data.DatasetInfo]:
    """The facts about all data sets on this machine and in the registry, by name."""
    return {choice.name: choice.info for choice in data.available(data_root())}


def counts_of_series(run: Run) -> dict[str, int]:
    """The numbers of images behind the accuracies of an epoch, by series, as far as known."""
    counts = known_test_counts(run)
    images = {} if counts is None else {"test": counts[0]}
    if isinstance(run.recipe, TrainRecipe) and run.recipe.validation:
        images["validation"] = run.recipe.validation
    return images


def best_words(run: Run) -> str:
    """How the best epoch of a run is chosen, in words that follow "best"."""
    return _BEST_LABELS[_best_by(run)]


def best_help(run: Run) -> str:
    """How the best epoch of a run is chosen, as a help text."""
    return _BEST_HELP[_best_by(run)]


def _best_by(run: Run) -> ChosenBy:
    """Runs of older versions did not write it down: they chose on the test images."""
    is_validated = isinstance(run.recipe, TrainRecipe) and run.recipe.validation
    return run.status.best_by or ("validation" if is_validated else "test")
