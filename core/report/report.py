"""Puts a report together: one HTML document that loads nothing from anywhere."""

import html
import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

import core
from core import data
from core.machine import Machine, describe_machine
from core.report.charts import (
    MOST_ON_MAP,
    curves_figure,
    layers_charts,
    map_figure,
    scatter_figure,
)
from core.report.explanations import glossary_of, real_and_simulated, setting_meanings
from core.report.format.drawings import dark_rules, require_drawing
from core.report.format.markup import Markup, Node, bullet_list, element, facts, joined
from core.report.run_sections import CommandOf, run_section
from core.report.speed import speed_tables
from core.report.subject import Subject, read_subject
from core.report.tables import accuracy_table, cost_table, family_tree, settings_tables
from core.runs.store import RunStore

_STYLE = Path(__file__).with_name("format") / "style.css"
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"


class Section(NamedTuple):
    """A section of the report. anchor: its id in the document."""

    title: str
    anchor: str
    content: Markup


def write_report(
    store: RunStore,
    run_ids: Iterable[str],
    command_of: CommandOf,
    infos: Mapping[str, data.DatasetInfo] = data.DATASETS,
    title: str = "",
) -> str:
    """Return a report of the runs as an HTML document, which needs no other file and no network.

    command_of: returns the command line of a run. infos: the data sets by name. title: of the
    document; "" gives one that counts the runs. Raises UserError for runs that are not there, for
    none or too many, and if charts cannot be drawn here.
    """
    require_drawing()
    subject = read_subject(store, run_ids, infos)
    sections = [*_comparison(subject), *_explanations(subject), *_runs(subject, command_of)]
    words = glossary_of(_visible_text(sections))
    sections.append(Section("Words", "words", facts(words.items())))
    return _document(title or _title(subject), subject, [part for part in sections if part.content])


def _title(subject: Subject) -> str:
    count = len(subject.chosen)
    return f"Report on {subject.chosen[0].name}" if count == 1 else f"Report on {count} runs"


# -- sections --


def _comparison(subject: Subject) -> Iterator[Section]:
    is_small = len(subject.family) <= MOST_ON_MAP
    origin = map_figure(subject) if is_small else family_tree(subject)
    yield Section("Where the runs come from", "map", origin)
    yield Section("Accuracy and size", "scatter", joined([scatter_figure(subject)]))
    tables = joined([accuracy_table(subject), cost_table(subject)])
    yield Section("Figures", "figures", tables)
    if len(subject.chosen) > 1:
        yield Section("Settings that differ", "settings", settings_tables(subject))
    curves = [curves_figure(subject, "accuracy"), curves_figure(subject, "loss")]
    yield Section("Curves", "curves", joined(curves))
    layers = [*layers_charts(subject, "density"), *layers_charts(subject, "bits")]
    yield Section("Layers", "layers", joined(layers))
    yield Section("Speed", "speed", speed_tables(subject))


def _explanations(subject: Subject) -> Iterator[Section]:
    yield Section("What is real, and what is simulated", "real", real_and_simulated(subject))


def _runs(subject: Subject, command_of: CommandOf) -> Iterator[Section]:
    runs = [run_section(subject, run, command_of) for run in subject.family]
    yield Section("The runs", "runs", joined(runs))
    recipes = [run.run.recipe for run in subject.family]
    yield Section("What the settings mean", "meanings", setting_meanings(recipes))


def _visible_text(sections: Iterable[Section]) -> str:
    content = joined(part.content for part in sections if part.anchor != "meanings")
    return html.unescape(re.sub(r"<[^>]*>", " ", content))


# -- the document --


def _document(title: str, subject: Subject, sections: Iterable[Section]) -> str:
    sections = list(sections)
    body = [_header(title, subject), _table_of_contents(sections)]
    for part in sections:
        body.append(element("section", element("h2", part.title), part.content, id=part.anchor))
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=_POLICY),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="color-scheme", content="light dark"),
        element("title", title),
        element("style", Markup(_STYLE.read_text(encoding="utf-8")), dark_rules()),
    )
    page = element("html", head, element("body", element("main", *body)), lang="en")
    return f"<!DOCTYPE html>\n{page}\n"


def _table_of_contents(sections: Iterable[Section]) -> Markup:
    links = [element("a", part.title, href=f"#{part.anchor}") for part in sections]
    return element("nav", bullet_list(links), aria_label="Contents")


def _header(title: str, subject: Subject) -> Markup:
    machine = describe_machine()
    pairs: list[tuple[str, Node]] = [
        ("Written", datetime.now().astimezone().strftime("%Y-%m-%d %H:%M %Z")),
        ("By", f"Secateur {core.__version__}"),
        ("On", _machine_text(machine)),
        ("With", f"Python {machine.python}, torch {machine.torch}"),
        ("Runs", _counts(subject)),
    ]
    return element("header", element("h1", title), facts(pairs), _warning(subject))


def _machine_text(machine: Machine) -> str:
    memory = f", {machine.memory / 1e9:.1f} GB of memory" if machine.memory else ""
    cores = "1 core" if machine.cores == 1 else f"{machine.cores} cores"
    return f"{machine.cpu}, {cores}{memory}, {machine.system}"


def _counts(subject: Subject) -> str:
    ancestors = len(subject.family) - len(subject.chosen)
    also = f", and {ancestors} of their ancestors" if ancestors else ""
    return f"{len(subject.chosen)}{also}"


def _warning(subject: Subject) -> Markup | None:
    """Say that accuracies on different images cannot be compared, if there are such."""
    names = sorted({run.run.dataset for run in subject.chosen})
    if len(names) < 2:
        return None
    text = (
        f"The runs were tested on {len(names)} data sets ({', '.join(names)}): accuracies on"
        " different images cannot be compared."
    )
    return element("p", text, class_="warning")
