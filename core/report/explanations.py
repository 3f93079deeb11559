"""Explains what a report says: what is simulated, and what settings and words mean."""

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from pydantic import BaseModel

from core.config import BudgetRecipe, Recipe
from core.report.format.markup import Markup, Node, bullet_list, element, facts, joined
from core.report.subject import Subject
from core.runs.comparison.compared import KINDS
from core.runs.comparison.settings import label_of

_GLOSSARY = Path(__file__).resolve().parents[2] / "docs" / "GLOSSARY.md"


def real_and_simulated(subject: Subject) -> Markup:
    """Say of each figure whether it was measured, counted or simulated."""
    size = (
        "It is the size of the file that is delivered. The packed file gives the same weights"
        " again, bit for bit. Float is the file of the weights, and integers is an ONNX file."
    )
    multiply_adds = (
        "They are those of a machine that skips every weight that is zero. Ordinary hardware does"
        " not skip them. Only channels of which nothing is left can leave, in ONNX files."
    )
    time = (
        "It is the time of the training steps on the device of each run, which need not be the"
        " machine that wrote this report."
    )
    return bullet_list(
        [
            _statement("Test accuracy", "measured", _accuracy_words(subject)),
            _statement("Size on disk", "real", size),
            _statement("Multiply-adds", "counted, not measured", multiply_adds),
            _statement("Training time", "measured", time),
            _speed_statement(subject),
        ]
    )


def _statement(subject: str, verdict: str, words: str) -> Markup:
    return joined([element("strong", f"{subject}: {verdict}."), f" {words}"])


def _speed_statement(subject: Subject) -> Markup:
    measured = [run for run in subject.chosen if run.id in subject.latencies]
    if not measured:
        words = "Nothing in this report says that a network answers faster than its parent."
        return _statement("Speed of the networks", "not measured", words)
    words = (
        f"The time of calls was measured for {len(measured)} of {len(subject.chosen)} runs, on the"
        " machine that is named below each table. Clusters and bits run as float there."
    )
    return _statement("Speed of the networks", "measured where it is said", words)


def _accuracy_kind(recipe: Recipe) -> str:
    """Return the kind of a recipe. A budget of time only prunes."""
    is_time_budget = isinstance(recipe, BudgetRecipe) and recipe.faster is not None
    return "prune" if is_time_budget else recipe.kind


def _accuracy_words(subject: Subject) -> str:
    kinds = {_accuracy_kind(run.run.recipe) for run in subject.chosen}
    words = "Test images were answered in float32 arithmetic."
    if kinds & {"kmeans", "affine", "budget"}:
        words += (
            " Quantization is simulated: the network computes in float with the quantized values,"
            " as they are in the packed file. The accuracy is that of the file, a speed is not."
        )
    if "prune" in kinds:
        words += (
            " Pruned networks computed with their zeros, in dense arithmetic: the size of a packed"
            " file is that without them, a speed is not."
        )
    if "int8" in kinds:
        words += " Files in integers are the exception: ONNX Runtime's integer kernels answered."
    return words


def settings_in(recipe: BaseModel) -> Iterator[tuple[str, object, str]]:
    """Yield label, value and meaning of each setting, also of the recipes in the recipe."""
    yield from _fields_of(recipe, getattr(recipe, "kind", ""))


def _fields_of(recipe: BaseModel, path: str) -> Iterator[tuple[str, object, str]]:
    for name, field in type(recipe).model_fields.items():
        value = getattr(recipe, name)
        if isinstance(value, BaseModel):
            yield from _fields_of(value, f"{path}.{name}")
        elif name != "kind":
            yield label_of(f"{path}.{name}"), value, field.description or ""


def setting_meanings(recipes: Iterable[Recipe]) -> Markup:
    """Return what the settings of these recipes mean, once for each kind of recipe."""
    meanings: dict[str, dict[str, Node]] = {}
    for recipe in recipes:
        own = meanings.setdefault(KINDS[recipe.kind], {})
        own |= {label: meaning for label, _, meaning in settings_in(recipe)}
    return joined(
        joined([element("h3", kind.capitalize()), facts(own.items())])
        for kind, own in meanings.items()
    )


def glossary_of(text: str, file: Path = _GLOSSARY) -> dict[str, str]:
    """Return the words of the glossary that a text uses, with what they mean.

    An entry for several words, such as "Per channel, per tensor", is used if one of them is.
    Return nothing if the file is missing.
    """
    return {word: meaning for word, meaning in _read_glossary(file).items() if _uses(text, word)}


def _read_glossary(file: Path) -> Mapping[str, str]:
    try:
        lines = file.read_text(encoding="utf-8")
    except OSError:
        return {}
    return dict(re.findall(r"^- \*\*(.+?)\*\*: (.+)$", lines, flags=re.MULTILINE))


def _uses(text: str, entry: str) -> bool:
    words = re.split(r", | \(|\)", entry)
    return any(re.search(rf"\b{re.escape(word)}\b", text, re.IGNORECASE) for word in words if word)
