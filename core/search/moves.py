"""Moves bytes between layers, because the damages of single layers do not simply add up."""

from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass

from core.events import Progress
from core.search.joint import Steps
from core.search.memory import Table

_MEASURED_MOVES = 8


@dataclass(frozen=True)
class _Move:
    """One or two layers that take a step.

    changes: the layers, each with +1 or -1. damage: the change of the summed damages of the table.
    """

    changes: tuple[tuple[str, int], ...]
    damage: float

    def applied(self, steps: Steps) -> dict[str, int]:
        """Return the steps after the move."""
        return dict(steps) | {name: steps[name] + by for name, by in self.changes}


def bytes_of(table: Table, steps: Steps) -> int:
    """Return the sum of the bytes of these choices."""
    return sum(table[name][step].bytes for name, step in steps.items())


def exchange(
    table: Table,
    start: Steps,
    most_bytes: int,
    measure: Callable[[Steps], float],
    trials: int,
) -> Generator[Progress, None, Steps]:
    """Improve choices by moving bytes between layers, and return the best that were found.

    Each trial takes one layer a step up, and another one a step down if the bytes ask for it. Those
    that the table finds best are tried first, and one is kept if the measured divergence is lower.

    start: within `most_bytes`, which are those of the table. measure: returns the divergence of the
    whole network. trials: how many moves are measured. Yields Progress in trials.
    """
    best = dict(start)
    least = measure(best)
    tried = {_key(best)}
    for done in range(trials):
        yield Progress("Moving bytes between layers", done, trials, "trials")
        moves = sorted(_moves(table, best, most_bytes), key=lambda move: move.damage)
        untried = (move.applied(best) for move in moves)
        steps = next((steps for steps in untried if _key(steps) not in tried), None)
        if steps is None:
            break
        tried.add(_key(steps))
        divergence = measure(steps)
        if divergence < least:
            best = steps
            least = divergence
    return best


def step_down(
    table: Table, steps: Steps, bytes_to_save: int, measure: Callable[[Steps], float] | None = None
) -> Steps | None:
    """Save at least so many bytes of the table; None if that is not possible.

    If one step down saves enough, perhaps with another layer one step up, the one of least damage
    is taken. Otherwise layers go down, those first that cost the least damage for their bytes.
    measure: returns the divergence of the whole network, which then decides between the few moves
    of least damage.
    """
    lower = dict(steps)
    target = bytes_of(table, steps) - bytes_to_save
    while bytes_of(table, lower) > target:
        moves = [*_downs(table, lower, target), *_moves(table, lower, target)]
        if moves:
            best = sorted(moves, key=lambda move: move.damage)[:_MEASURED_MOVES]
            tried = [move.applied(lower) for move in best]
            return min(tried, key=measure) if measure else tried[0]
        names = [name for name, step in lower.items() if step]
        if not names:
            return None
        cheapest = min(names, key=lambda name: _damage_for_bytes(table, name, lower[name]))
        lower[cheapest] -= 1
    return lower


def _downs(table: Table, steps: Steps, most_bytes: int) -> list[_Move]:
    """All moves of one layer down that come within the bytes."""
    excess = bytes_of(table, steps) - most_bytes
    moves = []
    for name, step in steps.items():
        if step:
            less, loss = _change(table, name, step, -1)
            if -less >= excess:
                moves.append(_Move(((name, -1),), loss))
    return moves


def _damage_for_bytes(table: Table, name: str, step: int) -> float:
    """Return the damage that one step down costs for each byte that it saves."""
    above = table[name][step]
    below = table[name][step - 1]
    return (below.damage - above.damage) / (above.bytes - below.bytes)


def _moves(table: Table, steps: Steps, most_bytes: int) -> list[_Move]:
    """All moves of one layer up, alone or with another one down, that stay within the bytes."""
    spare = most_bytes - bytes_of(table, steps)
    ups = [name for name, step in steps.items() if step + 1 < len(table[name])]
    downs = [name for name, step in steps.items() if step]
    moves = []
    for up in ups:
        more, gain = _change(table, up, steps[up], 1)
        if more <= spare:
            moves.append(_Move(((up, 1),), gain))
            continue
        for down in downs:
            less, loss = _change(table, down, steps[down], -1)
            if down != up and more + less <= spare:
                moves.append(_Move(((up, 1), (down, -1)), gain + loss))
    return moves


def _change(table: Table, name: str, step: int, by: int) -> tuple[int, float]:
    """Return by how much bytes and damage change if the layer takes `by` steps."""
    before = table[name][step]
    after = table[name][step + by]
    return after.bytes - before.bytes, after.damage - before.damage


def _key(steps: Mapping[str, int]) -> tuple[int, ...]:
    return tuple(steps.values())
