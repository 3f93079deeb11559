"""The report of the export command: several runs, one file, and wrong arguments."""

import json

import pytest

from core.commands.export import main
from tests.exit_code import exit_code
from tests.sample_runs import sample_run


@pytest.fixture
def words(store, tmp_path):
    """The command line for the report of two runs."""
    ids = [sample_run(store, name=name).id for name in ("one", "other")]
    out = tmp_path / "report.html"
    return [*ids, "--to", "report", "--out", str(out), "--runs-dir", str(store.root)]


def test_several_runs_become_one_file(words, tmp_path, capsys):
    out = tmp_path / "report.html"
    assert main([*words, "--json"]) == 0
    printed, told = capsys.readouterr()
    size = out.stat().st_size
    assert json.loads(printed) == {
        "runs": words[:2],
        "to": "report",
        "file": str(out),
        "bytes": size,
    }
    assert told == f"Wrote {out}: {size:,} bytes.\n"
    text = out.read_text(encoding="utf-8")
    assert text.startswith("<!DOCTYPE html>")
    assert all(run_id in text for run_id in words[:2])


def test_only_a_report_takes_several_runs(words, capsys):
    words[words.index("report")] = "card"
    assert exit_code(main, words) == 2
    assert "only --to report takes several runs, got 2" in capsys.readouterr().err


def test_a_file_that_is_there_stays(words, tmp_path, capsys):
    (tmp_path / "report.html").write_text("mine")
    assert exit_code(main, words) == 2
    assert "--force replaces it" in capsys.readouterr().err
    assert (tmp_path / "report.html").read_text() == "mine"


def test_a_missing_run_and_a_flag_without_effect_are_refused(words, capsys):
    assert exit_code(main, ["0123456789", *words]) == 2
    assert "There is no run '0123456789'" in capsys.readouterr().err
    assert exit_code(main, [*words, "--verifyimages", "10"]) == 2
    assert "--verifyimages does not go with --to report" in capsys.readouterr().err
