"""Runs of real workers, copied to a real MLflow server and to files that TensorBoard reads."""

import json
import socket

import psutil
import pytest
from safetensors.torch import load_file

from core.commands.runs import main
from core.config import KMeansRecipe, Prune, TrainRecipe
from core.runs import launch
from core.runs.run import write_status
from core.runs.sweeps.store import SweepStore
from core.runs.trackers.mirror_file import read_mirror
from core.runs.trackers.mirroring import mirror_now
from core.runs.trackers.settings import trackers_of_environment
from core.runs.worker import work
from tests.mlflow_server import free_port, mlflow_server
from tests.sample_runs import epoch_ends, sample_run
from tests.waiting import until

mlflow = pytest.importorskip("mlflow")
event_accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")

RECIPE = TrainRecipe(
    model="LeNet5",
    dataset="Digits",
    device="cpu",
    prune=Prune(density=0.2),
    epochs=2,
    train_images=400,
)
FIGURES = ("train_loss", "train_accuracy", "test_loss", "test_accuracy", "lr")
PATIENCE = 240  # seconds, for the imports of several processes on a busy machine


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """The address of the module's MLflow server."""
    with mlflow_server(tmp_path_factory.mktemp("mlflow"), free_port()) as address:
        yield address


@pytest.fixture
def tracker(server, monkeypatch):
    """A client of the server, to which this test's runs are copied."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server)
    return mlflow.MlflowClient(server)


@pytest.fixture
def dead_server(monkeypatch):
    """The address of a server that does not exist, with a password in it."""
    address = f"http://somebody:secret@127.0.0.1:{free_port()}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    return address


def copy_of(tracker, run):
    return tracker.get_run(read_mirror(run.path).mlflow_run)


def has_status(tracker, run, status):
    return read_mirror(run.path).mlflow_run and copy_of(tracker, run).info.status == status


def history(tracker, run, name):
    """The steps and values of a metric, in the order of the steps."""
    points = tracker.get_metric_history(read_mirror(run.path).mlflow_run, name)
    return sorted((point.step, point.value) for point in points)


def written(store, run, name):
    return [(end["epoch"], end[name]) for end in store.epochs(run.id)]


def assert_event_files_show(folder, name, expected):
    """TensorBoard reads these steps and values of a metric, which it keeps in float32."""
    accumulator = event_accumulator.EventAccumulator(str(folder))
    accumulator.Reload()
    events = accumulator.Scalars(name)
    assert [event.step for event in events] == [step for step, _ in expected]
    assert [event.value for event in events] == pytest.approx([value for _, value in expected])


def mirrored(run):
    return mirror_now(run, trackers_of_environment())


# -- real workers --


def test_a_run_is_copied_while_it_works_and_has_no_metric_twice_after_a_kill(
    store, digits, tracker, tmp_path, monkeypatch
):
    monkeypatch.setenv("SECATEUR_TENSORBOARD", str(tmp_path / "events"))
    recipe = RECIPE.model_copy(update={"epochs": 12})
    run = launch.start(store.create(recipe, "first", tags=["small"]), digits)
    until(lambda: store.epochs(run.id), PATIENCE)
    psutil.Process(store.get(run.id).status.worker.pid).kill()
    until(lambda: has_status(tracker, run, "KILLED"), PATIENCE)
    before = history(tracker, run, "test_accuracy")
    assert before
    assert store.get(run.id).state == "interrupted"
    launch.resume(store.get(run.id), digits)
    until(lambda: has_status(tracker, run, "FINISHED"), PATIENCE)
    assert history(tracker, run, "test_accuracy")[: len(before)] == before

    run = store.get(run.id)
    copy = copy_of(tracker, run)
    assert copy.info.run_name == "first"
    assert tracker.get_experiment(copy.info.experiment_id).name == "Secateur"
    assert copy.data.params["train.prune.density"] == "0.2"
    assert copy.data.params["model"] == "LeNet5"
    assert copy.data.tags["secateur.run"] == run.id
    assert copy.data.tags["secateur.tags"] == "small"
    for name in FIGURES:
        assert history(tracker, run, name) == written(store, run, name)
        assert len(history(tracker, run, name)) == 12
    assert history(tracker, run, "result/kept") == [(12, run.status.kept)]

    sizes = {item.path: item.file_size for item in tracker.list_artifacts(copy.info.run_id)}
    files = ("config.json", "model.safetensors", "packed.secateur")
    assert {name: sizes[name] for name in files} == {
        name: (run.path / name).stat().st_size for name in files
    }
    packed = tracker.download_artifacts(copy.info.run_id, "packed.secateur", str(tmp_path))
    with open(packed, "rb") as file:  # noqa: PTH123 - a path from another library
        assert file.read() == run.packed_file.read_bytes()
    assert f"{sizes['packed.secateur']:,} bytes" in copy.data.tags["mlflow.note.content"]

    for name in FIGURES:
        folder = tmp_path / "events" / f"LeNet5-Digits-{run.id}"
        assert_event_files_show(folder, name, written(store, run, name))


def test_a_dead_server_costs_a_run_one_sentence(store, digits, dead_server, server):
    """Its weights are those of a run without a tracker. What is missing can be sent later."""
    run = launch.start(store.create(RECIPE), digits)
    until(lambda: store.get(run.id).state == "finished", PATIENCE)
    until(lambda: read_mirror(run.path).error, PATIENCE)
    sentence = read_mirror(run.path).error
    assert f"python -m core runs mirror {run.id}" in sentence
    assert store.log(run.id).count(sentence) == 1
    assert "secret" not in sentence + store.log(run.id) + (run.path / "mirror.json").read_text()

    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI")
        alone = store.create(RECIPE)
        for _ in work(alone, digits):
            pass
        assert not (alone.path / "mirror.json").exists()
    weights = load_file(run.path / "model.safetensors")
    expected = load_file(alone.path / "model.safetensors")
    assert all(weights[name].equal(tensor) for name, tensor in expected.items())

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", server)
        tracker = mlflow.MlflowClient(server)
        for _ in range(2):
            assert main(["mirror", run.id]) == 0
            for name in FIGURES:
                assert history(tracker, run, name) == written(store, run, name)
        assert copy_of(tracker, run).info.status == "FINISHED"
        assert not read_mirror(run.path).error


# -- runs that are there already --


def test_a_silent_server_is_given_up(store, monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{silent.getsockname()[1]}")
        monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
        monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
        assert "it does not answer" in mirrored(sample_run(store)).error


def test_the_command_sends_all_runs_and_says_where_they_are(store, tracker, capsys):
    parent = sample_run(store, name="parent")
    child = store.create(KMeansRecipe(clusters=5), "child", parent.id)
    capsys.readouterr()
    assert main(["mirror", "--json"]) == 0
    results = json.loads(capsys.readouterr().out)["mirrored"]
    assert [result["run_id"] for result in results] == [parent.id, child.id]
    assert all(
        result["link"] == read_mirror(store.get(result["run_id"]).path).link for result in results
    )
    copy = copy_of(tracker, child)
    assert copy.info.status == "SCHEDULED"
    assert copy.data.tags["secateur.parent"] == parent.id
    assert copy.data.tags["mlflow.parentRunId"] == read_mirror(parent.path).mlflow_run
    assert copy.data.params["kmeans.clusters"] == "5"
    assert copy.data.params["train.prune.density"] == "0.1"


def test_a_copy_is_found_again_without_the_file_that_remembers_it(store, tracker):
    run = sample_run(store)
    first = mirrored(run)
    (run.path / "mirror.json").unlink()
    assert mirrored(run) == first
    for name in ("test_accuracy", "result/test_accuracy"):
        assert len(history(tracker, run, name)) == {"test_accuracy": 4}.get(name, 1)


def test_later_names_tags_and_epochs_are_sent(store, tracker):
    run = sample_run(store, "interrupted", done=2)
    mirrored(run)
    store.rename(run.id, "another name")
    store.change_tags(run.id, add=["good"])
    lines = [json.dumps(end.to_dict()) + "\n" for end in epoch_ends(4, [0.6, 0.7, 0.8, 0.9])]
    (run.path / "events.jsonl").write_text("".join(lines))
    write_status(run.path, run.status.model_copy(update={"state": "failed", "message": "Why."}))
    mirrored(store.get(run.id))
    copy = copy_of(tracker, run)
    assert (copy.info.run_name, copy.info.status) == ("another name", "FAILED")
    assert copy.data.tags["secateur.tags"] == "good"
    assert copy.data.tags["secateur.message"] == "Why."
    assert history(tracker, run, "test_accuracy") == written(store, run, "test_accuracy")
    store.change_tags(run.id, remove=["good"])
    mirrored(store.get(run.id))
    assert copy_of(tracker, run).data.tags["secateur.tags"] == ""


def test_what_was_deleted_in_mlflow_is_left_alone(store, tracker, capsys):
    run = sample_run(store)
    tracker.delete_run(mirrored(run).mlflow_run)
    assert mirrored(run).left_alone
    assert main(["mirror", run.id]) == 0
    assert "was deleted there, and is left alone" in capsys.readouterr().out
    assert copy_of(tracker, run).info.lifecycle_stage == "deleted"


def test_what_was_deleted_here_stays_in_mlflow(store, tracker):
    run = sample_run(store)
    copy_id = mirrored(run).mlflow_run
    store.delete(run.id)
    assert tracker.get_run(copy_id).info.lifecycle_stage == "active"


def test_a_long_setting_is_shortened(store, tracker):
    layers = {f"features.{index}.weight": 5 for index in range(400)}
    parent = sample_run(store)
    run = store.create(KMeansRecipe(clusters=5, layers=layers), parent=parent.id)
    assert not mirrored(run).error
    text = copy_of(tracker, run).data.params["kmeans.layers"]
    assert len(text) == 6000
    assert text.endswith("…")


def test_the_experiment_can_be_named(store, tracker, monkeypatch):
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "another")
    run = sample_run(store)
    mirrored(run)
    experiment = copy_of(tracker, run).info.experiment_id
    assert tracker.get_experiment(experiment).name == "another"


def test_a_run_says_which_sweep_it_is_of(store, digits, tracker):
    sweep = SweepStore(store, digits).create([(RECIPE,)], "densities")
    (step,) = sweep.steps
    run = store.create(step.recipe, token=step.token)
    mirrored(run)
    assert copy_of(tracker, run).data.tags["secateur.sweep"] == "densities"


# -- TensorBoard --


def test_event_files_follow_a_changed_history(store, tmp_path, monkeypatch):
    """An epoch that was trained again has its new figures, and no point is there twice."""
    monkeypatch.setenv("SECATEUR_TENSORBOARD", str(tmp_path / "events"))
    run = sample_run(store, "interrupted", done=3)
    folder = tmp_path / "events" / f"LeNet5-Digits-{run.id}"
    mirrored(run)
    assert_event_files_show(folder, "test_accuracy", [(1, 0.6), (2, 0.7), (3, 0.8)])
    lines = [json.dumps(end.to_dict()) + "\n" for end in epoch_ends(4, [0.6, 0.5])]
    (run.path / "events.jsonl").write_text("".join(lines))
    for _ in range(2):
        mirrored(run)
        assert_event_files_show(folder, "test_accuracy", [(1, 0.6), (2, 0.5)])


def test_a_folder_that_cannot_be_written_is_a_sentence(store, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("SECATEUR_TENSORBOARD", str(tmp_path / "file"))
    assert mirrored(sample_run(store)).error.startswith("No files for TensorBoard could be written")


# -- wrong use --


def test_the_command_needs_a_tracker(store, capsys):
    assert main(["mirror"]) == 1
    assert "set MLFLOW_TRACKING_URI or SECATEUR_TENSORBOARD" in capsys.readouterr().err


def test_the_command_stops_after_three_failures(store, dead_server, capsys):
    for name in "abcde":
        sample_run(store, name=name)
    assert main(["mirror"]) == 1
    out, err = capsys.readouterr()
    assert out.count("it does not answer") == 3
    assert "5 of 5 runs were not copied completely" in err
