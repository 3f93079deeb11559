"""Workers as they are really started: detached processes that outlive whoever started them."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from filelock import FileLock

from core.config import Prune, TrainRecipe
from core.errors import UserError
from core.runs import launch
from core.runs.run import Status, read_status, write_status
from core.runs.worker import work
from tests.waiting import until

ROOT = Path(__file__).parents[3]
RECIPE = TrainRecipe(
    model="LeNet5",
    dataset="Digits",
    device="cpu",
    prune=Prune(density=0.2),
    epochs=3,
    batch_size=16,
    train_images=64,
    lr=0.05,
)


@pytest.fixture
def own_workers(monkeypatch):
    """The processes that `launch` started; what still lives at the end of the test is killed."""
    children: list[subprocess.Popen[bytes]] = []
    monkeypatch.setattr(launch, "_children", children)
    yield children
    for child in children:
        child.kill()
        child.wait()


@pytest.fixture
def no_worker(monkeypatch):
    """`launch` without processes: the runs for which one would have been started."""
    started = []
    monkeypatch.setattr(launch, "_spawn", lambda run, data: started.append(run.id))
    return started


def test_two_processes_that_start_one_token_at_once_make_one_worker(store, digits, own_workers):
    script = (
        "import time; from core.runs import launch, store; from core.config import TrainRecipe\n"
        f"recipe = TrainRecipe.model_validate_json({RECIPE.model_dump_json()!r})\n"
        f"while time.time() < {time.time() + 2}: pass\n"
        f"run = store.RunStore({str(store.root)!r}).create(recipe, token='t')\n"
        f"launch.start(run, {str(digits)!r}); print(run.id, len(launch._children))"
    )
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", script], cwd=ROOT, stdout=subprocess.PIPE, text=True
        )
        for _ in range(2)
    ]
    said = [process.communicate()[0].split() for process in processes]
    (run,) = store.list()
    assert [id for id, _ in said] == [run.id] * 2
    assert sorted(count for _, count in said) == ["0", "1"]
    assert until(lambda: (now := store.get(run.id)).state == "finished" and now)
    events = [event["event"] for event in store.events(run.id)]
    assert (events.count("pruned"), events.count("finished")) == (1, 1)


def test_a_killed_worker_is_resumed_to_the_same_bits(
    store, digits, own_workers, tmp_path, monkeypatch
):
    """Real workers as the app starts them; the first saves after every event, so that it dies with
    a checkpoint.
    """
    driver = tmp_path / "driver.py"
    driver.write_text(
        "import sys\nfrom tests import eager_worker\n"
        "eager_worker.run(sys.argv[1], sys.argv[3], slow=0.3)\n"
    )

    def popen(command, **options):
        assert command[1:3] == ["-m", "core.runs.worker"]
        return subprocess.Popen([command[0], str(driver), *command[3:]], **options)

    run = store.create(RECIPE)
    with monkeypatch.context() as patch:
        patch.setattr(launch, "subprocess", SimpleNamespace(**{**vars(subprocess), "Popen": popen}))
        assert launch.start(run, digits).state in ("starting", "queued", "running")
    until(lambda: store.get(run.id).status.epoch)
    with pytest.raises(UserError, match="cancel it before you delete it"):
        store.delete(run.id)
    assert launch.start(run, digits).alive
    assert launch.resume(run, digits).alive
    (worker,) = own_workers
    worker.kill()
    until(lambda: store.get(run.id).state == "interrupted")
    assert (run.path / "checkpoint.pt").exists()
    assert launch.start(store.get(run.id), digits).state == "interrupted"  # only `resume` continues
    launch.resume(store.get(run.id), digits)
    own_workers[-1].wait()
    assert store.get(run.id).state == "finished"
    assert "Continued in epoch" in store.log(run.id)
    torch.set_num_threads(1)
    whole = store.create(RECIPE)
    assert list(work(whole, digits))
    for name in ("model.safetensors", "best.safetensors", "masks.safetensors"):
        assert (run.path / name).read_bytes() == (whole.path / name).read_bytes()


def test_the_worker_is_detached(store, digits, monkeypatch):
    calls = []

    class Popen:
        def __init__(self, command, **options):
            calls.append((command, options))

        def poll(self):
            return 0

    monkeypatch.setattr(subprocess, "Popen", Popen)
    run = launch.start(store.create(RECIPE), digits)
    ((command, options),) = calls
    assert command == [
        sys.executable,
        "-m",
        "core.runs.worker",
        str(run.path),
        "--data-dir",
        str(digits),
    ]
    assert options["stdin"] == subprocess.DEVNULL
    assert options["stdout"].name == options["stderr"].name == str(run.path / "log.txt")
    assert os.name == "nt" or options["start_new_session"]
    assert str(ROOT) in options["env"]["PYTHONPATH"].split(os.pathsep)


def test_a_process_that_cannot_be_made(store, digits, monkeypatch):
    def refuse(*_, **__):
        raise OSError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(subprocess, "Popen", refuse)
    run = store.create(RECIPE)
    with pytest.raises(
        UserError, match="No worker could be started: Resource temporarily unavailable"
    ):
        launch.start(run, digits)
    assert store.get(run.id).state == "failed"
    assert store.get(run.id).resumable


def test_starting_twice_starts_once(store, no_worker):
    run = store.create(RECIPE)
    assert launch.start(run).state == "starting"
    launch.start(run)
    launch.resume(run)
    assert no_worker == [run.id]


@pytest.mark.parametrize(
    ("state", "starts", "resumes"),
    [
        ("created", True, True),
        ("interrupted", False, True),
        ("failed", False, True),
        ("cancelled", False, True),
        ("running", False, True),
        ("queued", False, True),
        ("finished", False, False),
    ],
)
def test_what_can_be_started_and_what_resumed(store, no_worker, state, starts, resumes):
    for function, does in ((launch.start, starts), (launch.resume, resumes)):
        run = store.create(RECIPE)
        write_status(run.path, Status(state=state, epoch=7, message="old"))
        (run.path / "cancel").touch()
        after = function(run)
        assert (run.id in no_worker) == does
        assert (after.status.state == "starting") == does
        assert (run.path / "cancel").exists() != does
        assert after.status.epoch == 7  # what the run has reached is not forgotten
        with FileLock(run.path / "lock"):
            write_status(run.path, Status(state="running"))
            before = read_status(run.path)
            function(run)
            assert read_status(run.path) == before
        assert no_worker.count(run.id) == does


def test_a_worker_that_never_came_can_be_tried_again(store, no_worker, monkeypatch):
    run = launch.start(store.create(RECIPE))
    status = json.loads((run.path / "status.json").read_text())
    (run.path / "status.json").write_text(json.dumps(status | {"updated_at": time.time() - 100}))
    assert store.get(run.id).state == "interrupted"
    launch.resume(run)
    assert no_worker == [run.id] * 2


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("created", "cancelled"),
        ("starting", "cancelled"),
        ("running", "cancelled"),
        ("queued", "cancelled"),
        ("interrupted", "cancelled"),
        ("finished", "finished"),
        ("failed", "failed"),
        ("cancelled", "cancelled"),
    ],
)
def test_cancel_of_a_run_that_nobody_works_on(store, before, after):
    run = store.create(RECIPE)
    write_status(run.path, Status(state=before))
    launch.cancel(run)
    assert store.get(run.id).state == after


def test_cancel_of_a_run_that_somebody_works_on_is_a_request(store):
    run = store.create(RECIPE)
    write_status(run.path, Status(state="running"))
    with FileLock(run.path / "lock"):
        launch.cancel(run)
        assert store.get(run.id).state == "running"
        assert (run.path / "cancel").exists()


def test_the_lock_is_free_after_every_call(store, no_worker):
    run = store.create(RECIPE)
    for function in (launch.start, launch.cancel, launch.resume, launch.reopen):
        function(run)
        with FileLock(run.path / "lock", blocking=False):
            pass
