"""The runs command: a run as one zip, and the clean-up with its preview."""

import json

import pytest

from core.commands.runs import main
from core.runs.store import RunStore
from tests.core.runs.archive.test_archive import untrained
from tests.exit_code import exit_code
from tests.sample_runs import sample_run


def test_export_and_import(store, tmp_path, capsys):
    run = untrained(store)
    target = tmp_path / "run.zip"
    assert main(["export", run.id, "--out", str(target), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {
        "run_id": run.id,
        "file": str(target),
        "bytes": target.stat().st_size,
    }
    elsewhere = tmp_path / "elsewhere"
    words = ["import", str(target), "--runs-dir", str(elsewhere)]
    assert main(words) == 0
    assert capsys.readouterr().out.endswith(f"“seed 0” is imported as run {run.id}.\n")
    assert RunStore(elsewhere).get(run.id).has_model


def test_the_zip_is_named_after_the_run(store, tmp_path, monkeypatch):
    run = untrained(store)
    monkeypatch.chdir(tmp_path)
    assert main(["export", run.id]) == 0
    assert (tmp_path / f"LeNet5-Digits-{run.id}.zip").is_file()
    assert main(["export", run.id]) == 1  # it is there already
    assert main(["export", run.id, "--force"]) == 0


def test_what_cannot_be_done_is_one_line(store, tmp_path, capsys):
    for words in (
        ["export", "0123456789", "--out", str(tmp_path / "a.zip")],
        ["import", str(tmp_path / "none.zip")],
        ["clean", "--only", "old"],
        ["clean", "--runs-dir", str(tmp_path / "none")],
    ):
        assert main(words) == 1
        out, err = capsys.readouterr()
        assert (out, err.count("\n")) == ("", 1)
        assert err.startswith(f"python -m core runs {words[0]}: ")
    for words in ([], ["clean", "--older-than", "-1"], ["clean", "--only", "all"]):
        assert exit_code(main, words) == 2


def test_nothing_is_removed_without_yes(store, capsys):
    failed = sample_run(store, "failed", name="broken")
    assert main(["clean"]) == 0
    out = capsys.readouterr().out
    assert f"bytes  {failed.id}  failed or cancelled: broken\n" in out
    assert out.endswith("bytes in all\nNothing was removed. Add --yes to remove all of this.\n")
    assert store.get(failed.id)


def test_clean_removes_what_is_chosen(store, capsys):
    failed, deleted = sample_run(store, "failed"), sample_run(store)
    store.delete(deleted.id)
    assert main(["clean", "--only", "trash", "--yes", "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert [item["run_id"] for item in result["removed"]] == [deleted.id]
    assert result["proposed"] == result["removed"]
    assert (store.trash(), [run.id for run in store.list()]) == ([], [failed.id])
    assert main(["clean", "--yes"]) == 0
    assert "0 bytes were deleted for good. 1 runs with" in capsys.readouterr().out
    assert main(["clean", "--only", "stopped"]) == 0
    assert capsys.readouterr().out == "There is nothing to remove.\n"


@pytest.mark.parametrize("days", ["0", "x", "nan"])
def test_an_age_is_a_number_of_days(days, capsys):
    assert exit_code(main, ["clean", "--older-than", days]) == 2
    assert capsys.readouterr().err.count("\n") == 1
