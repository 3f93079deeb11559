"""Holds what a person may do with runs. A store and the runs that it reads carry it along."""

from dataclasses import dataclass
from typing import Protocol

from core.errors import UserError
from core.runs.access.person import Person
from core.runs.access.rules import Rules

READ_ONLY = (
    "This server is read-only: everything can be looked at, and nothing started, changed or"
    " uploaded."
)


class Owned(Protocol):
    """A run or a sweep. owner: who made it, None if nobody was logged in then."""

    @property
    def name(self) -> str: ...
    @property
    def owner(self) -> Person | None: ...
    @property
    def is_for_everybody(self) -> bool: ...


_NO_RULES = Rules()


@dataclass(frozen=True)
class Access:
    """What the one who acts may do.

    person: who it is, None where nobody logs in: on the command line, and in an app without a
    login. They may change every run. A person may change their own runs, and an admin all. What
    nobody owns only admins may change then.
    """

    person: Person | None = None
    rules: Rules = _NO_RULES

    @property
    def is_admin(self) -> bool:
        return self.person is None or self.rules.is_admin(self.person)

    def may_change(self, owned: Owned) -> bool:
        """Whether they may cancel, resume, rename, tag or delete a run or a sweep."""
        return not self.rules.read_only and self._is_theirs(owned)

    def owns(self, owned: Owned) -> bool:
        """Whether they made it. The same person may have another name by now."""
        if owned.owner is None or self.person is None:
            return owned.owner is self.person
        return owned.owner.id == self.person.id

    def _is_theirs(self, owned: Owned) -> bool:
        return self.is_admin or owned.is_for_everybody or self.owns(owned)

    def refusal(self, owned: Owned | None = None) -> str:
        """Say why they may not change the run or the sweep, or start anything; "" if they may."""
        if self.rules.read_only:
            return READ_ONLY
        if owned is None or self._is_theirs(owned):
            return ""
        if owned.owner is None:
            return f"“{owned.name}” belongs to nobody: only an admin may change it."
        return f"“{owned.name}” belongs to {owned.owner.name}: only they or an admin may change it."

    def check_write(self) -> None:
        """Raise UserError if nothing may be started or changed here."""
        self._raise(self.refusal())

    def check_change(self, owned: Owned) -> None:
        """Raise UserError if they may not change the run or the sweep."""
        self._raise(self.refusal(owned))

    def _raise(self, refusal: str) -> None:
        if refusal:
            raise UserError(refusal)


EVERYTHING = Access()
"""The access of the machine's own user."""
