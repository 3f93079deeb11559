"""A small login provider, as OpenID Connect describes one, for people who need no password.

It has the discovery document, a page on which one clicks on one's name, the token endpoint with an
ID token that is signed by RS256, the public key, and the end of the session. It checks what a real
one checks: the client and its secret, the redirect URI, and PKCE.

    python -m tests.oidc_provider PORT    starts one to try the login with, see docs/SERVER.md
"""

import base64
import contextlib
import hashlib
import html
import json
import secrets
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlencode, urlsplit

from joserfc import jwt
from joserfc.jwk import RSAKey

CLIENT_ID = "secateur"
CLIENT_SECRET = "a secret of the test's provider"

PEOPLE = {
    "ann": {"email": "Ann@example.org", "email_verified": True, "name": "Ann Lee"},
    "bob": {"email": "bob@example.org", "email_verified": True, "name": "Bob Ray"},
    "eve": {"email": "ann@example.org", "email_verified": False, "name": "Eve"},
    "chief": {"email": "chief@example.org", "email_verified": True, "name": "The Chief"},
}


class Provider(ThreadingHTTPServer):
    """The provider. issuer: its address. codes: what was asked for, by the code that was given."""

    daemon_threads = True

    def __init__(self, port=0):
        super().__init__(("127.0.0.1", port), _Handler)
        self.issuer = f"http://127.0.0.1:{self.server_address[1]}"
        self.key = RSAKey.generate_key(2048, auto_kid=True)
        self.codes = {}

    def discovery(self):
        return {
            "issuer": self.issuer,
            "authorization_endpoint": f"{self.issuer}/authorize",
            "token_endpoint": f"{self.issuer}/token",
            "jwks_uri": f"{self.issuer}/jwks",
            "end_session_endpoint": f"{self.issuer}/logout",
            "response_types_supported": ["code"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["RS256"],
            "code_challenge_methods_supported": ["S256"],
        }

    def id_token(self, who, nonce):
        now = int(time.time())
        claims = {"iss": self.issuer, "aud": CLIENT_ID, "sub": f"sub-{who}", "nonce": nonce}
        claims |= {"iat": now, "exp": now + 600, **PEOPLE[who]}
        return jwt.encode({"alg": "RS256", "kid": self.key.kid}, claims, self.key)

    def secrets_toml(self, extra=""):
        """Return the secrets.toml of an app that lets people log in here."""
        return (
            "[auth]\n"
            'redirect_uri = "http://127.0.0.1:{port}/oauth2callback"\n'
            f'cookie_secret = "{secrets.token_hex(32)}"\n'
            f'client_id = "{CLIENT_ID}"\n'
            f'client_secret = "{CLIENT_SECRET}"\n'
            f'server_metadata_url = "{self.issuer}/.well-known/openid-configuration"\n'
            "client_kwargs = { timeout = 60 }\n"  # seconds; the machine may be busy
            f"{extra}\n"
        )


class _Handler(BaseHTTPRequestHandler):
    server: Provider

    def do_GET(self):
        place = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(place.query).items()}
        answers = {
            "/.well-known/openid-configuration": lambda: self._json(self.server.discovery()),
            "/jwks": lambda: self._json({"keys": [self.server.key.as_dict(private=False)]}),
            "/authorize": lambda: self._authorize(query),
            "/logout": lambda: self._redirect(query["post_logout_redirect_uri"]),
        }
        answers.get(place.path, lambda: self._json({"error": "not_found"}, 404))()

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        form = {name: values[0] for name, values in parse_qs(body).items()}
        asked = self.server.codes.pop(form.get("code"), None)
        if asked is None or not self._is_client(form) or not _matches(asked, form):
            self._json({"error": "invalid_grant"}, 400)
            return
        id_token = self.server.id_token(asked["who"], asked.get("nonce"))
        access_token = secrets.token_hex(16)
        self._json({"access_token": access_token, "token_type": "Bearer", "id_token": id_token})

    def _authorize(self, query):
        """Show the people to choose from, or give the code of the one who was chosen."""
        if query["client_id"] != CLIENT_ID or query["response_type"] != "code":
            self._json({"error": "unauthorized_client"}, 400)
        elif query.get("who") not in PEOPLE:
            links = [(urlencode({**query, "who": who}), who) for who in PEOPLE]
            lines = [f'<p><a href="?{html.escape(link)}">{who}</a></p>' for link, who in links]
            text = "".join(lines)
            self._answer(text.encode(), "text/html")
        else:
            code = secrets.token_hex(16)
            self.server.codes[code] = query
            target = {"code": code, "state": query["state"]}
            self._redirect(f"{query['redirect_uri']}?{urlencode(target)}")

    def _is_client(self, form):
        """Whether the request carries the client's id and secret, in its header or its body."""
        name = form.get("client_id")
        secret = form.get("client_secret")
        scheme, _, text = self.headers.get("Authorization", "").partition(" ")
        if scheme == "Basic":
            name, _, secret = base64.b64decode(text).decode().partition(":")
        return (name, secret) == (CLIENT_ID, CLIENT_SECRET)

    def _json(self, content, status=200):
        self._answer(json.dumps(content).encode(), "application/json", status)

    def _redirect(self, target):
        self.send_response(302)
        self.send_header("Location", target)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _answer(self, content, kind, status=200):
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *arguments):
        """Say nothing."""


def _matches(asked, form):
    """Whether a token is asked for by the one who asked for the code (RFC 7636, S256)."""
    digest = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
    challenge = base64.urlsafe_b64encode(digest).decode().rstrip("=")
    return asked["code_challenge"] == challenge and asked["redirect_uri"] == form["redirect_uri"]


@contextlib.contextmanager
def providing(port=0):
    """Run a provider in a thread, and yield it."""
    with Provider(port) as provider:
        thread = threading.Thread(target=provider.serve_forever, daemon=True)
        thread.start()
        try:
            yield provider
        finally:
            provider.shutdown()
            thread.join()


if __name__ == "__main__":
    with Provider(int(sys.argv[1])) as server:
        print(server.secrets_toml())
        with contextlib.suppress(KeyboardInterrupt):
            server.serve_forever()
