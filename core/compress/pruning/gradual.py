"""The cubic schedule of gradual pruning: Zhu and Gupta, "To prune, or not to prune"
(arXiv:1710.01878), equation 1.
"""


def pruning_steps(steps: int, every: int) -> list[int]:
    """Return after which training steps to prune, ascending, within the first `steps` steps.

    There is one pruning after each `every` steps. If that is more than all steps, there is one
    pruning after the last of them.
    """
    return list(range(every, steps + 1, every)) or [steps]


def cubic_density(start: float, end: float, fraction: float) -> float:
    """Return the density at a fraction of the prunings, in [0, 1].

    It falls from `start` to `end`, fast while many weights are left and slowly in the end:
    end + (start - end) (1 - fraction)^3.
    """
    return end + (start - end) * (1.0 - fraction) ** 3
