"""Reads the address of the Ray cluster from the environment variable RAY_ADDRESS."""

import os
from urllib.parse import urlsplit

from core.errors import UserError

RAY_ADDRESS = "RAY_ADDRESS"

_DASHBOARD_PORT = 8265
"""The port of the dashboard that `ray start --head` chooses. Ray Jobs are sent to it."""


def cluster_address() -> str | None:
    """Return the address that RAY_ADDRESS names; None if runs are local. Raises UserError."""
    return parse_address(os.environ.get(RAY_ADDRESS, ""))


def parse_address(text: str) -> str | None:
    """Return the dashboard's address, such as http://10.0.0.1:8265; None for "" and "local".

    `auto` is the dashboard of a cluster whose head is this machine. Raises UserError for anything
    that is no dashboard's address.
    """
    text = text.strip().rstrip("/")
    if text in ("", "local"):
        return None
    if text == "auto":
        return f"http://127.0.0.1:{_DASHBOARD_PORT}"
    try:
        parts = urlsplit(text)
        port = parts.port or _DASHBOARD_PORT
    except ValueError:
        raise _no_address(text) from None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise _no_address(text)
    if parts.path or parts.query or parts.fragment or parts.username:
        raise _no_address(text)
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return f"{parts.scheme}://{host}:{port}"


def _no_address(text: str) -> UserError:
    return UserError(
        f"{RAY_ADDRESS} must be auto or the address of the cluster's dashboard, such as"
        f" http://10.0.0.1:{_DASHBOARD_PORT}, got {text!r}."
    )
