"""Proposes what can be removed from the folder of the runs, with the bytes that this frees.

Nothing that another run needs is proposed: a run that another one was made from stays, and so does
a run with a tag, by which a person says that it matters. What the one who asks may not delete is
not proposed to them.
"""

import contextlib
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from core.runs.integrity import CHECKPOINT
from core.runs.run import Run
from core.runs.space.disk_use import folder_bytes
from core.runs.store import RunStore

ProposalKind = Literal["checkpoints", "stopped", "old", "trash"]

_DAY = 86_400


@dataclass(frozen=True)
class KindFacts:
    """What is proposed. title: a word or two for one of them. description: what they are.

    to_trash: whether they go to the trash, from where they can be restored, and not away for good.
    """

    title: str
    description: str
    to_trash: bool


PROPOSAL_KINDS: dict[ProposalKind, KindFacts] = {
    "checkpoints": KindFacts(
        "checkpoint", "checkpoints that finished runs have left, which only resuming needs", False
    ),
    "stopped": KindFacts(
        "failed or cancelled",
        "failed or cancelled runs without a tag that no other run was made from",
        True,
    ),
    "old": KindFacts(
        "old", "runs of a given age without a tag that no other run was made from", True
    ),
    "trash": KindFacts(
        "in the trash", "deleted runs in the trash, which are then gone for good", False
    ),
}


@dataclass(frozen=True)
class Proposal:
    """Something that can be removed. run_id, name: of the run that it belongs to."""

    kind: ProposalKind
    run_id: str
    name: str
    bytes: int


def propose(store: RunStore, older_than: float | None = None) -> list[Proposal]:
    """List what can be removed, the largest of each kind first.

    older_than: the age in days from which a run is old; None if age does not matter. A run that
    failed or was cancelled is listed as that, however old it is. Runs that only measure another one
    go with it, so their bytes are counted with its own.
    """
    runs = store.list(helpers=True)
    helpers = _helpers_by_parent(runs)
    parents = {run.config.parent for run in runs if not run.is_helper}
    may_change = store.access.may_change
    proposals = [*_checkpoints(filter(may_change, runs)), *_trash(store)]
    for run in filter(may_change, runs):
        if run.is_helper or run.active or run.tags or run.id in parents:
            continue
        if any(helper.active for helper in helpers.get(run.id, ())):
            continue
        kind = _kind_of(run, older_than)
        if kind is not None:
            number = sum(folder_bytes(str(one.path)) for one in (run, *helpers.get(run.id, ())))
            proposals.append(Proposal(kind, run.id, run.name, number))
    order = list(PROPOSAL_KINDS)
    return sorted(proposals, key=lambda item: (order.index(item.kind), -item.bytes))


def proposed_bytes(proposals: Iterable[Proposal]) -> int:
    """Return the bytes of several proposals."""
    return sum(item.bytes for item in proposals)


def _kind_of(run: Run, older_than: float | None) -> ProposalKind | None:
    if run.state in ("failed", "cancelled"):
        return "stopped"
    if older_than is not None and time.time() - run.config.created > older_than * _DAY:
        return "old"
    return None


def _helpers_by_parent(runs: Sequence[Run]) -> dict[str, list[Run]]:
    helpers: dict[str, list[Run]] = {}
    for run in runs:
        if run.is_helper:
            helpers.setdefault(str(run.config.parent), []).append(run)
    return helpers


def _checkpoints(runs: Iterable[Run]) -> list[Proposal]:
    found = []
    for run in runs:
        if run.state == "finished":
            with contextlib.suppress(OSError):  # hardly any finished run has one
                number = (run.path / CHECKPOINT).stat().st_size
                found.append(Proposal("checkpoints", run.id, run.name, number))
    return found


def _trash(store: RunStore) -> list[Proposal]:
    proposals = []
    for run_id, group in store.trash_with_helpers().items():
        if not store.access.may_change(group[0]):
            continue
        number = sum(folder_bytes(str(run.path)) for run in group)
        proposals.append(Proposal("trash", run_id, group[0].name, number))
    return proposals
