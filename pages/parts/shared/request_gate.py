"""Refuses requests that another web page or another name of this machine makes.

A page elsewhere can point its own name at this machine (DNS rebinding), show the app in a frame, or
open a WebSocket to it. Streamlit itself checks the host of WebSockets only, lets every port of this
machine through, and says nothing about frames.
"""

from urllib.parse import urlsplit

import streamlit as st
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import HTTPConnection
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pages.parts.server.cookie import may_fetch

_NO_FRAMES = {"Content-Security-Policy": "frame-ancestors 'none'", "X-Frame-Options": "DENY"}
_POLICY_VIOLATION = 1008  # a status code of WebSockets


class RequestGate:
    """An ASGI middleware that lets only requests of the app's own pages through.

    A request must name a host of `server.allowedHosts`. If it names the page that made it (the
    header Origin), that page must be the app's own, or one of `server.corsAllowedOrigins`. Where
    people log in, files are for those who did. Every answer forbids the browser to show it in a
    frame.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or refuse it."""
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return

        async def send_without_frames(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(_NO_FRAMES)
            await send(message)

        refusal = _refusal(Headers(scope=scope)) or _closed(scope)
        if not refusal:
            await self.app(scope, receive, send_without_frames)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": _POLICY_VIOLATION})
        else:
            await PlainTextResponse(refusal, 403)(scope, receive, send_without_frames)


def _refusal(headers: Headers) -> str:
    """Say why a request is refused, "" if it is not."""
    host = headers.get("host", "")
    if not _is_host_allowed(host):
        return (
            f"This app is not served under the name {host[:100]!r}. Whoever runs it can add the"
            " name to server.allowedHosts; docs/SERVER.md tells how."
        )
    origin = headers.get("origin")
    if origin is not None and not _is_origin_allowed(origin, host):
        return f"The page {origin[:100]!r} is not part of this app, and may not use it."
    return ""


def _closed(scope: Scope) -> str:
    """Say that a file is only for those who are logged in, "" if the request may have it."""
    if may_fetch(scope["path"], HTTPConnection(scope).cookies):
        return ""
    return "Log in to the app first."


def _is_host_allowed(host: str) -> bool:
    """Whether `server.allowedHosts` lists the host, or is empty. Ports do not count."""
    patterns: list[str] = st.get_option("server.allowedHosts")
    if not patterns:
        return True
    try:
        name = (urlsplit(f"//{host}").hostname or "").rstrip(".")
    except ValueError:
        return False
    return any(_matches(name, pattern.strip().lower().rstrip(".")) for pattern in patterns)


def _matches(name: str, pattern: str) -> bool:
    """Whether a host name is the pattern, or "*" or "*.example.com" includes it."""
    if pattern.startswith("*."):
        return name.endswith(pattern[1:])
    return pattern in ("*", name)


def _is_origin_allowed(origin: str, host: str) -> bool:
    """Whether the page is of this host and this port, or `server.corsAllowedOrigins` lists it."""
    if not st.get_option("server.enableCORS"):  # the name says the opposite of what it does
        return True
    if origin in st.get_option("server.corsAllowedOrigins"):
        return True
    return origin.lower() in (f"http://{host.lower()}", f"https://{host.lower()}")
