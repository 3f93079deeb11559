"""Who uses the app, by Streamlit's login. Without `[auth]` in secrets.toml there is none."""

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import streamlit as st

from core.errors import UserError
from core.runs.access.access import Access
from core.runs.access.person import Person, person_of
from core.runs.access.rules import Rules, read_rules

_AUTHLIB_IS_MISSING = (
    "The login is set up, but Authlib is missing: run pip install -r requirements-server.txt, and"
    " start the app again."
)
_NOT_PROVIDERS = ("client_kwargs",)


def has_login() -> bool:
    """Whether people must log in. Raises UserError for a secrets.toml that cannot be read."""
    return bool(_secrets().get("auth"))


def providers() -> list[str]:
    """Return the names of the login providers; "default" is the one of `[auth]` itself."""
    auth = _secrets().get("auth", {})
    named = [
        name
        for name, value in auth.items()
        if isinstance(value, Mapping) and name not in _NOT_PROVIDERS
    ]
    return ["default"] if "client_id" in auth else named


def check_setup() -> None:
    """Raise UserError, with what to do, if nobody could log in, or if a setting is wrong."""
    rules()
    if not has_login():
        return
    if find_spec("authlib") is None:
        raise UserError(_AUTHLIB_IS_MISSING)
    if not providers():
        raise UserError("[auth] in secrets.toml names no client_id: docs/SERVER.md has an example.")


def rules() -> Rules:
    """Return the rules in `[secateur]` of secrets.toml and in the environment.

    Raises UserError for a setting that is wrong.
    """
    table = _secrets().get("secateur", {})
    if not isinstance(table, Mapping):
        raise UserError("secateur in secrets.toml must be a table: [secateur].")
    return read_rules(dict(table))


def person() -> Person | None:
    """Return the one who is logged in, None if nobody is. Raises UserError if they have no id."""
    return person_of(st.user.to_dict()) if st.user.get("is_logged_in") else None


def access() -> Access:
    """Return what the one who uses this page may do.

    Raises UserError for whoever may not come in.
    """
    if not has_login():
        return Access(None, rules())
    visitor = person()
    if visitor is None:
        raise UserError("You are not logged in.")
    return member_access(visitor, rules())


def member_access(visitor: Person, server_rules: Rules) -> Access:
    """Return what a person who is logged in may do. Raises UserError for one who is no member."""
    if not server_rules.is_member(visitor):
        raise UserError(
            f"{visitor.id} has no access here: ask whoever runs this server to add you to its"
            " members."
        )
    return Access(visitor, server_rules)


def _secrets() -> Mapping[str, Any]:
    """Return what secrets.toml holds, nothing if there is none.

    Raises UserError for one that cannot be read, because it may be the one that asks for a login.
    """
    if st.secrets.load_if_toml_exists():
        return st.secrets
    for file in st.get_option("secrets.files"):
        if Path(file).exists():
            raise UserError(f"{file} cannot be read as TOML: correct it, and start the app again.")
    return {}
