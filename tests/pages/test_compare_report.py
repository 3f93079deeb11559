"""The download of a report on the Compare page."""

import sys
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from pages.parts.shared.report_download import report_bytes
from tests.sample_runs import sample_run

ENTRY = str(Path(__file__).parents[2] / "streamlit_app.py")


@pytest.fixture
def ids(store):
    return [sample_run(store, name=name).id for name in ("one", "other")]


def report_button(ids):
    """The button among the settings of these runs."""
    app = AppTest.from_file(ENTRY, default_timeout=60).run()
    app.switch_page("pages/compare.py")
    app.query_params["runs"] = ",".join(ids)
    app.query_params["view"] = "Settings"
    app.run()
    assert not app.exception
    buttons = [element.proto for element in app.get("download_button")]
    return next(button for button in buttons if button.label == "Report (HTML)")


def test_the_report_is_beside_the_table_of_settings(ids):
    button = report_button(ids)
    assert not button.disabled
    assert "prints well" in button.help


def test_without_the_converter_the_button_says_what_to_install(ids, monkeypatch):
    monkeypatch.setitem(sys.modules, "vl_convert", None)
    button = report_button(ids)
    assert button.disabled
    assert "pip install -r requirements.txt" in button.help


def test_the_file_tells_of_the_chosen_runs(store, ids):
    text = report_bytes(store, ids).decode()
    assert text.startswith("<!DOCTYPE html>")
    assert "Report on 2 runs" in text
