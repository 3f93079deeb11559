"""A child reads what may be hostile: whatever it does, the parent gets a result or one sentence."""

import os
import time
from pathlib import Path

import psutil
import pytest

from core.errors import UserError
from core.events import Note, Progress, result_of
from core.sandbox import Limits, run_limited
from tests.waiting import until

ROOMY = Limits(seconds=60, megabytes=500)


# -- what the child runs --


def reports(word):
    yield Progress("Reading", 1, 2, "files")
    yield Note(f"The word is {word}.", level="warning")
    print("this is no result")
    os.write(1, b"nor is this\n")
    return {"word": word, "pid": os.getpid()}


def complains(sentence):
    yield Progress("Reading", 0, 0)
    raise UserError(sentence)


def fails(kind):
    yield Progress("Reading", 0, 0)
    raise {"memory": MemoryError, "value": ValueError}[kind]("secret")


def crashes():
    yield Progress("Reading", 0, 0)
    os.kill(os.getpid(), 11)


def hangs(file):
    Path(file).write_text(str(os.getpid()))
    yield Progress("Reading", 0, 0)
    time.sleep(1_000)


def works_slowly():
    for count in range(6):
        yield Progress("Reading", count, 6)
        time.sleep(1)
    return "done"


def takes_memory():
    yield Progress("Reading", 0, 0)
    return len(bytes(range(256)) * (10 * 2**20))


def reports_much():
    yield Progress("Reading", 0, 0)
    return "x" * 100_000_000


# -- what the parent gets --


def children():
    """Return the ids of this process's children. A slow one has not come to its own code yet."""
    return {child.pid for child in psutil.Process().children()}


def sentence_of(work, arguments, limits=ROOMY):
    with pytest.raises(UserError) as caught:
        result_of(run_limited(work, arguments, limits, "a.pt"))
    text = str(caught.value)
    assert "\n" not in text
    assert text.endswith(".")
    return text


def test_events_and_the_result_come_as_they_were():
    events = run_limited(reports, {"word": "é\n"}, ROOMY, "a.pt")
    progress = next(events)
    note = next(events)
    assert isinstance(progress, Progress)
    assert isinstance(note, Note)
    assert (progress.stage, progress.done, progress.total) == ("Reading", 1, 2)
    assert (note.text, note.level) == ("The word is é\n.", "warning")
    result = result_of(events)
    assert result["word"] == "é\n"
    assert result["pid"] != os.getpid()


def test_a_complaint_is_repeated():
    assert sentence_of(complains, {"sentence": "a.pt is empty."}) == "a.pt is empty."


@pytest.mark.parametrize(
    ("kind", "words"), [("memory", "500 MB of memory"), ("value", "cannot be read (ValueError)")]
)
def test_an_error_becomes_a_sentence(kind, words):
    text = sentence_of(fails, {"kind": kind})
    assert words in text
    assert "secret" not in text


def test_a_crash_becomes_a_sentence():
    assert "crashed" in sentence_of(crashes, {})


def test_a_child_without_news_is_killed(tmp_path):
    others = children()
    arguments = {"file": str(tmp_path / "pid")}
    assert "2 seconds" in sentence_of(hangs, arguments, Limits(2, 500))
    assert children() <= others


def test_the_time_begins_anew_with_every_event():
    assert result_of(run_limited(works_slowly, {}, Limits(5, 500), "a.pt")) == "done"


def test_a_child_that_takes_too_much_memory_is_killed():
    assert "300 MB" in sentence_of(takes_memory, {}, Limits(60, 300))


def test_a_child_that_reports_too_much_is_killed():
    assert "too much" in sentence_of(reports_much, {})


def test_the_child_ends_with_the_generator(tmp_path):
    file = tmp_path / "pid"
    events = run_limited(hangs, {"file": str(file)}, ROOMY, "a.pt")
    next(events)
    events.close()
    assert not psutil.pid_exists(int(file.read_text()))


def test_the_child_ends_with_its_parent(tmp_path, forks):
    file = tmp_path / "pid"
    parent = forks.Process(target=_read, args=(str(file),))
    parent.start()
    until(lambda: file.exists() and file.read_text())
    parent.kill()
    parent.join()
    until(lambda: not psutil.pid_exists(int(file.read_text())))


def _read(file):
    result_of(run_limited(hangs, {"file": file}, ROOMY, "a.pt"))
