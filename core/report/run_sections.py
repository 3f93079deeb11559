"""One section of a report for each run: figures, command line, settings, model card and layers."""

from collections.abc import Callable, Iterator
from datetime import datetime

from core.models.card import ModelCard
from core.report.explanations import settings_in
from core.report.format.markup import Markup, Node, element, facts, joined, table
from core.report.format.numbers import count_text, density_text, percent_text
from core.report.subject import Subject
from core.report.tables import run_link
from core.runs.comparison.compared import ComparedRun
from core.runs.comparison.differences import change_against_parent
from core.runs.run import Run

CommandOf = Callable[[Run], str | None]
"""Returns the command line that makes a run like this one; None if there is none."""

_MOST_CLASSES = 20  # names in the model card
_LAYER_COLUMNS = ["Weights", "Kept", "Density", "Levels", "Bits a weight", "Bytes", "SNR (dB)"]


def run_section(subject: Subject, run: ComparedRun, command_of: CommandOf) -> Markup:
    """Return everything about one run."""
    return element(
        "section",
        element("h3", f"{subject.numbers[run.id]} · {run.name}"),
        facts(_facts(subject, run)),
        _command(run, command_of(run.run)),
        element("h4", "Settings"),
        facts((label, _setting_text(value)) for label, value, _ in settings_in(run.run.recipe)),
        element("h4", "Model card"),
        _card(subject.cards.get(run.id)),
        _layers(subject, run),
        class_="run",
        id=f"run-{run.id}",
    )


def _facts(subject: Subject, run: ComparedRun) -> Iterator[tuple[str, Node]]:
    status = run.run.status
    summary = status.summary
    yield "Id", run.id
    yield "Role", "in this report" if run.id in subject.ids else "ancestor of a run of this report"
    yield "Made by", f"{run.kind}: {run.recipe_text}"
    yield "Made from", _parent(subject, run)
    yield "Created", time_text(run.run.config.created)
    yield "State", run.run.state
    yield "Tags", ", ".join(run.run.tags) or None
    yield "Network, data set", f"{run.run.model}, {run.run.dataset}"
    yield "Device", (summary.device if summary else status.device) or None
    yield (
        "Test accuracy",
        summary.accuracy_text() if summary else percent_text(status.test_accuracy),
    )
    yield "Best epoch", _best_text(run)
    yield "Against its parent", change_against_parent(run)


def _parent(subject: Subject, run: ComparedRun) -> Node:
    if run.parent is not None:
        parents = {other.id: other for other in subject.family}
        return run_link(subject, parents[run.parent.id])
    deleted = run.run.config.parent
    return f"{deleted}, which is not there any more" if deleted else None


def _best_text(run: ComparedRun) -> str | None:
    status = run.run.status
    if not status.epochs or status.best_accuracy is None:
        return None
    words = {
        "validation": "chosen by validation images",
        "divergence": "chosen by the divergence on held-back training images",
        "test": "chosen by the test images, which is optimistic",
    }
    return f"{status.best_accuracy:.2%}, {words[status.best_by or 'test']}"


def time_text(seconds: float) -> str:
    """Return a time in seconds since the epoch as a date and time with its time zone."""
    return datetime.fromtimestamp(seconds).astimezone().strftime("%Y-%m-%d %H:%M %Z")


def _command(run: ComparedRun, command: str | None) -> Markup | None:
    if command is None:
        return None
    parent = run.run.config.parent
    note = f" {parent} is the id of its parent." if parent else ""
    return joined(
        [
            element("h4", "Command line"),
            element("p", f"Makes such a run again, in Secateur’s folder.{note}"),
            element("pre", element("code", *_flags(command))),
        ]
    )


def _flags(command: str) -> Iterator[Node]:
    """Yield the parts of a command line, of which none is broken if it fits on a line."""
    for number, part in enumerate(command.split(" --")):
        yield " " if number else None
        yield element("span", f"--{part}" if number else part, class_="flag")


def _setting_text(value: object) -> str | None:
    """Return the value of a setting; None for one that is not set."""
    match value:
        case None:
            return None
        case bool():
            return "yes" if value else "no"
        case float():
            return f"{value:g}"
        case dict():
            return ", ".join(f"{key}={number}" for key, number in value.items()) or None
        case tuple():
            return ", ".join(f"{number:g}" for number in value)
        case _:
            return str(value)


def _card(card: ModelCard | None) -> Markup:
    if card is None:
        return element("p", "There is no result with a card that can be read.")
    classes = ", ".join(card.classes[:_MOST_CLASSES])
    more = len(card.classes) - _MOST_CLASSES
    return facts(
        [
            ("Network", card.model),
            ("Trained on", card.dataset or None),
            ("Images", f"{card.side} × {card.side} pixels"),
            ("Mean of red, green, blue", _setting_text(card.mean)),
            ("Standard deviation", _setting_text(card.std)),
            ("Recipes", ", then ".join(str(recipe.get("kind")) for recipe in card.recipes) or None),
            (
                "Classes",
                f"{len(card.classes)}: {classes}" + (f" and {more} more" if more > 0 else ""),
            ),
        ]
    )


def _layers(subject: Subject, run: ComparedRun) -> Markup | None:
    layers = subject.layers.get(run.id)
    if not layers:
        return None
    rows = [
        [
            name.removesuffix(".weight"),
            count_text(layer.weights),
            count_text(layer.kept),
            density_text(layer.density),
            count_text(layer.levels),
            None if layer.bits is None else f"{layer.bits:.2f}",
            count_text(layer.bytes),
            None if layer.snr is None else f"{layer.snr:.1f}",
        ]
        for name, layer in layers.items()
    ]
    caption = f"Layers of {run.name}"
    return table(caption, ["Layer", *_LAYER_COLUMNS], rows, _LAYER_COLUMNS)
