"""The page of all runs, and of one."""

import json
import os
import time
from pathlib import Path

import pytest
import torch
from filelock import FileLock
from streamlit.testing.v1 import AppTest

from core.compress import codec
from core.config import BudgetRecipe, ImportRecipe, KMeansRecipe
from core.models.card import ModelCard
from core.models.saved import model_bytes
from core.runs import launch
from core.runs.run import (
    BEST,
    MODEL,
    OLD_PACKED,
    PACKED,
    RayJob,
    WorkerProcess,
    write_status,
)
from core.runs.trackers.mirror_file import Mirror, write_mirror
from pages.parts.shared.words import plain, size
from tests.sample_runs import RECIPE, sample_run, summary_of
from tests.written_address import written_address

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


def texts(app):
    return " ".join(
        element.value
        for kind in ("markdown", "caption", "success", "error", "warning", "info")
        for element in app.get(kind)
    )


def test_no_runs_yet():
    app = opened()
    assert app.title[0].value == "Runs"
    assert "no runs yet" in app.info[0].value
    assert not app.dataframe


def test_the_table_tells_what_each_run_is(store):
    sample_run(store, "failed", done=2)
    sample_run(store, "finished", recipe=RECIPE.model_copy(update={"prune": None}))
    table = opened().dataframe[0].value
    assert [list(status) for status in table["status"]] == [["✓ finished"], ["✕ failed"]]
    assert table["density"].tolist() == [1.0, 0.1]
    assert table["epoch"].tolist() == ["4 / 4", "2 / 4"]
    assert table["test"].tolist() == pytest.approx([90, 70])
    assert list(table["curve"][1]) == pytest.approx([0.6, 0.7])


def test_a_training_that_goes_on_links_to_its_live_activations(store):
    run = sample_run(store, "failed", done=2)
    assert "Watch its activations" not in links(opened(run.id))
    write_status(run.path, run.status.model_copy(update={"state": "running"}))
    with FileLock(run.path / "lock"):
        app = opened(run.id)
    (link,) = [link.proto for link in app.get("page_link") if "Watch" in link.proto.label]
    assert link.page == "activations"
    assert f"training={run.id}" in link.query_string


def test_curves_appear_with_the_first_epoch_and_have_a_place_until_then(store):
    run = sample_run(store, "failed", done=0)
    app = opened(run.id)
    assert len(app.get("vega_lite_chart")) == 1  # of its layers
    assert not app.get("skeleton")
    write_status(run.path, run.status.model_copy(update={"state": "queued"}))
    with FileLock(run.path / "lock"):
        app = opened(run.id)
    assert len(app.get("vega_lite_chart")) == 1
    assert len(app.get("skeleton")) == 2
    assert "one run at a time" in texts(app)
    assert "on auto" not in texts(app)


def links(app):
    return [link.proto.label for link in app.get("page_link")]


def test_damaged_runs_are_named(store):
    sample_run(store)
    broken = sample_run(store)
    (broken.path / "config.json").write_text("{")
    app = opened()
    assert broken.id in app.warning[0].value
    assert len(app.dataframe[0].value) == 1


@pytest.mark.parametrize("run_id", ["0123456789", "../../etc", "", "<b>x</b>"])
def test_an_unknown_run_is_a_sentence_and_a_way_back(run_id, store):
    sample_run(store)
    app = opened(run_id)
    if run_id:
        assert plain(repr(run_id)) in app.error[0].value
        app.button(key="back").click().run()
    assert len(app.dataframe[0].value) == 1


def test_a_finished_run_says_what_was_achieved_and_what_to_try(store):
    run = sample_run(store)
    app = opened(run.id)
    said = app.success[0].value
    assert "120 of its 1,200 weights" in said
    assert "**90.00%**" in said
    assert "2 min 5 s" in said
    assert "train it dense" in said
    shown = {metric.label: metric.value for metric in app.metric}
    assert shown == {
        "Test accuracy": "90.00%",
        "Best": "90.00%",
        "Weights kept": "120",
        "Images a second": "3,000",
        "Epoch": "4 / 4",
    }
    assert "finished" in texts(app)


def test_a_network_that_guesses_is_no_comparison(store):
    with_accuracy(store, 0.1, recipe=RECIPE.model_copy(update={"prune": None}))
    said = opened(with_accuracy(store, 0.9).id).success[0].value
    assert "For comparison" not in said
    assert "train it dense" in said


def with_accuracy(store, accuracy, recipe=RECIPE):
    """A finished run that was tested on 10,000 images of ten classes."""
    run = sample_run(store, recipe=recipe)
    figures = {"test_accuracy": accuracy, "test_images": 10_000, "classes": 10}
    summary = summary_of(run, kept=120, **figures)
    changes = {"test_accuracy": accuracy, "summary": summary}
    write_status(run.path, run.status.model_copy(update=changes))
    return store.get(run.id)


def test_a_network_that_only_guesses_is_amber_and_says_what_to_try(store):
    run = with_accuracy(store, 0.1)
    app = opened(run.id)
    assert not app.success
    said = app.warning[0].value
    assert "**10.00%** (9.4 to 10.6)" in said
    assert "no better than guessing (10% for 10 classes)" in said
    assert "keep more weights" in said
    assert "SynFlow" in said
    assert "orange-badge[:material/casino: guessing]" in texts(app)
    assert opened().dataframe[0].value["status"][0] == ["≈ guessing"]


def test_the_advice_follows_the_result(store):
    """A fifth of the weights of a network at 23% is no advice."""
    said = opened(with_accuracy(store, 0.23).id).success[0].value
    assert "keep only a fifth" not in said
    assert "That is little" in said
    assert "keep more weights" in said


def test_accuracies_have_their_interval_in_the_tooltip(store):
    app = opened(with_accuracy(store, 0.6561).id)
    help_of = {metric.label: metric.help for metric in app.metric}
    interval = "95% interval: 64.7 to 66.5% (Wilson, 10,000 test images)."
    assert help_of["Test accuracy"] == interval
    assert "95% interval" in help_of["Best"]


@pytest.mark.parametrize(
    ("best_by", "words"),
    [
        (None, "on the test set: optimistic"),
        ("test", "on the test set: optimistic"),
        ("validation", "by validation"),
        ("divergence", "by divergence"),
    ],
)
def test_the_best_epoch_says_how_it_was_chosen(store, best_by, words):
    run = sample_run(store, test_accuracy=0.8, best_accuracy=0.9, best_by=best_by)
    (run.path / BEST).write_bytes(b"best")
    app = opened(run.id)
    best = next(metric for metric in app.metric if metric.label == "Best")
    assert best.delta == words
    (button,) = [button for button in app.get("download_button") if "Best" in button.label]
    assert f"best {words}" in button.help


def test_a_file_name_is_not_taken_for_markdown(store):
    """Neither in the settings' table nor where it leads to what was made of it."""
    evil = ImportRecipe(
        file="![x](http://a.b/c.png)",
        model="LeNet5",
        dataset="Digits",
        mean=(0, 0, 0),
        std=(1, 1, 1),
    )
    parent = sample_run(store, recipe=evil, done=1)
    plainly = plain(evil.file)
    app = opened(parent.id)
    assert plainly in app.success[0].value
    assert evil.file not in texts(app)
    app.session_state["details"] = "Settings"
    app.run()
    (table,) = [found.value for found in app.table]
    assert table.set_index("Setting")["Value"]["file"] == plainly
    child = store.create(KMeansRecipe(), parent=parent.id)
    (link,) = [found for found in opened(child.id).get("page_link") if "right." in found.proto.help]
    assert plainly in link.proto.help


def test_a_finished_run_is_compared_with_the_densest_like_it(store):
    sample_run(
        store, name="whole", recipe=RECIPE.model_copy(update={"prune": None}), test_accuracy=0.95
    )
    sample_run(store, name="elsewhere", recipe=RECIPE.model_copy(update={"dataset": "CIFAR10"}))
    assert "“whole” (dense) got 95.00%" in opened(sample_run(store).id).success[0].value


def test_a_failed_run_shows_its_message_and_offers_to_resume(store):
    app = opened(sample_run(store, "failed", done=1, message="The disk is full.").id)
    assert app.error[0].value == "The disk is full."
    assert app.button(key="resume").label == "Resume"


def test_an_interrupted_run_says_so_and_resumes(store, monkeypatch):
    spawned = []
    monkeypatch.setattr(launch, "_spawn", lambda run, data: spawned.append(run.id))
    run = sample_run(store, "running", done=2)  # under a free lock: whatever worked on it is gone
    app = opened(run.id)
    assert "ended without a message" in app.warning[0].value
    assert "epoch 2 of 4" in app.warning[0].value
    app.button(key="resume").click().run()
    assert spawned == [run.id]
    assert store.get(run.id).state == "starting"
    assert not app.warning


def test_a_running_run_shows_where_it_is_and_can_be_cancelled(store):
    run = sample_run(
        store, "running", done=2, stage="Epoch 3 of 4", total=10, unit="batches", seconds_left=90.0
    )
    with FileLock(run.path / "lock"):  # its worker
        app = opened(run.id)
        assert "running" in texts(app)
        assert app.get("progress")[0].proto.value == 50
        assert "about 1 min 30 s left" in app.get("progress")[0].proto.text
        assert "delete" not in [button.key for button in app.button]
        assert [chart.proto.alt for chart in app.get("vega_lite_chart")][:2] == [
            "Loss of training and test by epoch",
            "Accuracy of training and test by epoch",
        ]
        app.button(key="cancel").click().run()
        assert (run.path / "cancel").exists()
        assert app.button(key="cancel").disabled


def test_settings_command_log_and_layers(store):
    app = opened(sample_run(store).id)
    for tab, kind in [
        ("Settings", "table"),
        ("Log", "code"),
        ("Command", "code"),
        ("Pace", "vega_lite_chart"),
    ]:
        app.session_state["details"] = tab
        app.run()
        assert not app.exception
        assert app.get(kind), tab
        if tab == "Settings":
            settings = dict(app.table[0].value.iloc[:, :2].values.tolist())
            assert settings["model"] == "LeNet5"
            assert settings["prune: density"] == "0.1"
        if tab == "Command":
            assert "--retrain 0.1" in app.code[0].value
        if tab == "Log":
            assert "Epoch 4/4" in app.code[0].value


def test_a_name_can_be_changed_but_not_taken_away(store):
    run = sample_run(store)
    app = opened(run.id)
    app.text_input(key=f"name-{run.id}").set_value("A better name")
    app.button(key="FormSubmitter:rename-Save").click().run()
    assert store.get(run.id).name == "A better name"
    assert app.title[0].value == "A better name"
    app.text_input(key=f"name-{run.id}").set_value("  ")
    app.button(key="FormSubmitter:rename-Save").click().run()
    assert "at least one character" in app.error[0].value


def test_delete_undo_restore_and_empty(store):
    run = sample_run(store, name="doomed")
    app = opened(run.id)
    app.button(key="delete").click().run()
    assert not app.exception
    assert not store.list()
    assert "run" not in app.query_params
    app.button(key="undo").click().run()
    assert [item.id for item in store.list()] == [run.id]

    store.delete(run.id)
    opened().button(key=f"restore-{run.id}").click().run()
    assert [item.id for item in store.list()] == [run.id]

    store.delete(run.id)
    opened().button(key="empty").click().run()
    assert not store.list()
    assert not store.trash()


def test_the_accuracy_is_beside_the_name_where_a_phone_shows_it(store):
    sample_run(store)
    assert list(opened().dataframe[0].value.columns)[:2] == ["name", "test"]


def test_a_card_tells_the_accuracy_before_the_id(store):
    run = with_accuracy(store, 0.6561)
    app = opened()
    (accuracy,) = [item for item in app.markdown if "test accuracy" in item.value]
    assert accuracy.value == "**65.61%** test accuracy"
    assert accuracy.proto.help == "95% interval: 64.7 to 66.5% (Wilson, 10,000 test images)."
    (facts,) = [item.value for item in app.caption if run.id in item.value]
    assert facts == f"LeNet5 on Digits · 10% kept · training · 7 B · {run.id}"
    assert links(app) == [run.name]


def test_many_runs_are_cards_on_several_pages(store):
    runs = [sample_run(store) for _ in range(21)]
    app = opened()
    assert links(app).count(runs[0].name) == 20
    (pages,) = app.get("pagination")
    assert pages.proto.num_pages == 2
    assert runs[0].name in {run.name for run in store.list()}


def test_there_is_one_main_step_and_deleting_is_last_in_the_menu(store):
    app = opened(sample_run(store).id)
    main = [button.key for button in app.button if button.proto.type == "primary"]
    assert main == ["next_step"]
    (menu,) = [block for block in app.get("popover") if block.proto.popover.label == "More"]
    assert [button.key for button in menu.get("button")][-1] == "delete"
    assert [button.key for button in menu.get("download_button")] == ["zip"]


def download_keys(app):
    return [button.key for button in app.get("download_button")]


def test_the_weights_can_be_taken(store):
    run = sample_run(store)
    assert download_keys(opened(run.id)) == ["download", "zip"]
    assert download_keys(opened(sample_run(store, "failed", done=0).id)) == ["zip"]


def test_a_trained_run_has_a_packed_file_to_take(store):
    run = sample_run(store)
    state = {"weight": torch.randn(40, 30)}
    card = ModelCard(model="LeNet5", classes=("a",), mean=(0.5,) * 3, std=(0.2,) * 3, side=32)
    (run.path / MODEL).write_bytes(model_bytes(state, card))
    codec.save(run.path / PACKED, state, card)
    app = opened(run.id)
    figures = {metric.label: metric.value for metric in app.metric}
    assert figures["Packed file"] == size((run.path / PACKED).stat().st_size)
    assert figures["Smaller by"] == "1.2×"
    assert "Bytes" in [tab.label for tab in app.tabs]
    packed, reader, *_ = app.get("download_button")
    assert packed.label.startswith("Packed")
    assert reader.label == "secateur_reader.py"
    assert "-packed.secateur" in app.code[0].value


def test_an_older_run_has_its_packed_file_under_another_name(store):
    run = sample_run(store)
    state = {"weight": torch.randn(40, 30)}
    card = ModelCard(model="LeNet5", classes=("a",), mean=(0.5,) * 3, std=(0.2,) * 3, side=32)
    codec.save(run.path / OLD_PACKED, state, card)
    app = opened(run.id)
    assert app.get("download_button")[0].label.startswith("Packed")
    assert "Bytes" in [tab.label for tab in app.tabs]


@pytest.mark.parametrize(("kept", "note"), [(120, "lossless"), (1_200, "lossless, nothing pruned")])
def test_what_makes_the_packed_file_of_a_training_smaller_is_said(kept, note, store):
    run = sample_run(store)
    write_status(run.path, run.status.model_copy(update={"kept": kept, "prunable": 1_200}))
    state = {"weight": torch.randn(40, 30)}
    card = ModelCard(model="LeNet5", classes=("a",), mean=(0.5,) * 3, std=(0.2,) * 3, side=32)
    codec.save(run.path / PACKED, state, card)
    (smaller,) = [metric for metric in opened(run.id).metric if metric.label == "Smaller by"]
    assert smaller.delta == note


def test_the_best_weights_are_offered_where_the_last_are_not_the_best(store):
    run = sample_run(store, test_accuracy=0.8, best_accuracy=0.9)
    (run.path / BEST).write_bytes(b"better weights")
    labels = [button.label for button in opened(run.id).get("download_button")]
    assert labels[:-1] == ["Weights (7 B)", "Best weights (14 B)"]
    write_status(run.path, run.status.model_copy(update={"test_accuracy": 0.9}))
    assert download_keys(opened(run.id)) == ["download", "zip"]


@pytest.mark.parametrize("state", ["created", "cancelled", "interrupted", "failed", "finished"])
def test_every_state_is_drawn(state, store):
    app = opened(sample_run(store, state, done=4 if state == "finished" else 0).id)
    assert state in texts(app)


def test_the_menu_leads_to_the_comparison_with_parent_and_children(store):
    def runs_compared(run):
        (link,) = [
            link.proto for link in opened(run.id).get("page_link") if link.proto.label == "Compare"
        ]
        return link.query_string

    parent = sample_run(store)
    child = store.create(KMeansRecipe(), parent=parent.id)
    (child.path / MODEL).write_bytes(b"weights")
    write_status(child.path, child.status.model_copy(update={"state": "finished"}))
    store.create(KMeansRecipe(), parent=child.id)  # never started
    assert runs_compared(parent) == runs_compared(child) == f"runs={parent.id}%2C{child.id}"
    assert all(
        link.proto.label != "Compare"
        for link in opened(sample_run(store, "failed").id).get("page_link")
    )


def test_a_network_whose_parent_was_deleted_is_compared_with_nothing(store):
    def queries():
        links = [link.proto for link in opened(child.id).get("page_link")]
        return {link.label: link.query_string for link in links}

    parent = sample_run(store)
    child = store.create(KMeansRecipe(), parent=parent.id)
    (child.path / MODEL).write_bytes(b"weights")
    write_status(child.path, child.status.model_copy(update={"state": "finished"}))
    assert parent.id in queries()["Answers"]
    store.delete(parent.id)
    alone = queries()
    assert "Answers" not in alone
    assert alone["Weights"] == f"a={child.id}"


def test_a_silent_worker_can_be_stopped_by_force(store, monkeypatch):
    stopped = []
    monkeypatch.setattr(launch, "force_stop", lambda run: stopped.append(run.id))
    run = sample_run(store, "running", done=2)
    with FileLock(run.path / "lock"):  # its worker
        assert "force_stop" not in [button.key for button in opened(run.id).button]
        status = json.loads((run.path / "status.json").read_text())
        long_ago = {"updated_at": time.time() - 75}
        (run.path / "status.json").write_text(json.dumps(status | long_ago))
        os.utime(run.path / "lock", (time.time() - 75,) * 2)
        app = opened(run.id)
        assert app.warning[0].value.startswith("No news for 1 min 1")
        assert app.button(key="cancel")
        app.button(key="force_stop").click().run()
        assert stopped == [run.id]


def test_a_worker_that_cannot_be_stopped_by_force_says_why(store):
    run = sample_run(store, "running", done=2)
    with FileLock(run.path / "lock"):
        status = json.loads((run.path / "status.json").read_text())
        (run.path / "status.json").write_text(json.dumps(status | {"updated_at": 1.0}))
        os.utime(run.path / "lock", (1.0, 1.0))
        app = opened(run.id)
        app.button(key="force_stop").click().run()
        assert "is not known, or runs on another machine" in app.error[0].value


JOB = RayJob(address="http://head:8265", id="j1", data="/data")


def test_a_run_that_waits_for_a_cluster_says_why_and_can_run_here(store, monkeypatch):
    resumed = []
    monkeypatch.setattr(launch, "look_after", lambda root: None)
    monkeypatch.setattr(
        launch, "resume", lambda run, data, here=False: resumed.append((run.id, here))
    )
    run = sample_run(store, "queued", done=0, job=JOB, message="The cluster cannot be used.")
    app = opened(run.id)
    assert "The cluster cannot be used." in texts(app)
    assert "Ray job j1." in texts(app)
    app.button(key="run_here").click().run()
    assert resumed == [(run.id, True)]


def test_a_run_on_a_cluster_says_on_which_node(store):
    worker = WorkerProcess(pid=1, started=0, host="n5")
    run = sample_run(store, job=JOB, worker=worker)
    assert "On node n5, Ray job j1." in texts(opened(run.id))


def test_the_trash_says_how_large_it_is_and_how_long_it_stays(store):
    sample_run(store)
    run = sample_run(store)
    (run.path / "model.safetensors").write_bytes(b"x" * 2_000_000)
    store.delete(run.id)
    app = opened()
    (trash,) = [item for item in app.expander if item.label.startswith("Trash")]
    assert trash.label == "Trash (1, 2.0 MB)"
    assert "stay here for 30 days" in texts(app)


@pytest.mark.parametrize(
    "line", ['{"event": ["quantized"]}', '{"event": "pruned", "layers": 7}', "7", "[]"]
)
def test_an_odd_event_does_not_break_the_page(store, line):
    run = sample_run(store)
    with (run.path / "events.jsonl").open("a") as file:
        print(line, file=file)
    assert opened(run.id).success


def test_a_folder_in_the_place_of_the_events_does_not_break_the_page(store):
    run = sample_run(store)
    for name in ("events.jsonl", "log.txt"):
        (run.path / name).unlink()
        (run.path / name).mkdir()
    assert opened(run.id).success


# -- tags --


def tag(store, run, *tags):
    store.change_tags(run.id, add=tags)


def test_the_tags_of_a_run_are_changed_on_its_page(store):
    run = sample_run(store)
    tag(store, sample_run(store), "paper")
    app = opened(run.id)
    field = app.multiselect(key=f"tags-{run.id}")
    assert field.value == []
    assert field.options == ["paper"]
    field.set_value(["paper", "new"]).run()
    assert store.get(run.id).tags == ("paper", "new")
    app.multiselect(key=f"tags-{run.id}").set_value(["new"]).run()
    assert store.get(run.id).tags == ("new",)


def test_a_change_keeps_the_tags_that_another_tab_has_added(store):
    run = sample_run(store)
    app = opened(run.id)
    tag(store, run, "elsewhere")
    app.multiselect(key=f"tags-{run.id}").set_value(["here"]).run()
    assert store.get(run.id).tags == ("elsewhere", "here")
    assert app.multiselect(key=f"tags-{run.id}").value == ["elsewhere", "here"]


def test_a_word_that_cannot_be_a_tag_is_a_sentence(store):
    run = sample_run(store)
    app = opened(run.id)
    app.multiselect(key=f"tags-{run.id}").set_value(["two words"]).run()
    assert "must be 1 to 30 letters" in app.error[0].value
    assert app.multiselect(key=f"tags-{run.id}").value == []
    assert not app.run().error


def test_the_table_is_filtered_by_tags_and_the_address_carries_them(store):
    both, one, _ = (sample_run(store, name=name) for name in ("both", "one", "none"))
    tag(store, both, "Base", "paper")
    tag(store, one, "paper")
    app = opened()
    assert set(app.dataframe[0].value["name"]) == {"both", "one", "none"}
    app.multiselect(key="runs_tags").set_value(["paper"]).run()
    assert set(app.dataframe[0].value["name"]) == {"both", "one"}
    assert written_address(app) == {"tags": "paper"}
    app.multiselect(key="runs_tags").set_value(["paper", "Base"]).run()
    table = app.dataframe[0].value
    assert [list(tags) for tags in table["tags"]] == [["Base", "paper"]]
    store.change_tags(both.id, remove=["base"])
    app.run()
    assert app.multiselect(key="runs_tags").value == ["paper"]


def test_a_link_with_tags_opens_the_filtered_table(store):
    tag(store, sample_run(store, name="tagged"), "Base")
    sample_run(store, name="other")
    app = AppTest.from_file(str(ROOT / "streamlit_app.py"), default_timeout=60).run()
    app.query_params["tags"] = "base,gone"
    app.switch_page("pages/runs.py").run()
    assert app.dataframe[0].value["name"].tolist() == ["tagged"]
    assert "No run here has the tag 'gone'." in app.warning[0].value


def test_without_tags_there_is_no_filter_and_no_column(store):
    sample_run(store)
    app = opened()
    assert not app.multiselect
    assert "tags" not in app.dataframe[0].value


def test_several_runs_are_tagged_at_once(store):
    first, second, third = (sample_run(store, name=name) for name in ("a", "b", "c"))
    tag(store, first, "old")
    app = opened()
    app.session_state["tag_menu"] = True
    app.run()
    app.multiselect(key="tagged_runs").set_value([first.id, second.id])
    app.multiselect(key="new_tags").set_value(["new"])
    app.button(key="add_tags").click().run()
    assert not app.exception
    assert [store.get(run.id).tags for run in (first, second, third)] == [
        ("old", "new"),
        ("new",),
        (),
    ]
    app.multiselect(key="tagged_runs").set_value([first.id])
    app.multiselect(key="new_tags").set_value(["old", "new"])
    app.button(key="remove_tags").click().run()
    assert store.get(first.id).tags == ()


def budget_run(store, accuracy, recipe):
    """A budget run that is finished, whose parent gets 90% of half B and 91% of all images."""
    parent = with_accuracy(store, 0.91)
    run = store.create(recipe, parent=parent.id)
    (run.path / MODEL).write_bytes(b"weights")
    summary = summary_of(
        run,
        test_accuracy=accuracy,
        parent_accuracy=0.9,
        test_half="B",
        test_images=5000,
        classes=10,
        float_bytes=8000,
        packed_bytes=1000,
    )
    changes = {"state": "finished", "test_accuracy": accuracy, "summary": summary}
    write_status(run.path, run.status.model_copy(update=changes))
    return store.get(run.id)


def test_a_budget_run_says_what_it_lost_on_half_of_the_images(store):
    app = opened(budget_run(store, 0.88, BudgetRecipe(smaller=8, kinds=("share",))).id)
    said = app.success[0].value
    assert "of half of the test images right, 2.00 points less than before (90.00%)" in said
    assert "8.0 times smaller" in said
    assert "**Duplicate with changes** and allow a larger file, let each layer share" in said
    assert not app.warning  # 90% of half B is no other record than 91% of all images
    shown = {metric.label: metric for metric in app.metric}
    assert "5,000 test images, half of all" in shown["Accuracy, half B"].help
    assert "next_step" not in [button.key for button in app.button]
    assert "Quantize again" in links(app)


def test_a_budget_run_that_guesses_says_what_to_try(store):
    run = budget_run(store, 0.1, BudgetRecipe(lose=1, tuning_epochs=0))
    said = opened(run.id).warning[0].value
    assert "no better than guessing" in said
    assert "allow a smaller loss, tune it for some epochs or give the search more" in said


def test_a_cancelled_budget_run_continues(store):
    run = store.create(BudgetRecipe(bytes=3000), parent=sample_run(store).id)
    changes = {"state": "cancelled", "message": "Cancelled."}
    write_status(run.path, run.status.model_copy(update=changes))
    app = opened(run.id)
    assert "continues the search from the last checkpoint" in app.warning[0].value
    assert app.button(key="resume").label == "Resume"
    assert "Epoch" not in [metric.label for metric in app.metric]


def test_no_runs_link_to_the_tour():
    (link,) = [link.proto for link in opened().get("page_link") if "tour" in link.proto.label]
    assert link.page == "tour"


def test_the_copy_in_mlflow_is_one_line(store):
    run = sample_run(store)
    assert "MLflow" not in texts(opened(run.id))
    link = "http://localhost:5000/#/experiments/1/runs/abc"
    write_mirror(run.path, Mirror(place="http://localhost:5000", mlflow_run="abc", link=link))
    assert f"[This run in MLflow]({link})" in texts(opened(run.id))
    write_mirror(run.path, Mirror(error="MLflow does not answer."))
    app = opened(run.id)
    assert "MLflow does not answer." in texts(app)
    assert not app.error
