"""The report of `python -m core answers`: accuracies, and what changes from the first network."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from core.accuracy import guessing_text, interval_text, is_guessing, wilson_interval
from core.data.imageset import Dataset
from core.inspect.behaviour.answers import Answers
from core.inspect.behaviour.changes import compare_with_first
from core.inspect.behaviour.paired import PairedCounts


@dataclass(frozen=True)
class AnswersReport:
    """The figures of networks that answered the same test images, all by the ids of their runs.

    names: of the runs, the first one first. accuracies: in [0, 1]. changes: from the first network
    to each other one. dataset: its name. images, classes: their numbers in the test set.
    """

    names: Mapping[str, str]
    accuracies: Mapping[str, float]
    changes: Mapping[str, PairedCounts]
    dataset: str
    images: int
    classes: int

    @classmethod
    def of(
        cls, names: Mapping[str, str], answers: Mapping[str, Answers], dataset: Dataset
    ) -> "AnswersReport":
        """Count what the answers, by the ids of the runs, are worth on the test set."""
        labels = dataset.test.labels
        accuracies = {
            run_id: float(found.right(labels).mean()) for run_id, found in answers.items()
        }
        changes = {
            run_id: change.counts for run_id, change in compare_with_first(answers, labels).items()
        }
        return cls(names, accuracies, changes, dataset.name, len(labels), len(dataset.classes))

    def lines(self) -> list[str]:
        """Return the report as text."""
        images = f"{self.images:,} test images of {self.dataset}"
        lines = [f"Accuracy on all {images}, with its 95% interval:"]
        lines += [f"  {self._accuracy_text(run_id)}" for run_id in self.names]
        if self.changes:
            first, *_ = self.names.values()
            lines.append(f"Compared with {first}:")
        for run_id, counts in self.changes.items():
            lines.append(f"  {self.names[run_id]}: {_change_text(counts)}")
        return lines

    def as_json(self) -> dict[str, Any]:
        """Return the report as plain data."""
        runs = [self._run_as_json(run_id) for run_id in self.names]
        return {"dataset": self.dataset, "test_images": self.images, "runs": runs}

    def _accuracy_text(self, run_id: str) -> str:
        accuracy = self.accuracies[run_id]
        text = f"{accuracy:.2%} ({interval_text(accuracy, self.images)})  {self.names[run_id]}"
        if is_guessing(accuracy, self.images, self.classes):
            text += f", {guessing_text(self.classes)}"
        return text

    def _run_as_json(self, run_id: str) -> dict[str, Any]:
        accuracy = self.accuracies[run_id]
        result: dict[str, Any] = {
            "run_id": run_id,
            "name": self.names[run_id],
            "test_accuracy": accuracy,
            "interval": wilson_interval(accuracy, self.images),
        }
        if run_id in self.changes:
            result["compared_with_first"] = _counts_as_json(self.changes[run_id])
        return result


def _change_text(counts: PairedCounts) -> str:
    low, high = counts.difference_interval
    return (
        f"{counts.broken:,} broken, {counts.fixed:,} fixed, {counts.both_wrong:,} both wrong;"
        f" {100 * counts.difference:+.2f} points ({100 * low:+.2f} to {100 * high:+.2f}),"
        f" p = {counts.p_value:.2g} (McNemar's exact test)"
    )


def _counts_as_json(counts: PairedCounts) -> dict[str, Any]:
    return {
        "broken": counts.broken,
        "fixed": counts.fixed,
        "both_right": counts.both_right,
        "both_wrong": counts.both_wrong,
        "difference": counts.difference,
        "difference_interval": counts.difference_interval,
        "p_value": counts.p_value,
    }
