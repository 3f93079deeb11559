"""The rules of a shared server: who is an admin, what is refused, and how much each may start."""

import os
from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from core.errors import UserError
from core.runs.access.person import Person

_PREFIX = "SECATEUR_"


def _split(value: Any) -> Any:
    """Split the text of an environment variable at its commas, and write all in small letters."""
    words = value.split(",") if isinstance(value, str) else value
    if not isinstance(words, list | tuple) or not all(isinstance(word, str) for word in words):
        return value
    return tuple(word.strip().lower() for word in words if word.strip())


_Names = Annotated[tuple[str, ...], BeforeValidator(_split)]


class Rules(BaseModel):
    """The rules of a server. Without any, everybody who reaches the app may do everything.

    admins: ids of people who may change everybody's runs. members: ids of those who may come in,
    with * for any letters, as in *@example.org; empty for everybody who can log in. read_only:
    everything can be looked at, and nothing started or changed. most_runs: number of runs of one
    person that may be queued or running. free_gb: gigabytes that must be free on the disk of the
    runs before a run starts. runs_gb: gigabytes that all runs and the trash may take before that.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    admins: _Names = ()
    members: _Names = ()
    read_only: bool = False
    most_runs: int | None = Field(None, ge=1)
    free_gb: float | None = Field(None, gt=0)
    runs_gb: float | None = Field(None, gt=0)

    def is_admin(self, person: Person) -> bool:
        """Whether the person may change everybody's runs."""
        return person.id.lower() in self.admins

    def is_member(self, person: Person) -> bool:
        """Whether the person may come in. Admins may."""
        if not self.members or self.is_admin(person):
            return True
        return any(fnmatchcase(person.id.lower(), pattern) for pattern in self.members)


def read_rules(table: Mapping[str, Any], environment: Mapping[str, str] = os.environ) -> Rules:
    """Return the rules of a table of settings, and of variables such as SECATEUR_READ_ONLY.

    A variable wins over the table. Raises UserError for a setting that is unknown or impossible:
    a rule that nobody reads would protect nothing.
    """
    variables = {name: _PREFIX + name.upper() for name in Rules.model_fields}
    given = {name: environment.get(variable, "") for name, variable in variables.items()}
    values = {**table, **{name: text for name, text in given.items() if text}}
    try:
        return Rules.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][0])
        place = variables[name] if given.get(name) else f"{name} in [secateur] of secrets.toml"
        raise UserError(f"The setting {place} is wrong: {first['msg']}.") from None
