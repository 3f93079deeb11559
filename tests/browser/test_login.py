"""Several people share a server: a real provider, the real login, and runs of Ann's."""

import http.client
import re
from urllib.parse import urljoin, urlsplit

import pytest
from filelock import FileLock

pytest.importorskip("authlib", reason="Authlib is not installed (requirements-server.txt)")

from core.runs import launch
from core.runs.access.access import Access
from core.runs.access.person import Person
from core.runs.store import RunStore
from tests import chromium as browser
from tests.chromium import PATIENCE, STILL, expect, has_navigation, is_in_state
from tests.oidc_provider import providing
from tests.sample_runs import RECIPE, sample_run

ANN = Person(id="ann@example.org", name="Ann Lee")

RULES = '[secateur]\nadmins = ["chief@example.org"]\nmembers = ["*@example.org"]'
pytestmark = browser.needs_chromium


@pytest.fixture(scope="module")
def address(runs, data_home, tmp_path_factory):
    """A server where people log in at a provider of the test."""
    secrets = tmp_path_factory.mktemp("secrets") / "secrets.toml"
    with providing() as provider:
        secrets.write_text(provider.secrets_toml(RULES))
        variables = {"STREAMLIT_SECRETS_FILES": str(secrets)}
        with browser.serving(runs.root, data_home, **variables) as address:
            yield address


@pytest.fixture
def log_in(chromium, address):
    """A function that logs a person in, in a browser window of their own."""
    contexts = []

    def log_in_as(who):
        context = chromium.new_context(viewport={"width": 1280, "height": 900}, **STILL)
        contexts.append(context)
        context.set_default_timeout(PATIENCE)
        page = context.new_page()
        page.goto(address)
        page.get_by_role("button", name="Log in", exact=True).click()
        page.get_by_role("link", name=who, exact=True).click()
        return page

    expect.set_options(timeout=PATIENCE)
    yield log_in_as
    for context in contexts:
        context.close()


@pytest.fixture
def busy(runs):
    """Hold the device, so that runs wait in the queue and leave the processor to the browser."""
    slots = runs.root / ".slots"
    slots.mkdir(exist_ok=True)
    with FileLock(slots / "cpu.lock"):
        yield


def status_of(url, cookies=()):
    """The status of a plain request with these cookies of a browser."""
    place = urlsplit(url)
    text = "; ".join(f"{cookie['name']}={cookie['value']}" for cookie in cookies)
    connection = http.client.HTTPConnection(place.netloc, timeout=60)
    connection.request("GET", place.path, headers={"Cookie": text} if text else {})
    return connection.getresponse().status


def has_only_the_login(page):
    expect(page.get_by_role("button", name="Log in", exact=True)).to_be_visible()
    expect(page.get_by_role("heading", level=1)).to_have_text(["Secateur"])
    expect(page.get_by_test_id("stTopNav")).to_have_count(0)


def test_whoever_is_not_logged_in_sees_no_run_and_gets_no_file(tab, address, runs, log_in):
    run = sample_run(runs, name="A secret run")
    for path in ("", f"runs?run={run.id}", "train"):
        page = tab(f"{address}/{path}")
        has_only_the_login(page)
        assert "secret run" not in page.content()

    visitor = log_in("bob")
    icon = visitor.locator("link[rel*=icon][href*='/media/']")
    expect(icon).to_have_count(1)
    picture = urljoin(address, icon.get_attribute("href"))
    cookies = visitor.context.cookies()
    forged = [cookie | {"value": cookie["value"][:-4] + "AAAA"} for cookie in cookies]
    assert status_of(picture, cookies) == 200
    for others in ([], forged):
        assert status_of(picture, others) == 403
    assert status_of(f"{address}/_stcore/upload_file/session/file") == 403
    assert status_of(f"{address}/_stcore/metrics") == 403


def test_an_address_that_the_provider_did_not_verify_opens_nothing(log_in):
    page = log_in("eve")  # she says that she is ann@example.org
    expect(page.get_by_test_id("stAlert")).to_contain_text("sub-eve has no access here")
    expect(page.get_by_test_id("stTopNav")).to_have_count(0)


def test_a_run_carries_the_name_of_whoever_logged_in_until_they_log_out(
    address, runs, busy, log_in
):
    ann = log_in("ann")
    has_navigation(ann)
    ann.goto(f"{address}/train?device=cpu")
    ann.get_by_role("button", name="Start training").click()
    ann.wait_for_url(re.compile("run="))
    expect(ann.get_by_text("by Ann Lee")).to_be_visible()
    assert runs.list()[0].owner == ANN
    expect(ann.get_by_role("button", name="Cancel", exact=True)).to_be_enabled()
    of_the_run = ann.url

    ann.get_by_test_id("stTopNav").get_by_role("button", name="Ann Lee", exact=True).click()
    ann.get_by_role("menuitem", name="Log out").click()
    has_only_the_login(ann)
    ann.goto(of_the_run)
    has_only_the_login(ann)


def test_a_run_is_seen_by_others_and_cancelled_by_an_admin(address, runs, busy, data_home, log_in):
    on_cpu = RECIPE.model_copy(update={"device": "cpu"})
    run = RunStore(runs.root, Access(ANN)).create(on_cpu, "Ann's")
    launch.start(run, data_home)
    bob = log_in("bob")
    has_navigation(bob)
    bob.goto(f"{address}/runs?run={run.id}")
    expect(bob.get_by_text("only they or an admin may change it")).to_be_visible()
    expect(bob.get_by_role("button", name="Cancel", exact=True)).to_be_disabled()
    bob.context.close()

    chief = log_in("chief")
    has_navigation(chief)
    chief.goto(f"{address}/runs?run={run.id}")
    chief.get_by_role("button", name="Cancel", exact=True).click()
    is_in_state(chief, "cancelled")
    assert runs.get(run.id).owner == ANN
