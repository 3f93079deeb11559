"""Lists everything that a comparison knows of its runs, as rows for a file."""

from collections.abc import Mapping, Sequence

from core.runs.comparison.compared import ComparedRun
from core.runs.comparison.differences import value_text
from core.runs.comparison.figures import METRICS
from core.runs.comparison.settings import Value


def setting_texts(run: ComparedRun, labels: Mapping[str, str]) -> dict[str, str | None]:
    """Return settings as text by their labels; None for one that the run does not have.

    labels: the words for the settings, by name, as `setting_labels` gives.
    """
    settings = run.settings
    return {
        label: None if settings.get(name) is None else value_text(settings[name])
        for name, label in labels.items()
    }


def figure_rows(runs: Sequence[ComparedRun], labels: Mapping[str, str]) -> list[dict[str, Value]]:
    """Return a row for each run: its origin, the settings in `labels`, and every figure.

    Figures are in the units of `Figures`; one that is not known is None.
    """
    return [_row(run, labels) for run in runs]


def _row(run: ComparedRun, labels: Mapping[str, str]) -> dict[str, Value]:
    low, high = run.figures.interval or (None, None)
    return {
        "id": run.id,
        "name": run.name,
        "parent": run.run.config.parent,
        "made by": run.kind,
        "network": run.run.model,
        "data set": run.run.dataset,
        **setting_texts(run, labels),
        **{name: run.figures.value(name) for name in METRICS},
        "accuracy low": low,
        "accuracy high": high,
        "test images": run.figures.test_images,
    }
