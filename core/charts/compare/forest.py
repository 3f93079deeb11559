"""Places the nodes of a forest from left to right, such as runs and what was made from them."""

from collections.abc import Mapping
from typing import NamedTuple


class Place(NamedTuple):
    """The place of a node. column: distance from its root. row: counted from the top."""

    column: int
    row: float


def forest_layout(parents: Mapping[str, str | None]) -> dict[str, Place]:
    """Return the place of each node of a forest, so that children are right of their parents.

    parents: the parent of each node. A parent that is no node itself makes the node a root. Leaves
    get a row each, in the order of `parents`, and a parent is in the middle of its children. So no
    two nodes are nearer to each other than one row or one column. Of nodes in a circle, which only
    a damaged file has, the first one becomes a root.
    """
    parents = _without_circles(parents)
    children: dict[str | None, list[str]] = {}
    for node, parent in parents.items():
        children.setdefault(parent, []).append(node)
    places: dict[str, Place] = {}
    next_row = 0
    waiting = [(root, 0, False) for root in reversed(children.get(None, []))]
    while waiting:
        node, column, is_ready = waiting.pop()
        below = children.get(node, [])
        if below and not is_ready:
            waiting.append((node, column, True))
            waiting += [(child, column + 1, False) for child in reversed(below)]
        elif below:
            middle = (places[below[0]].row + places[below[-1]].row) / 2
            places[node] = Place(column, middle)
        else:
            places[node] = Place(column, next_row)
            next_row += 1
    return places


def _without_circles(parents: Mapping[str, str | None]) -> dict[str, str | None]:
    """Return the parents, None for one that is no node and for the first node of a circle."""
    known = {node: parent if parent in parents else None for node, parent in parents.items()}
    for node in known:
        ancestor = known[node]
        seen = {node}
        while ancestor is not None and ancestor not in seen:
            seen.add(ancestor)
            ancestor = known[ancestor]
        if ancestor == node:
            known[node] = None
    return known
