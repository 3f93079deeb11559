"""Lines of events.jsonl that are odd, and events that disagree with a checkpoint."""

import json
from dataclasses import asdict

import pytest

from core.events import EpochEnd, Note, Pruned, Quantized, QuantizedLayer
from core.runs.event_lines import epoch_ends, follow_history, read_events, to_lines

LAYER: QuantizedLayer = {"weights": 10, "levels": 5, "bits": 3, "bytes": 4, "snr": None}


def epoch_end(epoch, accuracy=0.5, time=None):
    end = EpochEnd(epoch, 4, 1.0, 0.5, 1.0, accuracy, 0.1, 100.0, 1.0, 2.0)
    return EpochEnd(**{**asdict(end), "time": float(epoch if time is None else time)})


def row(end):
    """The row of a checkpoint's history."""
    return asdict(end) | {"images": 64}


def events_of(*events):
    return [json.loads(json.dumps(event.to_dict())) for event in events]


GOOD = events_of(epoch_end(1), Pruned(1, 2, {"a": [1, 2]}), Quantized({"a": LAYER}), Note("n"))


@pytest.mark.parametrize(
    "line",
    [
        *["7", "-0.0", "null", "true", '"text"', "[]", "[1, [2]]", "{}", "NaN", "1e999", "\0"],
        *['{"event": 7}', '{"event": null}', '{"event": ["epochend"]}', '{"event": {}}'],
        *['{"event": "epochend"}', '{"event": "epochend", "epoch": "one"}'],
        *['{"event": "pruned"}', '{"event": "pruned", "layers": 5}'],
        '{"event": "pruned", "layers": {"a": [1]}}',
        '{"event": "pruned", "layers": {"a": [0, 0]}}',
        '{"event": "quantized", "layers": ["a"]}',
        '{"event": "quantized", "layers": {"a": {"weights": 0}}}',
        '{"event": "candidate", "bytes": 9, "layers": {}}',
        '{"event": "candidate", "bytes": 9, "divergence": 0.5, "layers": {"a": 5}}',
        "[" * 100_000,
        '{"event": "note", "text": "\\ud800"}',
        "9" * 10_000,
    ],
    ids=lambda line: line[:40],
)
def test_an_odd_line_is_skipped(tmp_path, line):
    lines = [json.dumps(event) for event in GOOD]
    (tmp_path / "e").write_text("\n".join([*lines[:2], line, *lines[2:], ""]))
    assert read_events(tmp_path / "e") == GOOD


@pytest.mark.parametrize("field", ["epoch", "test_accuracy", "train_loss", "lr", "seconds"])
@pytest.mark.parametrize("value", ["1", None, [], {}, True, "missing"])
def test_an_epoch_needs_every_figure_as_a_number(tmp_path, field, value):
    (event,) = events_of(epoch_end(1))
    if value == "missing":
        del event[field]
    else:
        event[field] = value
    (tmp_path / "e").write_bytes(to_lines([event]))
    assert read_events(tmp_path / "e") == []


@pytest.mark.parametrize("epoch", [0, -1, 10**30])
def test_an_epoch_that_cannot_be_is_skipped(tmp_path, epoch):
    (event,) = events_of(epoch_end(1))
    (tmp_path / "e").write_bytes(to_lines([event | {"epoch": epoch}]))
    assert read_events(tmp_path / "e") == []


def test_a_folder_and_no_file_have_no_events(tmp_path):
    assert read_events(tmp_path) == []
    assert read_events(tmp_path / "none") == []


def test_what_agrees_stays_as_it_is():
    events = events_of(Note("begin", time=0.0), epoch_end(1), Note("n", time=1.5), epoch_end(2))
    assert follow_history(events, [row(epoch_end(1)), row(epoch_end(2))]) == events


def test_missing_epochs_appear_in_their_place():
    events = events_of(Note("begin", time=0.0), epoch_end(2), Note("n", time=2.5))
    history = [row(epoch_end(epoch)) for epoch in (1, 2, 3)]
    followed = follow_history(events, history)
    assert [event.get("epoch") for event in followed] == [None, 1, 2, None, 3]
    assert epoch_ends(followed) == events_of(*(epoch_end(epoch) for epoch in (1, 2, 3)))


def test_surplus_epochs_go_and_the_checkpoint_wins():
    events = events_of(*(epoch_end(epoch, accuracy=0.9) for epoch in (1, 2, 3)))
    followed = follow_history(events, [row(epoch_end(1, accuracy=0.4))])
    assert followed == events_of(epoch_end(1, accuracy=0.4))


def test_a_run_that_begins_anew_repeats_everything_but_its_notes():
    events = [*GOOD, {"event": "finished", "summary": {}}, {"event": "foreign", "time": "x"}]
    assert [event["event"] for event in follow_history(events, None)] == ["foreign", "note"]
