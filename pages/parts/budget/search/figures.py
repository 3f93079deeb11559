"""The figures of a finished budget run that do not depend on its limit."""

from core.events import Summary
from core.runs.run import Run
from pages.parts.shared.accuracies import interval_note
from pages.parts.shared.metrics import draw_metric
from pages.parts.shared.words import percent, size


def draw_accuracies(run: Run, summary: Summary) -> None:
    """Draw the accuracies of the result and of the float network, and what was lost."""
    half = "" if summary.test_half is None else f", half {summary.test_half}"
    images = "test images" if summary.test_images is None else f"{summary.test_images:,} images"
    interval = interval_note(run, summary.test_accuracy)
    draw_metric(
        f"Accuracy{half}",
        percent(summary.test_accuracy),
        f"of {images}",
        f"Of the result, on images that decided nothing. {interval}",
    )
    before = summary.parent_accuracy
    if before is None:
        return
    draw_metric(
        f"Float network{half}",
        percent(before),
        "of the same images",
        f"Before. {interval_note(run, before)}",
    )
    draw_metric("Lost", *_loss_texts(summary, before))


def _loss_texts(summary: Summary, before: float) -> tuple[str, str, str]:
    """Return the loss in points, its interval, and what that means."""
    points = 100 * (before - summary.test_accuracy)
    value = f"{points:.2f} points".replace("-", "−")
    if summary.lost_interval is None:
        return value, "of accuracy", ""
    low, high = summary.lost_interval
    interval = f"95%: {low:.2f} to {high:.2f}".replace("-", "−")
    help_text = (
        "95% interval of the loss (Agresti and Min), from the answers of both networks to the same"
        " images. Below 0 the result would be better."
    )
    return value, interval, help_text


def draw_sizes(summary: Summary) -> None:
    """Draw the size of the packed file."""
    if summary.packed_bytes is None or summary.float_bytes is None:
        return
    draw_metric(
        "Packed file",
        size(summary.packed_bytes),
        f"float: {size(summary.float_bytes)}",
        f"{summary.packed_bytes:,} bytes. The same network in float takes {summary.float_bytes:,}.",
    )
    draw_metric("Smaller by", f"{summary.float_bytes / summary.packed_bytes:.1f}×", "on disk")
