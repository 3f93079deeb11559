"""Work on runs by real processes that are really killed, and every way in which it ends."""

import contextlib
import errno
import itertools
import json
import os
import random
import signal
import subprocess
import sys
from dataclasses import asdict
from functools import partial
from pathlib import Path

import psutil
import pytest
import torch
from filelock import FileLock
from safetensors import safe_open
from safetensors.torch import load_file

from core import data
from core.config import Prune, TrainRecipe
from core.errors import UserError
from core.events import EpochEnd, Finished, Note, Progress
from core.models.parameters import prunable_weights
from core.runs import failures, launch, record, worker
from core.runs.run import Status, WorkerProcess, read_status, write_status
from core.runs.store import RunStore
from core.runs.worker import Stop, work
from core.training import setup, step
from tests import eager_worker
from tests.waiting import until

RECIPE = TrainRecipe(
    model="LeNet5",
    dataset="Digits",
    device="cpu",
    prune=Prune(density=0.2),
    epochs=2,
    batch_size=16,
    train_images=40,
    lr=0.05,
    augment=True,
)
FILES = ("model.safetensors", "best.safetensors", "masks.safetensors")
posix = pytest.mark.skipif(os.name == "nt", reason="Windows has no such signal")


@pytest.fixture
def toy(monkeypatch):
    """The network of `tests.eager_worker` for the runs of this process, and its checkpoints after
    every event.
    """
    monkeypatch.setattr(setup, "build", lambda name, classes: eager_worker.network(classes))
    for name in ("EPOCH_SAVE_SECONDS", "BATCH_SAVE_SECONDS", "SAVING_SHARE"):
        monkeypatch.setattr(worker, name, 0)


@pytest.fixture
def finish(store, digits):
    """A function that works on a run until it ends, in this process, and returns it."""

    def finish(run, stop=None):
        for _ in work(run, digits, stop):
            pass
        return store.get(run.id)

    return finish


def contents(run):
    return {name: (run.path / name).read_bytes() for name in FILES}


@pytest.fixture
def whole(store, toy, finish):
    """The files of a run that nothing interrupted."""
    torch.set_num_threads(1)
    return contents(finish(store.create(RECIPE, "whole")))


# -- a run that nothing disturbs --


def test_a_finished_run(store, digits, toy):
    run = store.create(RECIPE)
    events = list(work(run, digits))
    run = store.get(run.id)
    assert (run.state, run.alive, run.status.message, run.status.progress) == (
        "finished",
        False,
        "",
        1.0,
    )
    assert isinstance(events[-1], Finished)
    assert run.status.summary == events[-1].summary
    assert (run.status.epoch, run.status.epochs, run.status.seconds_left) == (2, 2, None)
    assert run.status.device == "cpu"
    accuracies = [event.test_accuracy for event in events if isinstance(event, EpochEnd)]
    assert run.status.accuracies == accuracies
    assert (run.status.test_accuracy, run.status.best_accuracy) == (accuracies[-1], max(accuracies))
    written = [event for event in events if not isinstance(event, Progress)]
    assert store.events(run.id) == [json.loads(json.dumps(event.to_dict())) for event in written]
    assert all(str(event) in store.log(run.id) for event in written)
    files = {"config.json", "status.json", "events.jsonl", "lock", "log.txt", "epochs", *FILES}
    files |= {"initial.safetensors", "packed.secateur", "hashes.json"}
    assert {path.name for path in run.path.iterdir()} == files


def test_the_initial_weights_are_kept_and_not_written_again_on_resume(store, digits, toy, finish):
    run = store.create(RECIPE)
    events = work(run, digits)
    next(event for event in events if isinstance(event, EpochEnd))
    events.close()
    path = run.path / "initial.safetensors"
    drawn = setup.initial_network(RECIPE, data.load("Digits", digits), torch.device("cpu"))
    initial = load_file(path)
    assert initial.keys() == drawn.state_dict().keys()
    assert all(torch.equal(initial[name], item) for name, item in drawn.state_dict().items())
    written = path.stat().st_mtime_ns
    assert finish(store.get(run.id)).state == "finished"
    assert path.stat().st_mtime_ns == written


def test_the_saved_file_holds_exact_zeros_and_says_what_it_is(store, toy, finish):
    run = finish(store.create(RECIPE))
    model, masks = (
        load_file(run.path / "model.safetensors"),
        load_file(run.path / "masks.safetensors"),
    )
    network = eager_worker.network(10)
    network.load_state_dict(model)
    assert masks.keys() == prunable_weights(network).keys()
    assert sum(int(mask.sum()) for mask in masks.values()) == run.status.kept
    for name, mask in masks.items():
        assert mask.dtype == torch.bool
        assert (model[name][~mask].view(torch.int32) == 0).all()
        assert (model[name][mask] != 0).any()
    with safe_open(run.path / "model.safetensors", "pt") as file:
        facts = json.loads(file.metadata()["secateur"])
    assert (facts["model"], facts["dataset"], facts["side"], len(facts["classes"])) == (
        "LeNet5",
        "Digits",
        32,
        10,
    )
    in_float32 = RECIPE.model_copy(update={"precision": "float32"})  # what "auto" chose
    assert TrainRecipe(**facts["recipes"][0]) == in_float32


def test_every_event_is_on_disk_when_it_is_yielded(store, digits, toy):
    run, progress = store.create(RECIPE), []
    for event in work(run, digits):
        if not isinstance(event, Progress):
            assert store.events(run.id)[-1] == json.loads(json.dumps(event.to_dict()))
        now = store.get(run.id)
        assert (now.state, now.alive) == ("running", True)
        progress.append(now.status.progress)
    assert progress == sorted(progress)
    assert progress[-1] == 1.0


def test_nobody_works_on_a_run_that_somebody_works_on(store, digits, toy):
    run = store.create(RECIPE)
    events = work(run, digits)
    next(events)
    before = read_status(run.path)
    assert list(work(run, digits)) == []
    assert read_status(run.path) == before
    list(events)
    assert store.get(run.id).state == "finished"


@pytest.mark.parametrize("state", ["finished", "cancelled"])
def test_a_run_that_is_over_is_left_alone(store, digits, toy, state):
    run = store.create(RECIPE)
    write_status(run.path, Status(state=state))
    assert list(work(run, digits)) == []
    assert store.get(run.id).state == state


def test_the_lock_is_free_as_soon_as_the_work_ends(store, digits, toy):
    for end in (list, lambda events: next(events) and events.close()):
        events = work(run := store.create(RECIPE), digits)
        end(events)  # `events` still refers to the generator: nothing waits for a garbage collector
        with (
            FileLock(run.path / "lock", blocking=False),
            FileLock(store.root / ".slots" / "cpu.lock", blocking=False),
        ):
            pass


# -- stopped and continued --


@pytest.mark.parametrize(("how", "stride"), [("cancel", 1), ("signal", 3), ("close", 2)])
def test_stopped_after_any_event_and_continued(store, digits, finish, whole, how, stride):
    """Whatever stops it, and after whichever event: the run says so, and continues to the same
    files.
    """
    total = 0
    for count in itertools.count(1, stride):
        run, stop = store.create(RECIPE), Stop()
        events = work(run, digits, stop)
        if len(list(itertools.islice(events, count))) < count:
            break
        total = count
        {"cancel": (run.path / "cancel").touch, "signal": stop.set, "close": events.close}[how]()
        rest = list(events)
        ended = store.get(run.id)
        if ended.state == "finished":
            assert how != "close"
            assert [type(event) for event in rest] in ([], [Finished])
        else:
            assert rest == []
            assert ended.state == ("cancelled" if how == "cancel" else "interrupted")
            assert ended.resumable
            assert not (run.path / "cancel").exists()
            assert launch.reopen(ended)
            torch.manual_seed(count)
            ended = finish(ended)
        assert ended.state == "finished"
        assert contents(ended) == whole
        assert [row["epoch"] for row in store.epochs(run.id)] == [1, 2]
        assert ended.status.accuracies == [row["test_accuracy"] for row in store.epochs(run.id)]
    assert total >= 10


def test_a_cancelled_run_keeps_what_it_has_learnt(store, digits, toy):
    run = store.create(RECIPE)
    for event in work(run, digits):
        if isinstance(event, EpochEnd):
            (run.path / "cancel").touch()
    run = store.get(run.id)
    assert (run.state, run.status.epoch) == ("cancelled", 1)
    eager_worker.network(10).load_state_dict(load_file(run.path / "model.safetensors"))
    assert torch.load(run.path / "checkpoint.pt", weights_only=True)["position"][:2] == [2, 0]


@pytest.mark.parametrize("toy_network", [True, False], ids=["dropout", "LeNet5"])
def test_killed_at_random_moments_it_ends_in_the_same_bits(
    store, work_on, finish, toy, monkeypatch, toy_network
):
    """kill -9 of a real process, again and again, wherever it is: while it loads, trains, evaluates
    or saves.
    """
    if not toy_network:
        monkeypatch.undo()
    torch.set_num_threads(1)
    recipe = RECIPE.model_copy(update={"epochs": 3, "train_images": 64})
    expected = contents(finish(store.create(recipe)))
    moments = random.Random(toy_network)
    run, kills = store.create(recipe), 0
    while store.get(run.id).state != "finished":
        process = work_on(
            run, toy=toy_network, slow=0.2
        )  # in all longer than three of the longest waits
        process.join(moments.uniform(0.05, 0.5) if kills < 8 else None)
        kills += process.is_alive()
        process.kill()
        process.join()
        assert store.get(run.id).state in ("created", "interrupted", "finished")
        assert store.scan()[1] == []
    assert kills >= 3
    assert contents(store.get(run.id)) == expected
    assert [row["epoch"] for row in store.epochs(run.id)] == [1, 2, 3]
    assert [path for path in run.path.iterdir() if path.name == "checkpoint.pt"] == []


def has_trained(store, run):
    """Whether a step of the training is done; before, there is nothing to save."""
    status = store.get(run.id).status
    return status.stage.startswith("Epoch") and status.done


@posix
@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT", "SIGHUP"])
def test_a_polite_signal_leaves_a_run_that_continues(store, work_on, finish, whole, name):
    run = store.create(RECIPE)
    process = work_on(run, toy=True, save=False, slow=0.3)
    until(lambda: has_trained(store, run))
    os.kill(process.pid, getattr(signal, name))
    process.join()
    ended = store.get(run.id)
    assert (ended.state, process.exitcode) == ("interrupted", 1)
    assert (run.path / "checkpoint.pt").exists()
    assert contents(finish(ended)) == whole


@posix
def test_a_hang_up_is_ignored_where_it_was_ignored_before():
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    hang_up = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup does
    try:
        Stop().listen()
        assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, hang_up)
        for number, handler in before.items():
            signal.signal(number, handler)


@posix
def test_a_frozen_worker_is_silent_and_can_be_stopped_by_force(store, work_on, finish, whole):
    run = store.create(RECIPE)
    process = work_on(run, toy=True, slow=0.3)
    until(lambda: has_trained(store, run))
    assert store.get(run.id).silent_seconds < 10
    os.kill(process.pid, signal.SIGSTOP)
    frozen = store.get(run.id).silent_seconds
    until(lambda: store.get(run.id).silent_seconds > frozen + 3)
    assert store.get(run.id).state == "running"
    launch.force_stop(store.get(run.id))
    process.join()
    ended = store.get(run.id)
    assert (ended.state, ended.alive, ended.silent_seconds) == ("interrupted", False, 0.0)
    assert "stopped by force" in ended.status.message
    assert contents(finish(ended)) == whole


@posix
def test_a_worker_gives_signs_of_life_during_a_long_stage(store, work_on):
    run = store.create(RECIPE)
    work_on(run, toy=True, slow=60)
    until(lambda: store.get(run.id).state == "running")
    written = until(lambda: store.get(run.id).status.updated_at)
    until(lambda: (run.path / "lock").stat().st_mtime > written + 5)
    assert store.get(run.id).silent_seconds < 10


def test_only_the_process_that_holds_the_lock_is_killed(store):
    """Another one may have got its number. This process itself is never killed either."""
    run = store.create(RECIPE)
    other = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    started = psutil.Process(other.pid).create_time()
    own = psutil.Process().create_time()
    workers = [
        None,
        WorkerProcess(pid=other.pid, started=started),
        WorkerProcess(pid=other.pid, started=started - 100),
        WorkerProcess(pid=2**30, started=started),
        WorkerProcess(pid=os.getpid(), started=own),
    ]
    with FileLock(run.path / "lock"):
        for worker_process in workers:
            write_status(run.path, Status(state="running", worker=worker_process))
            with pytest.raises(UserError, match="is not known, or runs on another machine"):
                launch.force_stop(store.get(run.id))
    assert other.poll() is None
    other.communicate()


@posix
def test_a_second_ctrl_c_does_not_wait(store, work_on, finish, whole):
    run = store.create(RECIPE)
    process = work_on(run, toy=True, save=False, slow=60)
    until(lambda: "Kept" in store.log(run.id))

    def interrupt():
        with contextlib.suppress(ProcessLookupError):
            os.kill(process.pid, signal.SIGINT)

    until(lambda: interrupt() or not process.is_alive())
    assert store.get(run.id).state == "interrupted"
    assert contents(finish(store.get(run.id))) == whole


def test_cancel_of_a_process(store, work_on, finish, whole):
    run = store.create(RECIPE)
    process = work_on(run, toy=True, save=False, slow=0.3)
    until(lambda: store.get(run.id).status.done)
    launch.cancel(store.get(run.id))
    process.join()
    ended = store.get(run.id)
    assert (ended.state, ended.status.message) == ("cancelled", "Cancelled.")
    assert ended.status.epoch < 2
    assert launch.reopen(ended)
    assert contents(finish(ended)) == whole


# -- the queue --


def finished_at(store, run):
    return next(event["time"] for event in store.events(run.id) if event["event"] == "finished")


def _is_at(store, run_id, stage):
    """Whether the run waits at this stage of the queue; None means that it is running."""
    run = store.get(run_id)
    if stage is None:
        return run.alive and run.state == "running"
    return run.alive and run.status.stage == stage


def test_first_come_first_served(store, work_on):
    """The second and third wait, in their order, and begin when the one before has ended."""
    runs, processes = [store.create(RECIPE, name) for name in "abc"], []
    stages = (None, "Waiting for cpu", "Waiting for cpu, 1 ahead")
    for run, stage in zip(runs, stages, strict=True):
        processes.append(work_on(run, toy=True, slow=0.1 if stage is None else 0))
        until(partial(_is_at, store, run.id, stage))
    assert [store.get(run.id).state for run in runs] == ["running", "queued", "queued"]
    for process in processes:
        process.join()
    runs = [store.get(run.id) for run in runs]
    assert [run.state for run in runs] == ["finished"] * 3
    for before, after in itertools.pairwise(runs):
        assert finished_at(store, before) <= after.status.started_at


def test_many_at_once_take_turns_in_their_order(store, work_on):
    runs = [store.create(RECIPE) for _ in range(3)]
    for process in [work_on(run, toy=True) for run in runs]:
        process.join()
    runs = sorted(
        (store.get(run.id) for run in runs), key=lambda run: (run.status.queued_at, run.id)
    )
    assert [run.state for run in runs] == ["finished"] * 3
    for before, after in itertools.pairwise(runs):
        assert finished_at(store, before) <= after.status.started_at


def test_the_queue_has_the_order_of_the_clicks(store, digits, toy):
    """The worker of the first click is the last to start. The others wait for it."""
    runs = [store.create(RECIPE) for _ in range(3)]
    for run in runs:
        assert launch.reopen(run)
    late, *early = runs
    queues = [work(run, digits) for run in early]
    stages = [stage_of(next(queue)) for queue in queues]
    assert stages == ["Waiting for cpu, 1 ahead", "Waiting for cpu, 2 ahead"]
    assert isinstance(list(work(late, digits))[-1], Finished)
    assert stage_of(next(queues[1])) == "Waiting for cpu, 1 ahead"
    for queue in queues:
        list(queue)
    assert [store.get(run.id).state for run in runs] == ["finished"] * 3


def test_the_next_begins_when_the_running_one_is_killed(store, work_on):
    first, second = store.create(RECIPE), store.create(RECIPE)
    running = work_on(first, toy=True, slow=60)
    until(lambda: store.get(first.id).state == "running")
    waiting = work_on(second, toy=True)
    until(lambda: store.get(second.id).status.stage == "Waiting for cpu")
    running.kill()
    waiting.join()
    assert (store.get(first.id).state, store.get(second.id).state) == ("interrupted", "finished")


def test_a_dead_run_in_the_queue_holds_nobody_up(store, toy, finish):
    dead = store.create(RECIPE)
    write_status(dead.path, Status(state="queued", device="cpu", queued_at=1))
    assert finish(store.create(RECIPE)).state == "finished"
    assert store.get(dead.id).state == "interrupted"


def test_runs_on_another_device_hold_nobody_up(store, toy, finish):
    other = store.create(RECIPE)
    write_status(other.path, Status(state="queued", device="cuda:0", queued_at=1))
    with FileLock(other.path / "lock"), FileLock(store.root / ".slots-cuda-0.lock"):
        assert finish(store.create(RECIPE)).state == "finished"


def stage_of(event):
    assert isinstance(event, Progress)
    return event.stage


def test_a_run_whose_device_is_not_known_yet_keeps_its_place(store, digits, toy):
    """It came first, and is still loading torch."""
    earlier, later = store.create(RECIPE), store.create(RECIPE)
    write_status(earlier.path, Status(state="queued", queued_at=1))
    with FileLock(earlier.path / "lock"):
        events = work(later, digits)
        assert stage_of(next(events)) == "Waiting for cpu, 1 ahead"
        assert store.get(later.id).state == "queued"
        write_status(earlier.path, Status(state="queued", queued_at=1, device="mps"))
        assert isinstance(list(events)[-1], Finished)


@pytest.mark.parametrize("how", ["cancel", "signal"])
def test_stopped_in_the_queue(store, digits, toy, finish, how):
    run, stop = store.create(RECIPE), Stop()
    slots = store.root / ".slots"
    slots.mkdir()
    with FileLock(slots / "cpu.lock"):
        events = work(run, digits, stop)
        assert [stage_of(next(events)) for _ in range(2)] == ["Waiting for cpu"] * 2
        launch.cancel(run) if how == "cancel" else stop.set()
        assert list(events) == []
    ended = store.get(run.id)
    assert ended.state == ("cancelled" if how == "cancel" else "interrupted")
    assert launch.reopen(ended)
    assert finish(ended).state == "finished"


# -- failures by real causes --


def failed(run):
    assert (run.state, run.resumable, run.alive) == ("failed", True, False)
    assert "\n" not in run.status.message
    return run.status.message


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        (
            {"dataset": "Folder/none"},
            "dataset must be one of Digits, CIFAR10, CIFAR100, got 'Folder/none'",
        ),
        ({"model": "NoNet"}, "must be one of VGG16"),
        ({"lr": 100.0}, "the loss is NaN or infinite"),
        ({"device": "cuda:99"}, "The device cuda:99 was requested, but"),
    ],
    ids=str,
)
def test_what_cannot_work_is_a_sentence_and_a_traceback(store, finish, changes, sentence):
    run = finish(store.create(RECIPE.model_copy(update={"epochs": 30} | changes)))
    assert sentence in failed(run)
    assert "Traceback (most recent call last)" in store.log(run.id)
    assert run.status.message in store.log(run.id)


def out_of_memory(cause):
    def step(*_):
        if cause == "real":
            torch.empty(2**46)
        raise cause

    return step


@pytest.mark.parametrize(
    ("cause", "where"),
    [
        (MemoryError(), "This machine"),
        ("real", "This machine"),
        (RuntimeError("MPS backend out of memory (MPS allocated: 1 GB)"), "The GPU"),
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB."), "The GPU"),
    ],
    ids=repr,
)
def test_out_of_memory_says_what_to_do_and_keeps_what_there_is(
    store, digits, toy, monkeypatch, cause, where
):
    run = store.create(RECIPE)
    events = work(run, digits)
    next(event for event in events if isinstance(event, EpochEnd))
    next(events)
    monkeypatch.setattr(step.Stepper, "_step", out_of_memory(cause))
    list(events)
    message = failed(store.get(run.id))
    assert message.startswith(f"{where} ran out of memory: take a smaller batch size (it was 16)")
    assert torch.load(run.path / "checkpoint.pt", weights_only=True)["position"][0] >= 1


def disk_full(*_):
    raise OSError(errno.ENOSPC, "No space left on device")


def test_a_full_disk_says_so_and_keeps_what_there_is(store, digits, finish, whole, monkeypatch):
    run = store.create(RECIPE)
    events = work(run, digits)
    next(event for event in events if isinstance(event, EpochEnd))
    next(events)
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", disk_full)
        list(events)
    assert (
        failed(store.get(run.id))
        == f"The disk that holds {run.path} is full: free some space and resume."
    )
    assert torch.load(run.path / "checkpoint.pt", weights_only=True)["position"][0] >= 1
    assert not [path for path in run.path.iterdir() if path.suffix == ".tmp"]
    assert contents(finish(store.get(run.id))) == whole


@pytest.fixture
def small_disk(tmp_path):
    """A file system of its own of 1 MB, and a function that gives it more."""
    if sys.platform != "linux" or os.geteuid() != 0:
        pytest.skip("only root on Linux can make a small disk")
    folder = tmp_path / "disk"
    folder.mkdir()
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", folder], capture_output=True, text=True
    )
    if made.returncode:
        pytest.skip(f"this system mounts no tmpfs: {made.stderr.strip()}")
    yield folder, lambda: subprocess.run(["mount", "-o", "remount,size=50m", folder], check=True)
    subprocess.run(["umount", "-l", folder], check=True)


def test_a_really_full_disk(small_disk, digits, whole):
    """Something else takes the last byte: not even a status fits any more."""
    folder, enlarge = small_disk
    store = RunStore(folder / "runs")
    run = store.create(RECIPE)
    events = work(run, digits)
    next(event for event in events if isinstance(event, EpochEnd))
    next(events)
    with (folder / "other").open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while file.write(b"x" * 4096):
            pass
    list(events)
    assert failed(store.get(run.id)).endswith("is full: free some space and resume.")
    assert torch.load(run.path / "checkpoint.pt", weights_only=True)["position"][0] >= 1
    enlarge()
    for _ in work(store.get(run.id), digits):
        pass
    assert contents(store.get(run.id)) == whole


def test_a_full_data_folder_is_named(store, finish, monkeypatch, tmp_path):
    """It may be on another disk than the runs."""

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(data.digits, "write_digits", full)
    elsewhere = tmp_path / "elsewhere"
    run = store.create(RECIPE)
    for _ in work(run, elsewhere):
        pass
    message = failed(store.get(run.id))
    assert message == f"The disk that holds {elsewhere} is full: free some space and resume."


@pytest.mark.parametrize("damage", [b"", b"nonsense", b"PK\3\4", None])
def test_a_damaged_checkpoint_says_what_to_do(store, digits, finish, whole, damage):
    run = store.create(RECIPE)
    events = work(run, digits)
    next(event for event in events if isinstance(event, EpochEnd))
    next(events)
    events.close()
    path = run.path / "checkpoint.pt"
    path.write_bytes(path.read_bytes()[:-500] if damage is None else damage)
    message = failed(finish(store.get(run.id)))
    assert message == f"The checkpoint {path} is damaged: delete it, and resume to begin anew."
    path.unlink()
    assert contents(finish(store.get(run.id))) == whole


def test_a_checkpoint_runs_no_code(store, finish, toy, tmp_path):
    class Hostile:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "hacked",))

    run = store.create(RECIPE)
    torch.save({"model": Hostile()}, run.path / "checkpoint.pt")
    assert "is damaged" in failed(finish(run))
    assert not (tmp_path / "hacked").exists()


def test_a_torn_line_costs_one_line(store, digits, finish, toy):
    run = store.create(RECIPE)
    events = work(run, digits)
    next(event for event in events if isinstance(event, EpochEnd))
    events.close()
    before = [event for event in store.events(run.id) if event["event"] != "epochend"]
    with (run.path / "events.jsonl").open("ab") as file:
        file.write(b'{"event": "note", "te')
    finish(run)
    after = store.events(run.id)
    assert after[: len(before)] == before
    assert after[-1]["event"] == "finished"
    assert [event["event"] for event in after].count("pruned") == 1
    assert [row["epoch"] for row in store.epochs(run.id)] == [1, 2]


def damaged_events(kind, lines):
    """The content of events.jsonl after some damage."""
    if kind == "gone":
        return b""
    if kind == "an epoch missing":
        return b"".join(line for line in lines if b'"epoch": 1,' not in line)
    if kind == "torn":
        return b"".join(lines)[: -len(lines[-1]) // 2]
    surplus = [line.replace(b'"epoch": 2,', b'"epoch": 3,') for line in lines[-1:]]
    odd = [b"7\n", b'{"event": ["x"]}\n', b'{"event": "epochend", "epoch": []}\n']
    return b"".join([*lines, *odd, *surplus])


@pytest.mark.parametrize("kind", ["gone", "an epoch missing", "torn", "odd and surplus"])
def test_events_that_disagree_with_the_checkpoint_are_rebuilt(store, digits, toy, finish, kind):
    run = store.create(RECIPE.model_copy(update={"epochs": 4}))
    events = work(run, digits)
    ends = (event for event in events if isinstance(event, EpochEnd))
    for _ in range(2):
        next(ends)
    next(events)  # the checkpoint of the second epoch is saved
    events.close()
    before = store.epochs(run.id)
    file = run.path / "events.jsonl"
    file.write_bytes(damaged_events(kind, file.read_bytes().splitlines(keepends=True)))
    events = work(store.get(run.id), digits)
    next(events)
    assert store.epochs(run.id) == before
    assert store.get(run.id).status.epoch == 2
    list(events)
    ended = store.get(run.id)
    assert ended.state == "finished"
    assert [row["epoch"] for row in store.epochs(run.id)] == [1, 2, 3, 4]
    assert store.epochs(run.id)[:2] == before
    assert ended.status.accuracies == [row["test_accuracy"] for row in store.epochs(run.id)]
    kinds = [event["event"] for event in store.events(run.id)]
    assert kinds.count("finished") == 1


def test_the_events_of_an_epoch_survive_a_power_cut(store, digits, toy, monkeypatch):
    """They are synced to disk before the epoch counts as over."""
    synced = []
    real_fsync = os.fsync

    def fsync(descriptor):
        synced.append(os.fstat(descriptor).st_ino)
        real_fsync(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    run = store.create(RECIPE)
    for event in work(run, digits):
        if isinstance(event, EpochEnd | Finished):
            assert (run.path / "events.jsonl").stat().st_ino in synced
        synced.clear()


@pytest.mark.parametrize("name", ["events.jsonl", "checkpoint.pt"])
def test_a_folder_in_the_place_of_a_file_is_a_failed_run(store, finish, toy, name):
    run = store.create(RECIPE)
    (run.path / name).mkdir()
    message = failed(finish(run))
    assert f"{name} is a folder where a file belongs: move it away and resume." in message


def test_what_the_record_cannot_read_is_a_failed_run(store, finish, toy, monkeypatch):
    def refuse(*_):
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(record, "read_events", refuse)
        run = finish(store.create(RECIPE))
    assert "Input/output error" in failed(run)
    assert launch.reopen(run)
    assert finish(run).state == "finished"


def test_a_damaged_status_costs_no_work(store, digits, finish, whole):
    run = store.create(RECIPE)
    events = work(run, digits)
    next(event for event in events if isinstance(event, EpochEnd))
    events.close()
    (run.path / "status.json").write_bytes(b"\0\0")
    ended = finish(store.get(run.id))
    assert contents(ended) == whole
    assert ended.status.accuracies == [row["test_accuracy"] for row in store.epochs(run.id)]


@pytest.mark.skipif(
    os.name == "nt" or os.geteuid() == 0, reason="root and Windows write everywhere"
)
def test_an_unwritable_folder(store, finish, toy):
    run = store.create(RECIPE)
    (run.path / "lock").touch()
    run.path.chmod(0o500)
    try:
        assert "cannot be written (Permission denied)" in failed(finish(run))
    finally:
        run.path.chmod(0o700)


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (
            PermissionError(errno.EACCES, "Permission denied", "/x/y"),
            "/x/y cannot be written (Permission denied)",
        ),
        (
            OSError(errno.EROFS, "Read-only file system"),
            " cannot be written (Read-only file system): correct its permissions",
        ),
        (
            OSError(errno.ENOSPC, "No space left", "/x/y"),
            "The disk that holds /x/y is full: free some space and resume.",
        ),
        (
            FileNotFoundError(errno.ENOENT, "No such file or directory", "/x/y"),
            "/x/y is not there (No such file",
        ),
        (
            IsADirectoryError(errno.EISDIR, "Is a directory", "/x/y"),
            "/x/y is a folder where a file belongs",
        ),
        (
            OSError(errno.ENOMEM, "Cannot allocate memory"),
            "This machine ran out of memory: take a smaller batch size",
        ),
        (
            ImportError(
                "libtorch_cuda.so: failed to map segment from shared object: Cannot allocate memory"
            ),
            "This machine ran out of memory: take a smaller batch size",
        ),
        (
            ValueError("first line.\nsecond"),
            "An unexpected ValueError: first line. The log has the details.",
        ),
        (ValueError(), "An unexpected ValueError: no message. The log has the details."),
    ],
    ids=repr,
)
def test_errors_in_words(store, error, sentence):
    assert sentence in failures.explain_failure(error, store.create(RECIPE))


# -- what is written down --


def epoch_end(epoch, accuracy):
    return EpochEnd(epoch, 200, 1.0, 0.5, 1.0, accuracy, 0.1, 100.0, 1.0, 2.0)


def test_a_status_stays_small_however_many_epochs(store):
    run = store.create(RECIPE)
    pen = record.Record(run)
    for epoch in range(1, 201):
        pen.take(epoch_end(epoch, epoch / 1000))
    status = read_status(run.path)
    assert len(status.accuracies) <= record.SPARKLINE
    assert status.accuracies[-1] == 0.2
    assert status.accuracies == sorted(status.accuracies)
    assert len(store.epochs(run.id)) == 200


def test_an_epoch_that_is_trained_again_replaces_the_first_try(store):
    run = store.create(RECIPE)
    pen = record.Record(run)
    for epoch in (1, 2, 3):
        pen.take(epoch_end(epoch, 0.9 - epoch / 10))
    ends = [epoch_end(epoch, 0.9 - epoch / 10) for epoch in (1, 2, 3)]
    pen = record.Record(store.get(run.id))
    pen.follow([asdict(end) for end in ends])
    pen.take(epoch_end(2, 0.1))
    assert read_status(run.path).accuracies == [0.8, 0.1]
    assert read_status(run.path).best_accuracy == 0.8


def test_a_note_is_in_the_log_and_the_events(store):
    run = store.create(RECIPE)
    record.Record(run).take(Note("Zwölf\u2028Boxkämpfer", "warning"))
    assert store.events(run.id)[0]["text"] == "Zwölf\u2028Boxkämpfer"
    assert "Zwölf" in store.log(run.id)
