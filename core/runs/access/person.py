"""A person who uses a shared server, as the login provider names them."""

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from core.errors import UserError


class Person(BaseModel):
    """A person. They own the runs that they make.

    id: their email address in small letters, or the provider's own id (the claim `sub`) if that has
    given no address, or has not verified it. name: for the screen.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str = Field(min_length=1, max_length=320)
    name: str = Field(min_length=1, max_length=120)


def person_of(claims: Mapping[str, Any]) -> Person:
    """Return the person that a login provider describes by the claims of its ID token.

    Raises UserError if the claims name nobody.
    """
    person_id = _text(claims, "sub")
    email = _text(claims, "email").lower()
    if email and claims.get("email_verified") is not False:
        person_id = email
    if not person_id:
        raise UserError("The login provider did not say who you are: it sent no email and no sub.")
    name = _text(claims, "name") or email or person_id
    return Person(id=person_id[:320], name=name[:120])


def _text(claims: Mapping[str, Any], claim: str) -> str:
    """Return a claim as one line, "" if it is missing or no text."""
    value = claims.get(claim)
    return " ".join(value.split()) if isinstance(value, str) else ""
