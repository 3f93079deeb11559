"""Other web pages can do nothing to a real server, over HTTP and over the WebSocket."""

import http.client
import socket
from urllib.parse import urlsplit

import pytest

pytest.importorskip("playwright.sync_api")  # `address` needs it
websockets = pytest.importorskip("websockets.sync.client")

STREAM = "/_stcore/stream"
FOREIGN_HOSTS = ["evil.example", "evil.example:8501", "127.0.0.1.evil.example", "[::1", ""]


def answer(address, path="/", **headers):
    connection = http.client.HTTPConnection(urlsplit(address).netloc, timeout=60)
    connection.putrequest("GET", path, skip_host=True)
    for name, value in ({"Host": urlsplit(address).netloc} | headers).items():
        connection.putheader(name, value)
    connection.endheaders()
    response = connection.getresponse()
    return response, response.read().decode()


def opens(address, **headers):
    """Whether the server accepts a WebSocket with these headers."""
    host = headers.pop("host", None)
    options = {}
    url = address.replace("http", "ws") + STREAM
    if host is not None:
        place = urlsplit(address)
        options["sock"] = socket.create_connection((place.hostname, place.port))
        url = f"ws://{host}{STREAM}"
    try:
        with websockets.connect(
            url, subprotocols=["streamlit"], open_timeout=60, **options, **headers
        ):
            return True
    except websockets.InvalidStatus:
        return False


@pytest.mark.parametrize("path", ["/", "/train", "/_stcore/health", "/_stcore/host-config"])
def test_no_page_may_show_the_app_in_a_frame(address, path):
    response, _ = answer(address, path)
    assert response.status == 200
    assert response.getheader("Content-Security-Policy") == "frame-ancestors 'none'"
    assert response.getheader("X-Frame-Options") == "DENY"


@pytest.mark.parametrize("host", FOREIGN_HOSTS)
def test_a_foreign_name_gets_no_page(address, host):
    response, text = answer(address, Host=host)
    assert response.status == 403
    assert "server.allowedHosts" in text
    assert response.getheader("X-Frame-Options") == "DENY"


def test_the_names_of_this_machine_get_the_page(address):
    port = urlsplit(address).port
    for host in (f"localhost:{port}", f"127.0.0.1:{port}", "LOCALHOST"):
        response, text = answer(address, Host=host)
        assert response.status == 200
        assert "<!doctype html>" in text.lower()


@pytest.mark.parametrize(
    "origin",
    ["http://evil.example", "http://localhost:1", "http://127.0.0.1:1", "null", "http://[", "x"],
)
def test_a_foreign_page_gets_nothing(address, origin):
    response, _ = answer(address, "/_stcore/host-config", Origin=origin)
    assert response.status == 403
    assert not opens(address, origin=origin)


def test_an_origin_without_its_scheme_is_foreign(address):
    without_scheme = address.removeprefix("http:")
    response, _ = answer(address, "/_stcore/host-config", Origin=without_scheme)
    assert response.status == 403
    assert not opens(address, origin=without_scheme)


def test_the_apps_own_page_opens_the_stream(address):
    assert opens(address, origin=address)


def test_a_foreign_name_opens_no_stream(address):
    place = urlsplit(address)
    assert opens(address, host=f"localhost:{place.port}", origin=f"http://localhost:{place.port}")
    for name in ("evil.example", f"evil.example:{place.port}"):
        assert not opens(address, host=name, origin=f"http://{name}")
        assert not opens(address, host=name)


def test_a_post_of_another_page_is_refused(address):
    netloc = urlsplit(address).netloc
    connection = http.client.HTTPConnection(netloc, timeout=60)
    connection.request(
        "PUT",
        "/_stcore/upload_file/a/b",
        body=b"x",
        headers={"Origin": "http://evil.example", "Content-Type": "text/plain"},
    )
    assert connection.getresponse().status == 403
