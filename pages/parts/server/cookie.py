"""Who makes an HTTP request, by the cookie that Streamlit's login sets.

Streamlit asks for the cookie when a page opens its WebSocket, and not when it serves a picture, a
download or an upload. Their addresses are hard to guess, but whoever has one gets the file.
"""

import json
from collections.abc import Mapping
from urllib.parse import unquote

import streamlit as st

from core.errors import UserError
from core.runs.access.person import person_of
from pages.parts.server.login import has_login, member_access, rules

_CORE = "_stcore/"
_OPEN = ("_stcore/health", "_stcore/host-config", "_stcore/stream")
"""What the login screen needs. The script behind the WebSocket asks who it is."""

_PRIVATE = ("media/", "app/", "component/", _CORE)


def may_fetch(path: str, cookies: Mapping[str, str]) -> bool:
    """Whether a request with these cookies may have what is at the path.

    Everybody may have the browser's part of the app, which is the same on every server.
    """
    name = _below_base(path)
    if name in _OPEN or not name.startswith(_PRIVATE):
        return True
    try:
        return not has_login() or _is_member(cookies)
    except UserError:  # secrets.toml cannot be read, or a setting is wrong
        return False


def _below_base(path: str) -> str:
    """Return a path without the app's own one, `server.baseUrlPath`."""
    base = (st.get_option("server.baseUrlPath") or "").strip("/")
    name = unquote(path).lstrip("/")
    return name.removeprefix(f"{base}/") if base else name


def _is_member(cookies: Mapping[str, str]) -> bool:
    """Whether the cookie is one of this server, and names somebody who may come in."""
    # Parts of Streamlit that are not promised: without a login nothing depends on them.
    from streamlit.auth_util import get_cookie_with_chunks, get_origin_from_redirect_uri
    from streamlit.web.server.server_util import get_cookie_secret
    from streamlit.web.server.starlette.starlette_app_utils import decode_signed_value
    from streamlit.web.server.starlette.starlette_server_config import USER_COOKIE_NAME

    def read(name: str) -> bytes | None:
        signed = cookies.get(name)
        if signed is None:
            return None
        return decode_signed_value(get_cookie_secret(), name, signed.encode("latin-1"))

    content = get_cookie_with_chunks(read, USER_COOKIE_NAME)
    claims = json.loads(content) if content else {}
    if not claims.get("is_logged_in") or claims.get("origin") != get_origin_from_redirect_uri():
        return False
    member_access(person_of(claims), rules())  # raises UserError
    return True
