"""Removes what was proposed, as far as it can still go."""

import contextlib
from collections.abc import Sequence

from core.errors import UserError
from core.runs.integrity import CHECKPOINT
from core.runs.lock import RunLock
from core.runs.space.proposals import Proposal, propose
from core.runs.store import RunStore


def remove_proposed(
    store: RunStore, chosen: Sequence[Proposal], older_than: float | None = None
) -> list[Proposal]:
    """Remove the chosen proposals, and return those that were removed.

    Everything is proposed again first, so what was changed, resumed or used since stays. The trash
    is emptied before other runs come into it. older_than: as for `propose`.
    """
    wanted = {(item.kind, item.run_id) for item in chosen}
    proposals = [item for item in propose(store, older_than) if (item.kind, item.run_id) in wanted]
    ordered = sorted(proposals, key=lambda item: item.kind != "trash")
    removed = []
    for item in ordered:
        with contextlib.suppress(UserError):  # it has become active, or is gone
            if _remove_one(store, item):
                removed.append(item)
    return removed


def _remove_one(store: RunStore, item: Proposal) -> bool:
    """Remove one thing, and return whether it was there. Raises UserError if it cannot go."""
    if item.kind == "trash":
        return store.delete_for_good(item.run_id)
    if item.kind == "checkpoints":
        return _delete_checkpoint(store, item.run_id)
    store.delete(item.run_id)
    return True


def _delete_checkpoint(store: RunStore, run_id: str) -> bool:
    """Delete the checkpoint of a run, unless a worker is at it."""
    run = store.get(run_id)
    store.access.check_change(run)
    with RunLock(run.path) as lock:
        if not lock.take(timeout=0.1):
            return False
        (run.path / CHECKPOINT).unlink(missing_ok=True)
        return True
