"""The tables of a report that compare runs: their accuracies, costs and settings."""

from collections.abc import Sequence

from core.accuracy import guessing_text, is_guessing
from core.report.format.markup import Markup, Node, bullet_list, element, joined, table
from core.report.format.numbers import (
    count_text,
    density_text,
    digits_text,
    interval_of,
    percent_text,
    seconds_text,
)
from core.report.subject import Subject
from core.runs.comparison.compared import ComparedRun
from core.runs.comparison.differences import (
    change_against_parent,
    setting_labels,
    telling_settings,
)
from core.runs.comparison.figures import Figures
from core.runs.comparison.rows import setting_texts
from core.runs.run import INT8, MODEL

_NUMBER = "No."
_NAME = "Run"
_MOST_SETTINGS = 6  # columns of a table that fits on paper


def run_link(subject: Subject, run: ComparedRun) -> Markup:
    """Return the run's name as a link to its section."""
    return element("a", run.name, href=f"#run-{run.id}")


def accuracy_table(subject: Subject) -> Markup:
    """Return what the runs get right, with intervals and numbers of images."""
    columns = [_NUMBER, _NAME, "Test accuracy", "95% interval", "Test images", "Against its parent"]
    rows = [
        [
            *_origin(subject, run),
            percent_text(run.figures.accuracy),
            interval_of(run.figures),
            count_text(run.figures.test_images),
            joined([change_against_parent(run), *_doubts(run)]),
        ]
        for run in subject.chosen
    ]
    numbers = ["Test accuracy", "95% interval", "Test images"]
    return table("What the networks get right", columns, rows, numbers)


def _doubts(run: ComparedRun) -> list[Node]:
    """Return what a reader has to know of the run's accuracy, in words."""
    doubts = []
    if run.run.state != "finished":
        doubts.append(f"{run.run.state}, figures so far")
    verdict = _guessing_verdict(run.figures)
    if verdict:
        doubts.append(verdict)
    return [element("span", f"; {doubt}", class_="doubt") for doubt in doubts]


def _guessing_verdict(figures: Figures) -> str | None:
    if figures.accuracy is None or not figures.test_images or not figures.classes:
        return None
    is_guess = is_guessing(figures.accuracy, figures.test_images, figures.classes)
    return guessing_text(figures.classes) if is_guess else None


def cost_table(subject: Subject) -> Markup:
    """Return what the runs cost: bytes, weights, work and time."""
    numbers = [
        "On disk (bytes)",
        "In float (bytes)",
        "Bits a weight",
        "Density",
        "Kept weights",
        "Multiply-adds",
        "Training (s)",
    ]
    rows = [
        [
            *_origin(subject, run),
            _file_text(run),
            count_text(run.figures.bytes),
            _float_bytes(run),
            digits_text(run.figures.bits),
            density_text(run.figures.density),
            count_text(run.figures.kept),
            count_text(run.figures.macs),
            seconds_text(run.figures.seconds),
        ]
        for run in subject.chosen
    ]
    return table("What the networks cost", [_NUMBER, _NAME, "File", *numbers], rows, numbers)


def _file_text(run: ComparedRun) -> str | None:
    """Say which file's size is the run's, as `core.runs.comparison.figures.bytes_on_disk` does."""
    files = {
        "packed": run.run.packed_file,
        "float": run.run.path / MODEL,
        "integers": run.run.path / INT8,
    }
    return next((name for name, file in files.items() if file.is_file()), None)


def _float_bytes(run: ComparedRun) -> str | None:
    summary = run.run.status.summary
    return None if summary is None else count_text(summary.float_bytes)


def _origin(subject: Subject, run: ComparedRun) -> list[Node]:
    return [str(subject.numbers[run.id]), run_link(subject, run)]


def settings_tables(subject: Subject) -> Markup:
    """Return the settings in which the runs differ. Each table has as many as fit on paper."""
    names = telling_settings([run.settings for run in subject.chosen])
    if not names:
        return element("p", "The runs of this report have the same settings.")
    parts = [
        names[start : start + _MOST_SETTINGS] for start in range(0, len(names), _MOST_SETTINGS)
    ]
    return joined(
        _settings_table(subject, names, part, f", {number} of {len(parts)}" * (len(parts) > 1))
        for number, part in enumerate(parts, 1)
    )


def _settings_table(
    subject: Subject, all_names: Sequence[str], names: Sequence[str], place: str
) -> Markup:
    labels = setting_labels(all_names)
    own = {name: labels[name] for name in names}
    rows = [[*_origin(subject, run), *setting_texts(run, own).values()] for run in subject.chosen]
    caption = f"Settings in which the runs differ{place}"
    return table(caption, [_NUMBER, _NAME, *own.values()], rows)


def family_tree(subject: Subject) -> Markup:
    """Return the runs as nested lists: below each run, what was made from it."""
    children: dict[str | None, list[ComparedRun]] = {}
    for run in subject.family:
        children.setdefault(run.parent.id if run.parent else None, []).append(run)

    def branch(parent_id: str | None) -> Markup:
        return bullet_list(
            joined([_tree_line(subject, run), branch(run.id) if run.id in children else None])
            for run in children.get(parent_id, [])
        )

    return element("div", branch(None), class_="tree")


def _tree_line(subject: Subject, run: ComparedRun) -> Markup:
    note = "" if run.id in subject.ids else ", an ancestor"
    accuracy = percent_text(run.figures.accuracy) or "no accuracy"
    return joined([f"{subject.numbers[run.id]} · ", run_link(subject, run), f": {accuracy}{note}"])
