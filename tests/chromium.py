"""Starts a real server and a real browser, for the tests that click through the app."""

import contextlib
import os
import re
import shutil
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from tests.waiting import until

sync_api = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
expect = sync_api.expect

ROOT = Path(__file__).parent.parent
_NAMES = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
CHROMIUM = next(filter(None, map(shutil.which, _NAMES)), None)
"""The path of a Chromium. The headless shell needs a third less of a processor than the others,
which draw the frame of a window, too.
"""
PATIENCE = 120_000  # milliseconds, because workers load torch, and the machine may be busy
SECONDS_TO_END = 20
STILL = {"reduced_motion": "reduce"}
"""Options of a context without animations, which take a core as long as a page waits."""
needs_chromium = pytest.mark.skipif(
    CHROMIUM is None,
    reason="no Chromium is installed (Debian: apt-get install chromium-headless-shell)",
)


@contextlib.contextmanager
def serving(runs, data, **variables):
    """Start a server as `streamlit run` does, and yield its address.

    runs: the folder of the runs. data: the folder of the data sets. variables: further ones of its
    environment.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {
        **os.environ,
        "SECATEUR_RUNS": str(runs),
        "SECATEUR_DATA": str(data),
        "OMP_NUM_THREADS": "1",
        **variables,
    }
    command = [sys.executable, "-m", "streamlit", "run", "streamlit_app.py"]
    options = ["--server.headless", "true", "--server.port", str(port)]
    with subprocess.Popen(
        [*command, *options], cwd=ROOT, env=environment, stdout=subprocess.DEVNULL
    ) as server:
        try:
            until(lambda: _healthy(port))
            yield f"http://127.0.0.1:{port}"
        finally:
            server.terminate()
            try:
                server.wait(SECONDS_TO_END)
            except subprocess.TimeoutExpired:
                server.kill()  # it waits for a browser that keeps a connection open


def _healthy(port):
    url = f"http://127.0.0.1:{port}/_stcore/health"
    try:
        return urllib.request.urlopen(url, timeout=5).status == 200
    except (urllib.error.URLError, OSError):
        return False


MENUS = {
    "Make": ("Train", "Prune", "Quantize", "Budget", "Sweep"),
    "Look": ("Weights", "Kernels", "Activations", "Answers"),
    "Decide": ("Runs", "Compare", "Export"),
}
"""The menus of the navigation, each with the titles of some of its pages."""


def has_navigation(page):
    navigation = page.get_by_test_id("stTopNav")
    expect(navigation.get_by_role("link", name="Home", exact=True)).to_be_visible()
    for menu in MENUS:
        expect(navigation.get_by_role("button", name=menu, exact=True)).to_be_visible()


def go_to(page, title):
    """Open the page of this title by the navigation."""
    (menu,) = (menu for menu, titles in MENUS.items() if title in titles)
    page.get_by_test_id("stTopNav").get_by_role("button", name=menu, exact=True).click()
    page.get_by_role("menuitem", name=title, exact=True).click()


def settled(page):
    """Wait until the server has run the page to its end."""
    expect(page.locator("[data-testid=stApp][data-test-script-state=notRunning]")).to_be_visible()


def number(page, label, value):
    """Type a number into the field of this label."""
    field = page.get_by_role("spinbutton", name=label, exact=True)
    field.fill(str(value))
    field.press("Enter")


def start(page, runs, button, parent):
    """Click the button that starts a run of `parent`, and return the run when its page is open."""
    button.click()
    page.wait_for_url(re.compile("/runs"))
    run = runs.list()[0]
    assert run.id in page.url
    assert run.config.parent == parent.id
    return run


def work_off(page, runs, button, parent):
    """Start a run of `parent` as `start` does, and return it when its page shows its end."""
    run = start(page, runs, button, parent)
    is_in_state(page, "finished")
    return runs.get(run.id)


def is_in_state(page, state):
    expect(page.locator(".st-key-header")).to_contain_text(state)
