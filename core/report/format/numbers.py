"""Writes the figures of a report as text: exact where they are counts, in short units where not."""

from core.accuracy import interval_text
from core.runs.comparison.figures import Figures


def percent_text(share: float | None) -> str | None:
    """Return a share with two decimals, such as "91.20%"; None if it is not known."""
    return None if share is None else f"{share:.2%}"


def density_text(density: float | None) -> str | None:
    """Return a density with three digits, such as "5%" or "0.238%"; None if it is not known."""
    return None if density is None else f"{100 * density:.3g}%"


def count_text(count: float | None) -> str | None:
    """Return a whole number with commas, such as "14,723,136"; None if it is not known."""
    return None if count is None else f"{count:,.0f}"


def digits_text(value: float | None) -> str | None:
    """Return a number with three digits, such as "0.872"; None if it is not known."""
    return None if value is None else f"{value:.3g}"


def seconds_text(seconds: float | None) -> str | None:
    """Return a time in seconds with one decimal, such as "125.0"; None if it is not known."""
    return None if seconds is None else f"{seconds:,.1f}"


def interval_of(figures: Figures) -> str | None:
    """Return the 95% interval of the accuracy, such as "64.7 to 66.5%"; None if not known."""
    if figures.accuracy is None or not figures.test_images:
        return None
    return f"{interval_text(figures.accuracy, figures.test_images)}%"
