"""The verdict on two models in words."""

from core.inspect.behaviour.paired import PairedCounts

NEAR_THE_LIMIT = (
    "Where one of 20 differences would be chance, the test and the interval can disagree."
)
"""Said where both are drawn."""

_SURE = 1e-6


def verdict(counts: PairedCounts, first: str, second: str) -> str:
    """Say whether the accuracies of two models differ clearly, and how likely chance is.

    first, second: the models' letters.
    """
    changed = counts.broken + counts.fixed
    if not changed:
        return "**No difference**: not one image is broken or fixed."
    test = f"(McNemar's exact test on the {changed:,} broken or fixed images)"
    result = "No clear difference"
    cases = f"{100 * counts.p_value:.0f} of 100"
    if counts.is_clear:
        better = first if counts.broken > counts.fixed else second
        result = f"{better} is more accurate"
        cases = _one_of(counts.p_value)
    return (
        f"**{result}**: if {first} and {second} were equally accurate, chance alone would make a"
        f" difference this large in {cases} cases {test}."
    )


def points(difference: float) -> str:
    """A difference of accuracies in percentage points, such as "−2.50 points"."""
    return f"{_signed(difference, 2)} points"


def points_range(interval: tuple[float, float]) -> str:
    """The ends of an interval in percentage points, such as "−4.90 to +0.10"."""
    low, high = interval
    return f"{_signed(low, 2)} to {_signed(high, 2)}"


def _signed(difference: float, digits: int) -> str:
    text = f"{100 * difference:+.{digits}f}"
    if float(text) == 0:
        return text[1:]
    return text.replace("-", "−")


def _one_of(probability: float) -> str:
    """Such as "1 of 50", with two significant digits."""
    if probability < _SURE:
        return "less than 1 of a million"
    return f"1 of {float(f'{1 / probability:.2g}'):,.0f}"
