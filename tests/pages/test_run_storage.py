"""A run as one zip on the Runs page, the disk that runs take, and the clean-up with its preview."""

import zipfile
from pathlib import Path

from streamlit.testing.v1 import AppTest

from core.runs.archive.exporting import export_run
from core.runs.archive.importing import ImportedRun
from core.runs.run import Status, write_status
from core.runs.space.disk_use import DiskUse
from core.runs.store import RunStore
from pages.parts.runs import table
from pages.parts.runs.storage.import_run import imported_text
from pages.parts.runs.storage.zip_download import zip_content
from tests.core.runs.archive.test_archive import untrained
from tests.sample_runs import sample_run

ROOT = Path(__file__).parents[2]


def opened(run_id=None):
    """The Runs page, at the address of a run if there is an id."""
    app = AppTest.from_file(str(ROOT / "streamlit_app.py"), default_timeout=60).run()
    app.switch_page("pages/runs.py")
    if run_id is not None:
        app.query_params["run"] = run_id
    app.run()
    assert not app.exception
    return app


def import_dialog(runs):
    from core.runs.store import RunStore
    from pages.parts.runs.storage.import_run import import_run_dialog

    import_run_dialog(RunStore(runs))


def clean_up(runs):
    from core.runs.store import RunStore
    from pages.parts.runs.storage.clean_up import clean_up_dialog

    clean_up_dialog(RunStore(runs))


def dialog(function, store):
    """A dialog by itself: on a page, AppTest closes it at the next click."""
    app = AppTest.from_function(function, args=(str(store.root),), default_timeout=60).run()
    assert not app.exception
    return app


def texts(app):
    kinds = ("markdown", "caption", "success", "error", "warning", "info", "toast")
    return " ".join(element.value for kind in kinds for element in app.get(kind))


def test_a_run_is_downloaded_as_one_zip(store, tmp_path):
    run = untrained(store)
    (button,) = [item.proto for item in opened(run.id).get("download_button") if "zip" in item.key]
    assert button.label.startswith("Download as one zip (25")
    path = tmp_path / "run.zip"
    path.write_bytes(zip_content(store, run.id))
    with zipfile.ZipFile(path) as archive:
        assert f"{run.id}/model.safetensors" in archive.namelist()


def test_a_zip_is_imported_once_and_damage_is_told(tmp_path, store):
    elsewhere = RunStore(tmp_path / "elsewhere")
    run = untrained(elsewhere)
    target = tmp_path / "run.zip"
    list(export_run(run, target))
    app = dialog(import_dialog, store)
    assert app.button(key="zip_go").disabled
    app.segmented_control(key="zip_kind").set_value("Path").run()
    app.text_input(key="zip_path").set_value(str(target)).run()
    app.button(key="zip_go").click().run()
    assert imported_text(app.session_state["imported_run"]) == "“seed 0” is imported."
    assert store.get(run.id).has_model
    target.write_bytes(b"no zip")
    app.button(key="zip_go").click().run()
    assert "run.zip is no zip, or is damaged" in app.error[0].value
    assert [item.id for item in store.list()] == [run.id]
    assert not app.exception


def test_the_page_says_what_was_imported(store):
    run = untrained(store)
    app = AppTest.from_file(str(ROOT / "streamlit_app.py"), default_timeout=60).run()
    note = f"The run {run.id}, which it was made from, is not here."
    app.session_state["imported_run"] = ImportedRun(run, True, (note,))
    app.switch_page("pages/runs.py").run()
    assert f"“seed 0” is imported. {note}" in texts(app)
    assert f"run={run.id}" in [link.proto.query_string for link in app.get("page_link")]


def zip_dialog(root):
    from core.runs.store import RunStore
    from pages.parts.runs.storage.import_run import import_run_dialog

    import_run_dialog(RunStore(root))


def test_the_check_of_a_zip_ends_with_its_error(store, tmp_path):
    broken = tmp_path / "broken.zip"
    broken.write_bytes(b"PK")
    app = AppTest.from_function(zip_dialog, default_timeout=60, kwargs={"root": store.root})
    app.session_state["zip_kind"] = "Path"
    app.run()
    app.text_input(key="zip_path").set_value(str(broken)).run()
    app.button(key="zip_go").click().run()
    assert "broken.zip is no zip, or is damaged" in app.error[0].value
    assert len(app.get("progress")) == 0


def test_the_page_says_when_not_all_runs_are_measured(store, monkeypatch):
    run = sample_run(store)
    monkeypatch.setattr(table, "disk_use", lambda runs: DiskUse({run.id: 3000}, False))
    assert "1 run takes at least 3.0 kB on disk. Not all are measured yet." in texts(opened())


def test_the_page_says_how_much_disk_the_runs_take(store):
    runs = [sample_run(store), sample_run(store)]
    (runs[0].path / "initial.safetensors").write_bytes(b"x" * 50_000)
    app = opened()
    total = {run.id: sum(file.stat().st_size for file in run.path.iterdir()) for run in runs}
    expected = [total[run.id] / 1000 for run in store.list()]
    assert app.dataframe[0].value["disk"].tolist() == expected
    assert f"2 runs take {sum(expected):.1f} kB on disk." in texts(app)
    store.delete(runs[1].id)
    assert "1 run takes 5" in texts(opened())
    assert " kB on disk, and the trash " in texts(opened())


def test_the_clean_up_shows_what_goes_and_removes_no_more(store):
    failed, finished = sample_run(store, "failed", name="broken"), sample_run(store)
    (finished.path / "checkpoint.pt").write_bytes(b"x" * 2000)
    app = dialog(clean_up, store)
    preview = app.dataframe[-1].value
    assert preview["name"].tolist() == [finished.name, "broken"]
    assert preview["size"].tolist()[0] == 2.0
    later = sample_run(store, "failed", name="failed since")
    label = app.button(key="clean_go").label
    assert label.startswith("Remove 2 (")
    app.button(key="clean_go").click().run()
    assert not app.exception
    assert not (finished.path / "checkpoint.pt").exists()
    assert {run.id for run in store.list()} == {finished.id, later.id}
    assert [run.id for run in store.trash()] == [failed.id]


def test_the_clean_up_leaves_what_is_not_ticked(store):
    sample_run(store, "failed")
    write_status(sample_run(store).path, Status(state="finished"))
    app = opened()
    app.button(key="clean_up").click().run()
    assert app.button(key="clean_go").label.startswith("Remove 1 (")
    app = dialog(clean_up, store)
    assert app.checkbox(key="clean_old").disabled
    app.checkbox(key="clean_stopped").uncheck().run()
    assert app.button(key="clean_go").disabled
    assert "there is nothing to remove" in texts(app)
    assert len(store.list()) == 2
