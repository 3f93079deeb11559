"""The app for several people, with the person that Streamlit's login would name."""

from pathlib import Path

import pytest
import streamlit as st
from streamlit.runtime.secrets import Secrets
from streamlit.testing.v1 import AppTest

from core.runs import launch
from core.runs.access.access import Access
from core.runs.access.person import Person
from core.runs.store import RunStore
from pages.parts.server import login
from tests.oidc_provider import CLIENT_ID, CLIENT_SECRET, PEOPLE
from tests.sample_runs import RECIPE, sample_run

ROOT = Path(__file__).parents[3]
ANN = Person(id="ann@example.org", name="Ann Lee")
AUTH = {
    "redirect_uri": "http://localhost:8501/oauth2callback",
    "cookie_secret": "0123456789abcdef",
    "client_id": CLIENT_ID,
    "client_secret": CLIENT_SECRET,
    "server_metadata_url": "http://localhost/.well-known/openid-configuration",
}
RULES = {"admins": ["chief@example.org"]}


def opened(who=None, page="runs", run_id=None, **secrets):
    """The page as it is for a person of the test's provider; None is not logged in."""
    app = AppTest.from_file(str(ROOT / "streamlit_app.py"), default_timeout=120)
    app.secrets = {"auth": AUTH, "secateur": RULES} | secrets
    if who is not None:
        app.user = {"is_logged_in": True, "sub": f"sub-{who}", **PEOPLE[who]}
    app.run()
    if who is not None and not app.error:
        app.switch_page(f"pages/{page}.py")
        if run_id is not None:
            app.query_params["run"] = run_id
        app.run()
    assert not app.exception
    return app


def local(page, run_id=None):
    """The page where nobody logs in."""
    app = AppTest.from_file(str(ROOT / "streamlit_app.py"), default_timeout=120).run()
    app.switch_page(f"pages/{page}.py")
    if run_id is not None:
        app.query_params["run"] = run_id
    return app.run()


def texts(app):
    kinds = ("markdown", "caption", "error", "info")
    return " ".join(element.value for kind in kinds for element in app.get(kind))


@pytest.fixture(autouse=True)
def _own_secrets(monkeypatch):
    """Put the secrets back, which AppTest leaves in place if a page takes too long."""
    monkeypatch.setattr(st, "secrets", st.secrets)


@pytest.fixture
def anns_run(store):
    """A finished run of Ann's."""
    return sample_run(RunStore(store.root, Access(ANN)), name="Mine and not yours")


def test_the_first_screen_has_the_name_and_one_button(anns_run):
    app = opened()
    assert app.title[0].value == "Secateur"
    assert [button.label for button in app.button] == ["Log in"]
    assert "Mine" not in texts(app)
    assert not app.dataframe


def test_each_provider_has_a_button():
    shared = {name: AUTH[name] for name in ("redirect_uri", "cookie_secret")}
    app = opened(auth={**shared, "okta": {**AUTH}, "google": {**AUTH}})
    assert [button.label for button in app.button] == ["Log in with Okta", "Log in with Google"]


def test_a_person_who_is_no_member_sees_why(anns_run):
    app = opened("bob", secateur={"members": ["ann@example.org"]})
    assert "bob@example.org has no access here" in app.error[0].value.replace("\\", "")
    assert [button.label for button in app.button] == ["Log out"]
    assert not app.dataframe


def test_without_authlib_a_sentence_says_what_to_install(monkeypatch):
    monkeypatch.setattr(login, "find_spec", lambda name: None)
    app = opened()
    assert "pip install -r requirements-server.txt" in app.error[0].value.replace("\\", "")
    assert not app.button


def test_a_wrong_setting_closes_the_app(anns_run):
    app = opened("ann", secateur={"readonly": True})
    assert "readonly in [secateur]" in app.error[0].value.replace("\\", "")
    assert not app.dataframe


def test_a_secrets_file_that_cannot_be_read_closes_the_app(tmp_path, anns_run, monkeypatch):
    file = tmp_path / "secrets.toml"
    file.write_text("[auth\n")
    monkeypatch.setattr(st, "secrets", Secrets())
    st.config.set_option("secrets.files", [str(file)])
    try:
        app = AppTest.from_file(str(ROOT / "streamlit_app.py"), default_timeout=120).run()
    finally:
        st.config.set_option("secrets.files", [])
    assert "cannot be read as TOML" in app.error[0].value
    assert not app.button


def test_the_table_names_the_owners_and_shows_ones_own(store, anns_run):
    sample_run(store, name="Nobody's")
    bobs = Person(id="bob@example.org", name="Bob Ray")
    sample_run(RunStore(store.root, Access(bobs)), name="Bob's")
    app = opened("bob")
    table = app.dataframe[0].value
    assert dict(zip(table["name"], table["owner"].fillna("nobody"), strict=True)) == {
        "Bob's": "Bob Ray",
        "Nobody's": "nobody",
        "Mine and not yours": "Ann Lee",
    }
    app.toggle(key="mine").set_value(True).run()
    assert app.dataframe[0].value["name"].tolist() == ["Bob's"]


def test_the_page_of_somebody_elses_run_says_whose_it_is_and_disables_what_is_theirs(anns_run):
    app = opened("bob", run_id=anns_run.id)
    assert "by Ann Lee" in texts(app)
    assert "belongs to Ann Lee" in texts(app)
    assert app.button(key="delete").disabled
    assert app.text_input(key=f"name-{anns_run.id}").disabled
    assert app.multiselect(key=f"tags-{anns_run.id}").disabled
    assert not app.button(key="duplicate").disabled
    assert not app.button(key="next_step").disabled


@pytest.mark.parametrize("who", ["ann", "chief"])
def test_the_owner_and_an_admin_may_delete(store, anns_run, who):
    app = opened(who, run_id=anns_run.id)
    assert "belongs to" not in texts(app)
    app.button(key="delete").click().run()
    assert store.list() == []


def test_a_click_is_refused_if_the_rules_have_changed_since_the_page_was_drawn(store, anns_run):
    app = opened("chief", run_id=anns_run.id)
    app.secrets["secateur"] = {"admins": []}
    app.button(key="delete").click().run()
    assert [run.id for run in store.list()] == [anns_run.id]


def test_without_a_login_there_are_no_owners_and_everything_may_be_changed(store, anns_run):
    sample_run(store, name="Nobody's")
    app = local("runs", anns_run.id)
    assert not app.button(key="delete").disabled
    app.button(key="delete").click().run()
    assert [run.name for run in store.list()] == ["Nobody's"]
    assert "owner" not in local("runs").dataframe[0].value


def test_a_run_carries_the_name_of_the_one_who_starts_it(store, monkeypatch, digits):
    monkeypatch.setattr(launch, "_spawn", lambda run, data: None)  # no worker: the run is enough
    app = opened("ann", page="train")
    app.button(key="launch").click().run()
    (run,) = store.list()
    assert run.owner == ANN


def test_read_only_is_said_above_the_page(monkeypatch):
    monkeypatch.setenv("SECATEUR_READ_ONLY", "1")
    app = AppTest.from_file(str(ROOT / "streamlit_app.py"), default_timeout=120).run()
    assert "This server is read-only" in app.info[0].value


@pytest.mark.parametrize(
    ("page", "runs", "keys"),
    [
        ("home", 0, ["tour", "own_network", "own_images"]),
        ("home", 1, ["tour"]),
        ("train", 0, ["launch", "import"]),
        ("runs", 1, ["import_network", "import_run", "clean_up"]),
    ],
)
def test_read_only_disables_what_changes_something(store, page, runs, keys, monkeypatch, digits):
    monkeypatch.setenv("SECATEUR_READ_ONLY", "1")
    for _ in range(runs):
        sample_run(store)
    app = local(page)
    assert not app.exception
    for key in keys:
        assert app.button(key=key).disabled
        assert "read-only" in app.button(key=key).help.replace("\\", "")


def test_a_limit_is_said_where_a_run_is_started(store, monkeypatch, digits):
    monkeypatch.setenv("SECATEUR_RUNS_GB", "1e-9")
    sample_run(store)
    app = local("train")
    app.button(key="launch").click().run()
    assert "delete runs or their checkpoints" in app.error[0].value
    assert len(store.list()) == 1
    assert store.list()[0].recipe == RECIPE
