"""Numbers and names as words for a page, the same on every page."""

import re

SIMULATED_QUANTIZATION = (
    "Quantization is simulated here: the network computes in float, with the quantized values. The"
    " size is real, a speed-up is not."
)

REAL_INTEGERS = (
    "Quantization is real here: ONNX Runtime's integer kernels ran the file on all test images."
)


def plain(text: str) -> str:
    """Escape `text` so that Markdown shows it unchanged, without emphasis, links or pictures."""
    return re.sub(r"([\\`*_{}\[\]()#+!:$|~<>&-])", r"\\\1", text)


def percent(accuracy: float | None) -> str:
    """An accuracy in [0, 1] with two decimals, such as "91.20%"; a dash for None."""
    return "—" if accuracy is None else f"{accuracy:.2%}"


def part(share: float) -> str:
    """A share of the weights, or of another whole, with three digits, such as "5%" or "0.238%"."""
    return f"{100 * share:.3g}%"


def span(low: float, high: float) -> str:
    """A range, such as "−0.31 to 2.4"."""
    return f"{low:.3g} to {high:.3g}".replace("-", "−")


def kept(density: float) -> str:
    """A density, such as "10% kept"; "dense" for 1."""
    return "dense" if density == 1 else f"{part(density)} kept"


def levels(count: int, pinned_zeros: int | None) -> str:
    """The different values of quantized weights, such as "5 + zero" where pruned ones stay zero."""
    return f"{count:,} + zero" if pinned_zeros else f"{count:,}"


def counted(number: int, noun: str) -> str:
    """A number of things, such as "1 run" or "1,200 runs"."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def duration(seconds: float) -> str:
    """A time in its two largest units, such as "2 min 5 s"."""
    seconds = round(seconds)
    if seconds < 60:
        return f"{seconds} s"
    if seconds < 3600:
        return f"{seconds // 60} min {seconds % 60} s"
    return f"{seconds // 3600} h {seconds % 3600 // 60} min"


def size(number: float) -> str:
    """A number of bytes, such as "58.9 MB"."""
    for factor, unit in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if number >= factor:
            return f"{number / factor:.1f} {unit}"
    return f"{number:.0f} B"


def short(number: int) -> str:
    """A count with three significant digits, such as "15.3M"."""
    for factor, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if number >= factor:
            return f"{number / factor:.3g}{letter}"
    return str(number)
