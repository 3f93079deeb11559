"""Writes the model card of a network for people, in Markdown.

After "Model Cards for Model Reporting" (arXiv:1810.03993), as far as Secateur knows the answers.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from core.accuracy import interval_text
from core.events import Summary
from core.models.card import ModelCard

_SIMULATED = (
    "- Accuracy: real. The network computed in float32, with the weights that the file holds.\n"
    "- Quantized and pruned weights: simulated. They save bytes in the packed file, but the network"
    " computes in float32, and multiplies by zeros too.\n"
    "- Sizes: real, in bytes on disk."
)
_INTEGERS = (
    "- Accuracy: real. ONNX Runtime's integer kernels ran the file.\n"
    "- Integer weights and activations: real, at most 8 bits each, but for layers that were kept in"
    " float. Zeros of pruned weights that are in the file are multiplied by; channels in which"
    " nothing is left may have left the file.\n"
    "- Size: real, in bytes on disk."
)


@dataclass(frozen=True)
class CardFacts:
    """What a model card says.

    name: the run's. commands: the command lines that made the network, the first one first.
    in_integers: whether the network is an ONNX file of 8-bit integers.
    """

    name: str
    card: ModelCard
    summary: Summary
    commands: Sequence[str]
    in_integers: bool = False


def card_markdown(facts: CardFacts) -> str:
    """Return the text, which begins with the name as its title."""
    parts = (
        f"# {facts.name}",
        _introduction(facts),
        "## Network",
        _table(_network_rows(facts)),
        "## Images and classes",
        _images_text(facts.card),
        "## How it was made",
        _commands_text(facts.commands),
        "## Figures",
        _table(_figure_rows(facts.summary)),
        "## Simulated and real",
        _INTEGERS if facts.in_integers else _SIMULATED,
    )
    return "\n\n".join(parts) + "\n"


def _introduction(facts: CardFacts) -> str:
    card = facts.card
    return (
        f"{card.model}, a classifier of images into {len(card.classes)} classes, trained on"
        f" {card.dataset or 'an unknown data set'}. Made with Secateur."
    )


def _network_rows(facts: CardFacts) -> Iterator[tuple[str, str]]:
    summary = facts.summary
    yield "Network", facts.card.model
    yield "Weights kept", f"{summary.kept:,} of {summary.prunable:,} ({summary.density:.3%})"
    yield "Output", f"{len(facts.card.classes)} logits"


def _images_text(card: ModelCard) -> str:
    return (
        f"Images are 3 x {card.side} x {card.side} (red, green, blue). Pixels in [0, 1] are"
        " normalised as `(pixel - mean) / std`:\n\n"
        f"- mean: {_numbers(card.mean)}\n"
        f"- std: {_numbers(card.std)}\n\n"
        f"Classes, in the order of the logits: {', '.join(card.classes)}."
    )


def _commands_text(commands: Sequence[str]) -> str:
    lines = "\n".join(commands)
    return f"```bash\n{lines}\n```"


def _figure_rows(summary: Summary) -> Iterator[tuple[str, str]]:
    yield "Test accuracy", _accuracy(summary, summary.test_accuracy)
    if summary.parent_accuracy is not None:
        yield "Before compression", _accuracy(summary, summary.parent_accuracy)
    if summary.best_by is not None and summary.best_accuracy != summary.test_accuracy:
        by = f" (chosen by {summary.best_by})"
        yield "Best epoch", _accuracy(summary, summary.best_accuracy) + by
    yield "Test images", _test_images(summary)
    if summary.guessing:
        yield "Warning", "no better than guessing"
    sizes = {
        "Weights in float": summary.float_bytes,
        "Packed file": summary.packed_bytes,
        "ONNX file in integers": summary.onnx_bytes,
    }
    for label, number in sizes.items():
        if number is not None:
            yield label, f"{number:,} bytes"


def _test_images(summary: Summary) -> str:
    """How many images the accuracies are of, such as "5,000 (half of the test images)"."""
    if not summary.test_images:
        return "not known"
    half = " (half of the test images)" if summary.test_half else ""
    return f"{summary.test_images:,}{half}"


def _accuracy(summary: Summary, accuracy: float) -> str:
    """Such as "91.62% (95% interval: 91.1 to 92.1)"."""
    text = f"{accuracy:.2%}"
    if not summary.test_images:
        return text
    return f"{text} (95% interval: {interval_text(accuracy, summary.test_images)})"


def _table(rows: Iterator[tuple[str, str]]) -> str:
    lines = [f"| {_cell(label)} | {_cell(text)} |" for label, text in rows]
    return "\n".join(["| | |", "|---|---|", *lines])


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def _numbers(values: tuple[float, ...]) -> str:
    return ", ".join(f"{value:g}" for value in values)
