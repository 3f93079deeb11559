"""The Answers page: its choice of models, the tests that it starts, and its views."""

import csv
import io
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from streamlit.testing.v1 import AppTest

from core import data
from core.config import KMeansRecipe, TrainRecipe
from core.hashes import write_with_hash
from core.inspect.behaviour.answers import Answers, answers_bytes, hash_test_set
from core.inspect.behaviour.changes import Changes
from core.inspect.behaviour.paired import PairedCounts
from core.inspect.behaviour.table import answers_csv
from core.models import build, saved
from core.models.card import ModelCard
from core.runs import launch
from core.runs.answers import expected_key, find_answers_run, request_answers
from core.runs.run import ANSWERS, MODEL, write_status
from pages.parts.answers import comparison, testing
from pages.parts.answers.comparison import cached_test_set_hash
from pages.parts.answers.filters import ImageFilter, choose_cell
from pages.parts.answers.words import points, points_range, verdict
from tests.sample_runs import sample_run
from tests.written_address import written_address

ENTRY = Path(__file__).parents[2] / "streamlit_app.py"


@pytest.fixture
def app(digits):
    return AppTest.from_file(str(ENTRY), default_timeout=60)


@pytest.fixture
def labels(digits):
    return data.load("Digits", digits).test.labels


@pytest.fixture
def test_hash(digits):
    return hash_test_set(data.load("Digits", digits))


@pytest.fixture
def trained(store):
    """A function that makes a finished run with real weights, of a parent if there is one."""

    def make(name, seed=0, dataset="Digits", classes=tuple("0123456789")):
        run = sample_run(
            store, recipe=TrainRecipe(model="LeNet5", dataset=dataset, epochs=4), name=name
        )
        card = ModelCard(
            model="LeNet5",
            dataset=dataset,
            classes=classes,
            mean=(0.3,) * 3,
            std=(0.4,) * 3,
            side=32,
        )
        torch.manual_seed(seed)
        weights = build("LeNet5", len(classes)).state_dict()
        write_with_hash(run.path / MODEL, saved.model_bytes(weights, card))
        return run

    return make


@pytest.fixture
def answered(store, trained, labels, test_hash):
    """A function that makes a run whose kept answers are wrong for the images in `wrong`.

    A wrong answer is the next class. The confidence falls with the number of the image.
    """

    def make(name, wrong, seed=0):
        run = trained(name, seed)
        predicted = labels.copy()
        predicted[wrong] = (labels[wrong] + 1) % 10
        logits = np.zeros((len(labels), 10), np.float32)
        logits[np.arange(len(labels)), predicted] = np.linspace(9, 1, len(labels))
        test = request_answers(store, run, test_hash)
        content = answers_bytes(Answers(logits), expected_key(run, test_hash))
        (test.path / ANSWERS).write_bytes(content)
        write_status(test.path, test.status.model_copy(update={"state": "finished"}))
        return run

    return make


@pytest.fixture
def pair(answered):
    """A model that gets 2 images wrong, and one that breaks 30 and fixes 1 of them."""
    return answered("first", [0, 1]), answered("second", list(range(1, 32)), seed=1)


def right_answers(labels):
    return Answers(np.eye(10, dtype=np.float32)[labels])


def opened(app, *runs, **params):
    app.run()
    if runs:
        params["runs"] = ",".join(getattr(run, "id", run) for run in runs)
    for name, value in params.items():
        app.query_params[name] = value
    app.switch_page("pages/answers.py").run()
    assert not app.exception
    return app


def answers_run(store, run):
    found = find_answers_run(store, run)
    assert found is not None
    return found


def texts(app):
    return " ".join(
        element.value
        for kind in ("markdown", "caption", "error", "warning", "info", "subheader")
        for element in app.get(kind)
    )


def metrics(app):
    return {metric.label: metric.value for metric in app.metric}


def cards(app):
    return [text.value for text in app.markdown if text.value.startswith("True:")]


# -- which models --


def test_no_models_yet(app):
    assert "no model yet" in opened(app).info[0].value


def test_one_model_is_too_few(app, trained):
    trained("alone")
    assert "only one model" in texts(opened(app))


def test_it_begins_with_a_model_and_its_parent(app, trained, store):
    parent = trained("parent")
    child = store.create(KMeansRecipe(clusters=5), "child", parent=parent.id)
    write_with_hash(child.path / MODEL, (parent.path / MODEL).read_bytes())
    write_status(child.path, parent.status)
    trained("newer")
    opened(app)
    assert app.multiselect[0].value == [parent.id, child.id]
    assert written_address(app) == {"runs": f"{parent.id},{child.id}"}


@pytest.mark.parametrize(
    "hostile",
    ["../../etc", "<script>,[x](y)", ",,,", "0" * 10, "a" * 5000, ",".join(["0123456789"] * 500)],
)
def test_a_hostile_address_chooses_nothing(app, trained, hostile):
    trained("one"), trained("two")
    opened(app, hostile)
    assert app.multiselect[0].value == []
    assert "Choose two to four models" in texts(app)
    assert "script" not in texts(app)


def test_of_an_address_what_exists_is_chosen_once(app, pair):
    first, second = pair
    opened(app, second, "ffffffffff", first, second)
    assert app.multiselect[0].value == [second.id, first.id]
    assert "cannot be compared here" in app.warning[0].value


def test_four_models_at_most(app, answered):
    runs = [answered(f"model {seed}", [seed], seed) for seed in range(5)]
    opened(app, *runs)
    assert app.multiselect[0].value == [run.id for run in runs[:4]]
    assert "more than 4" in app.warning[0].value
    assert len([label for label in metrics(app) if label.startswith("Accuracy of")]) == 4


def test_other_classes_are_one_sentence(app, trained):
    opened(app, trained("one"), trained("two", classes=tuple("012345678x")))
    assert [error.value for error in app.error] == [
        "The answers of one and two cannot be compared, because class 9 is '9' in one and 'x' in"
        r" two\: choose models of the same classes\.".replace(r"\.", ".")
    ]


def test_classes_that_the_data_set_has_not_are_one_sentence(app, trained):
    classes = tuple("012345678x")
    opened(app, trained("one", classes=classes), trained("two", 1, classes=classes))
    (error,) = app.error
    assert "Digits has other classes than those that these models" in error.value
    assert not app.button


def test_other_data_sets_are_one_sentence(app, trained):
    opened(app, trained("one"), trained("two", dataset="CIFAR10"))
    assert "no images that both answer" in app.error[0].value


# -- the tests --


def test_missing_answers_are_asked_for_and_tested_once(app, trained, store, monkeypatch):
    first, second = trained("one"), trained("two", 1)
    resumed = []
    monkeypatch.setattr(launch, "resume", lambda run, root: resumed.append(run))
    opened(app, first, second)
    assert "“one” and “two” are not known yet. A test on all 360 test images" in texts(app)
    app.button(key="test_networks").click().run()
    assert [run.config.parent for run in resumed] == [first.id, second.id]
    app.button(key="test_networks").click().run()
    assert len(store.list(helpers=True)) == 4


def test_only_the_missing_network_is_tested(app, answered, trained, monkeypatch):
    resumed = []
    monkeypatch.setattr(launch, "resume", lambda run, root: resumed.append(run))
    known, missing = answered("known", [0]), trained("missing", 1)
    opened(app, known, missing)
    app.button(key="test_networks").click().run()
    assert [run.config.parent for run in resumed] == [missing.id]


def test_a_running_test_shows_its_progress(app, answered, trained, store, test_hash):
    known, missing = answered("known", [0]), trained("missing", 1)
    test = request_answers(store, missing, test_hash)
    status = {"state": "starting", "stage": "Testing", "done": 100, "total": 360, "unit": "images"}
    write_status(test.path, test.status.model_copy(update=status))
    opened(app, known, missing)
    assert app.get("progress")[0].proto.text == "Testing · 100 of 360 images"
    assert "test_networks" not in [button.key for button in app.button]
    app.button(key="stop_tests").click().run()
    assert answers_run(store, missing).state == "cancelled"


def test_a_failed_test_says_why_and_can_be_tried_again(app, answered, trained, store, test_hash):
    known, missing = answered("known", [0]), trained("missing", 1)
    test = request_answers(store, missing, test_hash)
    failed = {"state": "failed", "message": "The file is damaged."}
    write_status(test.path, test.status.model_copy(update=failed))
    opened(app, known, missing)
    assert "The file is damaged" in texts(app)
    assert app.button(key="test_networks")


def test_a_real_test_from_the_click_to_the_result(app, trained, store, digits, work_on):
    first, second = trained("one"), trained("two", 1)
    for run in (first, second):
        process = work_on(request_answers(store, run, None))
        process.join(timeout=120)
    opened(app, first, second)
    assert metrics(app)["Accuracy of A"] == f"{answers_run(store, first).status.test_accuracy:.2%}"


def test_a_model_that_changed_since_is_tested_again(app, pair):
    first, second = pair
    write_with_hash(second.path / MODEL, (first.path / MODEL).read_bytes())
    opened(app, first, second)
    assert "“second” are not known yet" in texts(app)


def test_a_test_that_ends_while_the_page_is_drawn_draws_it_again(
    app, answered, trained, store, labels, monkeypatch
):
    known, missing = answered("known", [0]), trained("missing", 1)
    reads = []

    def read(store, run, test_hash):
        reads.append(run.id)
        is_first = reads.count(run.id) == 1
        return None if is_first and run.id == missing.id else right_answers(labels)

    monkeypatch.setattr(comparison, "answers_of", read)
    monkeypatch.setattr(testing, "answers_of", read)
    opened(app, known, missing)
    assert "not on this machine" not in texts(app)
    assert metrics(app)["Accuracy of B"] == "100.00%"


def test_a_test_that_ended_before_its_progress_is_drawn_draws_the_page_again(
    app, answered, trained, store, test_hash, monkeypatch
):
    known, missing = answered("known", [0]), trained("missing", 1)
    test = request_answers(store, missing, test_hash)
    write_status(test.path, test.status.model_copy(update={"state": "starting"}))
    live = testing.draw_live_runs

    def fail_and_draw(*arguments):
        failed = {"state": "failed", "message": "The file is damaged."}
        write_status(test.path, test.status.model_copy(update=failed))
        live(*arguments)

    monkeypatch.setattr(testing, "draw_live_runs", fail_and_draw)
    opened(app, known, missing)
    assert app.button(key="test_networks")
    assert "stop_tests" not in [button.key for button in app.button]


def test_other_images_with_the_same_labels_are_tested_again(
    app, pair, digits, test_hash, tmp_path, monkeypatch
):
    root = tmp_path / "data"
    shutil.copytree(digits, root)
    monkeypatch.setenv("SECATEUR_DATA", str(root))
    dataset = data.load("Digits", root)
    assert cached_test_set_hash(dataset) == test_hash
    pixels = np.array(dataset.test.images)[:, :, ::-1]
    np.save(root / "Digits" / "test_images.npy", np.ascontiguousarray(pixels))
    assert cached_test_set_hash(data.load("Digits", root)) != test_hash
    opened(app, *pair)
    assert "“first” and “second” are not known yet" in texts(app)


# -- the views --


def test_the_summary(app, pair):
    opened(app, *pair)
    assert metrics(app) == {
        "Accuracy of A": "99.44%",
        "Accuracy of B": "91.39%",
        "Difference": "−8.06 points",
        "Broken": "30",
        "Fixed": "1",
        "Both wrong": "1",
        "Same answer": "91.39%",
    }
    assert "**A is more accurate**" in texts(app)
    assert "on the 360 test images of Digits" in texts(app)


def test_a_model_that_only_guesses_is_told(app, answered, labels):
    opened(app, answered("good", [0]), answered("bad", list(range(len(labels))), seed=1))
    assert "B is no better than guessing (10% for 10 classes)" in app.warning[0].value


def test_the_classes(app, pair):
    opened(app, *pair, view="Classes")
    table = app.dataframe[0].value
    assert table["change"].is_monotonic_increasing
    assert (table["broken"].sum(), table["fixed"].sum(), table["images"].sum()) == (30, 1, 360)
    assert "10 classes of 35 to 37 test images each" in texts(app)


def test_the_confusion_shows_no_images_at_first(app, pair):
    opened(app, *pair, view="Confusion")
    assert "Numbers of images, of 360" in texts(app)
    assert not cards(app)


def test_the_confusion_shows_the_images_of_a_cell(app, pair, labels):
    label = labels[5]
    opened(app, *pair, view="Confusion", **{"class": str(label), "answer": str(label + 1)})
    expected = sum(labels[image] == label for image in range(2, 32))
    assert len(cards(app)) == expected > 0


@pytest.mark.parametrize(
    ("label", "answer", "difference", "kind", "chosen_answer"),
    [
        (1, 1, 3, "fixed", "any"),
        (1, 1, -3, "broken", "any"),
        (1, 2, 3, "broken", "2"),
        (1, 2, -3, "fixed", "2"),
        (1, 2, 0, "before", "2"),
    ],
)
def test_a_clicked_cell_chooses_its_images(
    monkeypatch, label, answer, difference, kind, chosen_answer
):
    state = {"answers_kind": "before"}
    monkeypatch.setattr("streamlit.session_state", state)
    choose_cell(label, answer, difference)
    assert (state["answers_kind"], state["answers_class"]) == (kind, "1")
    assert state["answers_answer"] == chosen_answer


def test_images_of_a_cell_that_both_models_get_wrong_are_counted():
    first, second = (right_answers(np.array(predicted)) for predicted in ([1, 2, 0], [1, 1, 1]))
    changes = Changes(first, second, np.zeros(3, np.int64))
    assert ImageFilter(False, 0, 1).count_both_wrong(changes) == 2
    assert ImageFilter(True, 0, 1).count_both_wrong(changes) == 1


def test_the_images_that_both_models_get_wrong_are_told(app, pair, labels):
    opened(app, *pair, view="Confusion", **{"class": str(labels[1])})
    assert "1 image of this choice is wrong in both models" in texts(app)


def test_the_confidence(app, pair):
    opened(app, *pair, view="Confidence")
    assert list(metrics(app)) == ["Calibration error of A", "Calibration error of B"]
    assert {metric.delta for metric in app.metric} == {"on 360 images"}


def test_the_images_are_sorted_and_paged(app, pair):
    opened(app, *pair, view="Images")
    assert len(cards(app)) == 24
    assert "30 of 360 test images" in texts(app)
    assert app.segmented_control(key="answers_kind").options == ["Broken · 30", "Fixed · 1"]
    links = [link.proto for link in app.get("page_link") if link.proto.label.startswith("Image")]
    numbers = [int(link.label.removeprefix("Image ")) for link in links]
    assert numbers == list(range(2, 26))  # their confidence falls
    assert links[0].query_string == (
        f"of=Models&a={pair[0].id}&b={pair[1].id}&picture=Sample&sample=2"
    )


def test_fixed_images_and_filters(app, pair, labels):
    opened(app, *pair, view="Images", kind="fixed")
    assert len(cards(app)) == 1
    assert "✗] A" in cards(app)[0]
    assert "✓] B" in cards(app)[0]
    app.selectbox(key="answers_class").set_value(str((labels[0] + 1) % 10)).run()
    assert "No image of this choice is fixed" in texts(app)
    address = written_address(app)
    assert (address["kind"], address["class"]) == ("fixed", str((labels[0] + 1) % 10))


def test_three_models_have_a_choice_of_the_other(app, pair, answered):
    third = answered("third", [7], seed=2)
    opened(app, *pair, third, view="Images", **{"with": "C"})
    assert app.selectbox(key="answers_other").value == "C"
    assert len(cards(app)) == 1
    assert cards(app)[0].count("\n") == 3


def test_hostile_settings_in_the_address(app, pair):
    opened(app, *pair, view="<b>", kind="x", **{"class": "99", "answer": "-1", "with": "Z"})
    assert app.segmented_control(key="answers_view").value == "Summary"


def test_equal_models_are_no_difference(app, answered):
    opened(app, answered("one", [3]), answered("two", [3], seed=1))
    assert "not one image is broken or fixed" in texts(app)
    app.segmented_control(key="answers_view").set_value("Images").run()
    assert "No image at all is broken" in texts(app)


# -- words and tables --


@pytest.mark.parametrize(
    ("counts", "words"),
    [
        (PairedCounts(90, 0, 0, 10), "**No difference**"),
        (PairedCounts(90, 3, 2, 5), "in 100 of 100 cases"),
        (PairedCounts(80, 12, 4, 4), "in 8 of 100 cases"),
        (
            PairedCounts(80, 6, 0, 4),
            "chance alone would make a difference this large in 1 of 32 cases",
        ),
        (PairedCounts(80, 0, 6, 4), "**B is more accurate**"),
        (PairedCounts(8000, 900, 100, 4), "less than 1 of a million cases"),
    ],
)
def test_the_verdict_in_words(counts, words):
    assert words in verdict(counts, "A", "B")


def test_differences_in_words():
    assert points(-0.025) == "−2.50 points"
    assert points(0.0) == "0.00 points"
    assert points_range((-0.049, 0.001)) == "−4.90 to +0.10"
    assert points_range((-0.0001, 0.00001)) == "−0.01 to 0.00"


def test_the_csv():
    first = Answers(np.log(np.array([[6, 3, 1], [1, 1, 2]])).astype(np.float32))
    content = answers_csv({"A: x, y": first}, np.array([0, 1]), ["a", "b", "c"]).decode()
    rows = list(csv.reader(io.StringIO(content)))
    assert rows == [
        ["image", "class", "A: x, y: answer", "A: x, y: confidence", "A: x, y: right"],
        ["0", "a", "a", "0.600000", "1"],
        ["1", "b", "c", "0.500000", "0"],
    ]


# -- on the other pages --


def test_the_lists_of_runs_leave_a_finished_test_out(app, pair, store):
    app.run()
    assert not any("Answers of" in link.proto.label for link in app.get("page_link"))
    app.switch_page("pages/runs.py").run()
    assert set(app.dataframe(key="runs").value["name"]) == {"first", "second"}
    test = answers_run(store, pair[0])
    write_status(test.path, test.status.model_copy(update={"state": "failed"}))
    app.run()
    assert "Answers of first" in set(app.dataframe(key="runs").value["name"])


def test_a_test_has_a_page_like_any_run(app, pair, store, labels):
    app.run()
    app.query_params["run"] = answers_run(store, pair[0]).id
    app.switch_page("pages/runs.py").run()
    assert not app.exception
    assert [tab.label for tab in app.tabs] == ["Log", "Settings"]
