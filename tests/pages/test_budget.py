"""The budget page, and the page of a run that fits a budget."""

import shutil

import pytest
from filelock import FileLock
from streamlit.dataframe_util import convert_arrow_bytes_to_pandas_df

from core.commands.budget import budget_command
from core.config import BudgetRecipe
from core.events import Candidate, LayersMeasured, ThinnedCandidate
from core.runs.event_lines import to_lines
from core.runs.run import MODEL, PACKED, write_status
from core.runs.store import RunStore
from pages.parts.budget.limit import round_bytes
from pages.parts.budget.outcome import describe_halves
from pages.parts.budget.search.picked import quantize_address
from pages.parts.shared.words import plain
from tests.pages.open_page import figures, open_page, shown_code, texts
from tests.sample_runs import DENSE, sample_run, summary_of
from tests.written_address import written_address

FLOAT_BYTES = 248_024  # of LeNet5
NAMES = ("features.0.weight", "features.3.weight", "classifier.4.weight")
CLUSTERS = {name: {"clusters": 5.0} for name in NAMES}
MIXED = CLUSTERS | {NAMES[0]: {"bits": 4.0}}
EVENTS = [
    LayersMeasured(
        {
            name: [
                {"clusters": 2, "bytes": 9, "damage": 0.5},
                {"clusters": 5, "bytes": 12, "damage": 0.1},
            ]
            for name in NAMES
        }
    ),
    Candidate(4000, 0.5, {name: {"clusters": 2.0} for name in NAMES}),
    Candidate(9000, 0.03, MIXED),
    Candidate(9100, 0.02, CLUSTERS, epochs=2),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The folder of the runs of all tests here."""
    return tmp_path_factory.mktemp("runs")


@pytest.fixture
def store(folder, monkeypatch):
    """The test's runs. Those of the test before are gone, but for the trained network: the pages
    keep what they have computed of its file.
    """
    monkeypatch.setenv("SECATEUR_RUNS", str(folder))
    store = RunStore(folder)
    for run in store.list(helpers=True):
        if run.name != "trained":
            shutil.rmtree(run.path)
    return store


@pytest.fixture
def trained(store, content, digits):
    """A finished dense training whose weights can be read."""
    for run in store.list():
        return run
    run = sample_run(store, name="trained", recipe=DENSE)
    (run.path / MODEL).write_bytes(content)
    return run


def opened(app, page="budget", **params):
    return open_page(app, page, **params)


def limit(app, name):
    return app.button_group(key="budget_limit").set_value(name).run()


def number(app, name):
    return app.number_input(key=f"budget_{name}")


def candidates(app):
    return next(box for box in app.selectbox if box.label == "Candidate")


def frontier(app):
    """The chart's specification, and its data by name."""
    proto = app.get("vega_lite_chart")[0].proto
    tables = {
        dataset.name: convert_arrow_bytes_to_pandas_df(dataset.data.data)
        for dataset in proto.datasets
    }
    return proto.spec, {name: table.to_dict("records") for name, table in tables.items()}


# -- the form --


def test_without_a_model_it_says_where_one_comes_from(app, tmp_path, monkeypatch):
    monkeypatch.setenv("SECATEUR_RUNS", str(tmp_path / "runs"))
    sample_run(RunStore(tmp_path / "runs"), "failed", done=1)
    opened(app)
    assert "no model" in app.info[0].value
    assert not [button for button in app.button if button.key == "budget"]


def test_it_starts_with_a_file_eight_times_smaller(app, trained):
    opened(app)
    assert shown_code(app) == budget_command(BudgetRecipe(smaller=8), trained.id)
    assert written_address(app) == {}
    assert figures(app)["Float network"] == ("248.0 kB", "248,024 bytes")
    assert figures(app)["Limit"] == ("31.0 kB", "8× smaller")
    assert figures(app)["Time, about"] == ("2 min", "and the tests")
    assert "**best answers** within this size" in texts(app)
    assert not app.error
    assert not app.button(key="budget").disabled


def test_a_limit_in_bytes_starts_with_a_twelfth(app, trained):
    limit(opened(app), "bytes")
    assert number(app, "bytes").value == 21_000
    assert "--bytes 21000" in shown_code(app)
    number(app, "bytes").set_value(15_000).run()
    assert figures(app)["Limit"] == ("15.0 kB", "16.5× smaller")
    assert written_address(app) == {"budget_limit": "bytes", "budget_bytes": "15000"}
    limit(limit(app, "smaller"), "bytes")
    assert number(app, "bytes").value == 15_000


def test_a_limit_of_accuracy_wishes_for_the_fewest_bytes(app, trained):
    limit(opened(app), "lose")
    assert "--lose 0.5" in shown_code(app)
    assert "**fewest bytes** that lose at most 0.5 percentage points on half A" in texts(app)
    assert "Half A of the test images (180) decides" in texts(app)
    assert "cannot show of a limit below 1.1 points" in texts(app)
    assert figures(app)["Limit"] == ("0.5 points", "on 180 images")


@pytest.mark.parametrize("wanted", [("smaller", 100.0), ("bytes", 2000)], ids=str)
def test_an_impossible_limit_is_refused_before_a_run_is_created(wanted, app, trained, store):
    name, value = wanted
    number(limit(opened(app), name), name).set_value(value).run()
    assert "No choice of clusters and bits gives a file of" in app.error[0].value
    assert "the smallest has" in app.error[0].value
    assert app.button(key="budget").disabled
    assert [run.id for run in store.list()] == [trained.id]


def test_the_smallest_file_that_is_shown_works_as_a_limit(app, trained):
    opened(app)
    smallest = next(metric for metric in app.metric if metric.label == "Smallest file there is")
    least = int(smallest.help.split(" bytes")[0].replace(",", ""))
    number(limit(app, "bytes"), "bytes").set_value(least + 5).run()
    assert not app.error
    number(app, "bytes").set_value(least - 20).run()
    assert "No choice" in app.error[0].value


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("minutes", 0.0, "Minutes must be in (0, 10000], got 0"),
        ("smaller", 1.0, "Times smaller must be in (1, 10000], got 1"),
        ("images", 5000, "Images to round and measure on must be at most 1,437"),
    ],
)
def test_bad_settings_are_a_sentence(name, value, sentence, app, trained):
    number(opened(app), name).set_value(value).run()
    assert sentence in app.error[0].value.replace("\\", "")
    assert app.button(key="budget").disabled


def test_a_layer_must_get_something(app, trained):
    opened(app).button_group(key="budget_kinds").set_value([]).run()
    assert "choose at least one" in app.error[0].value
    app.button_group(key="budget_kinds").set_value(["prune"]).run()
    assert "“Prune and share” needs “Share" in app.error[0].value
    app.button_group(key="budget_kinds").set_value(["round"]).run()
    assert not app.error
    assert shown_code(app).endswith("--kinds round")
    assert written_address(app) == {"budget_kinds": "round"}


def test_usual_times_and_any_other(app, trained):
    opened(app).button_group(key="budget_time").set_value(20).run()
    assert number(app, "minutes").value == 20
    number(app, "minutes").set_value(0.5).run()
    assert app.button_group(key="budget_time").value is None
    assert "--minutes 0.5" in shown_code(app)
    assert figures(app)["Time, about"] == ("30 s", "and the tests")


def test_the_address_fills_the_form(app, trained):
    settings = {
        "budget_limit": "lose",
        "budget_lose": "1.5",
        "budget_minutes": "7.0",
        "budget_kinds": "share",
        "budget_trials": "3",
        "budget_rest": "float32",
    }
    opened(app, run=trained.id, **settings)
    recipe = BudgetRecipe(lose=1.5, minutes=7, kinds=("share",), trials=3, rest="float32")
    assert shown_code(app) == budget_command(recipe, trained.id)
    assert written_address(app) == settings


@pytest.mark.parametrize(
    "recipe",
    [
        BudgetRecipe(bytes=20_001, minutes=3, kinds=("round",), images=64, device="cpu"),
        BudgetRecipe(lose=2, tuning_epochs=0, seed=7, batch_size=64, lr=0.003),
        BudgetRecipe(faster=2.5, minutes=9, tuning_epochs=1),
        BudgetRecipe(layers=MIXED, tuning_epochs=1),
    ],
    ids=str,
)
def test_a_run_is_duplicated_with_all_its_settings(recipe, app, trained, store):
    run = store.create(recipe, parent=trained.id)
    opened(app, **{"from": run.id})
    assert shown_code(app) == budget_command(recipe, trained.id)


def test_a_limit_of_time_hides_what_has_no_meaning_then(app, trained):
    limit(opened(app), "faster")
    assert not app.exception
    assert shown_code(app) == budget_command(BudgetRecipe(faster=1.5), trained.id)
    assert figures(app)["Limit"] == ("1.5× faster", "in float, here")
    assert "Smallest file there is" not in figures(app)
    hidden = {"budget_kinds", "budget_images", "budget_trials"}
    assert not hidden & {widget.key for widget in [*app.number_input, *app.button_group]}
    number(app, "faster").set_value(3.0).run()
    assert shown_code(app) == budget_command(BudgetRecipe(faster=3), trained.id)
    limit(app, "smaller")
    assert number(app, "images").value is None


def test_only_a_budget_run_can_be_duplicated(app, trained):
    opened(app, **{"from": trained.id})
    assert "did not fit a budget" in app.error[0].value


def test_a_click_creates_the_run_and_opens_its_page(app, trained, store, spawned):
    opened(app).button(key="budget").click().run()
    assert not app.exception
    (run,) = [run for run in store.list() if run.id != trained.id]
    assert run.recipe == BudgetRecipe(smaller=8)
    assert run.config.parent == trained.id
    assert spawned == [run.id]
    assert app.title[0].value == plain("budget: 8x smaller")


def test_the_halves_have_all_images():
    assert "A of the test images (3) decides" in describe_halves(BudgetRecipe(lose=1), 5)
    assert "B of the test images (2) reports" in describe_halves(BudgetRecipe(smaller=2), 5)
    assert round_bytes(20_668.7) == 21_000


# -- the run --


@pytest.fixture
def searched(trained, store):
    """A finished search within 10,000 bytes."""
    run = store.create(BudgetRecipe(bytes=10_000), parent=trained.id)
    add(run, EVENTS)
    summary = summary_of(
        run,
        epochs=2,
        test_accuracy=0.85,
        parent_accuracy=0.9,
        test_half="B",
        test_images=180,
        classes=10,
        float_bytes=FLOAT_BYTES,
        packed_bytes=9100,
        lost_interval=(1.0, 9.0),
    )
    changes = {"state": "finished", "test_accuracy": 0.85, "summary": summary}
    write_status(run.path, run.status.model_copy(update=changes))
    return run


def add(run, events):
    (run.path / "events.jsonl").write_bytes(to_lines([event.to_dict() for event in events]))


def test_a_finished_run_says_what_it_lost_on_which_half_and_that_the_limit_is_kept(app, searched):
    opened(app, "runs", run=searched.id)
    assert figures(app) == {
        "Accuracy, half B": ("85.00%", "of 180 images"),
        "Float network, half B": ("90.00%", "of the same images"),
        "Lost": ("5.00 points", "95%: 1.00 to 9.00"),
        "Packed file": ("9.1 kB", "float: 248.0 kB"),
        "Smaller by": ("27.3×", "on disk"),
        "Limit": ("kept", "900 bytes to spare"),
    }
    assert "The limit is kept, with 900 bytes to spare" in app.success[0].value
    rows = frontier(app)[1]["tried"]
    assert [row["bytes"] for row in rows if row["chosen"]] == [9100]
    assert candidates(app).value == 3


@pytest.mark.parametrize(
    ("lost", "most_lost", "value", "note", "words"),
    [
        (0.25, 0.375, "kept", "0.12 points to spare", "keeps the limit of 0.5 points"),
        (0.25, 0.75, "not certain", "by 0.25 points", "ends 0.25 points above it"),
        (0.75, 1.0, "missed", "missed by 0.25 points", "No candidate kept the limit of 0.5"),
    ],
)
def test_a_limit_of_accuracy_is_kept_or_missed_on_half_a(
    lost, most_lost, value, note, words, app, searched, store
):
    recipe = BudgetRecipe(lose=0.5)
    run = store.create(recipe, parent=searched.config.parent)
    made = Candidate(9100, 0.02, CLUSTERS, epochs=2, lost=lost, most_lost=most_lost)
    add(run, [made])
    status = store.get(searched.id).status
    write_status(run.path, status)
    opened(app, "runs", run=run.id)
    assert figures(app)["Limit"] == (value, note)
    # The summary's loss on half B is 5 points.
    assert words in app.warning[0].value
    assert "On half B, which only reports, it loses 5.00 points." in app.warning[0].value
    assert not app.success
    assert frontier(app)[1]["limit"] == [{"cost": 0.5}]
    app.button_group(key=f"frontier_cost_{run.id}").set_value("divergence").run()
    assert frontier(app)[1]["limit"] == []


def test_another_candidate_is_picked_and_taken(app, searched, trained):
    opened(app, "runs", run=searched.id)
    candidates(app).set_value(2).run()
    table = next(frame.value for frame in app.dataframe if "choice" in frame.value)
    assert table["choice"].tolist() == ["4 bits", "5 clusters", "5 clusters"]
    assert table["weights"].tolist() == [450, 2400, 840]
    assert table["least_damage"].tolist() == [0.5] * 3
    assert app.button(key="choice_in_quantize").disabled  # it mixes clusters and bits
    assert "This choice mixes them" in texts(app)
    app.button(key="take_choice").click().run()
    assert app.title[0].value == "Budget"
    assert shown_code(app) == budget_command(BudgetRecipe(layers=MIXED), trained.id)
    assert "The choice for each layer is made" in texts(app)
    assert "Limit" not in figures(app)
    app.switch_page("pages/budget.py").run()  # AppTest does not stay where a page leads to
    app.button(key="search_instead").click().run()
    assert shown_code(app) == budget_command(BudgetRecipe(smaller=8), trained.id)


def test_a_choice_of_clusters_opens_in_quantize(app, searched, trained):
    opened(app, "runs", run=searched.id)
    app.button(key="choice_in_quantize").click().run()
    assert app.title[0].value == "Quantize"
    assert all(f"{name}=5" in shown_code(app) for name in NAMES)
    bits = {"a": {"bits": 4.0}}
    assert quantize_address("p", bits, "bits") == {"run": "p", "method": "affine", "layers": "a:4"}


def test_an_address_with_a_choice_that_cannot_be(app, trained):
    opened(app, run=trained.id, layers=f"{NAMES[0]}:5x")
    assert "takes 5c for 5 clusters" in texts(app).replace("\\", "")
    assert "--smaller 8" in shown_code(app)


@pytest.mark.parametrize(
    ("layers", "sentence"),
    [("nothing.weight:5c", "is not a weight that can be"), (f"{NAMES[0]}:1c", "2 to 256 clusters")],
)
def test_a_choice_that_does_not_fit_is_refused(layers, sentence, app, trained):
    opened(app, run=trained.id, layers=layers)
    assert sentence in app.error[0].value.replace("\\", "")
    assert app.button(key="budget").disabled


def test_a_choice_is_left_behind_with_its_model(app, trained, store, content):
    other = sample_run(store, name="other", recipe=DENSE)
    (other.path / MODEL).write_bytes(content)
    opened(app, run=trained.id, layers=f"{NAMES[0]}:5c")
    assert "--layers" in shown_code(app)
    app.selectbox(key="run").set_value(other.id).run()
    assert shown_code(app) == budget_command(BudgetRecipe(smaller=8), other.id)


def test_a_running_search_shows_its_best_and_grows(app, trained, store):
    run = store.create(BudgetRecipe(bytes=9050), parent=trained.id)
    write_status(run.path, run.status.model_copy(update={"state": "running"}))
    with FileLock(run.path / "lock"):
        opened(app, "runs", run=run.id)
        assert len(app.get("skeleton")) == 1
        add(run, EVENTS)
        app.run()
        assert figures(app)["Best so far"] == ("9.0 kB", "9,000 of 9,050 bytes")
        assert figures(app)["KL divergence"] == ("0.0300 nats", "not tuned")
        assert figures(app)["Candidates"] == ("3", "tried together")
        spec, data = frontier(app)
        more = Candidate(8000, 0.01, CLUSTERS)
        add(run, [*EVENTS, EVENTS[-1], more])  # one is told twice after a kill
        app.run()
    assert len(data["tried"]) == 3
    assert len(frontier(app)[1]["tried"]) == 4
    assert frontier(app)[0] == spec  # so that the browser moves the points
    assert figures(app)["Best so far"] == ("8.0 kB", "8,000 of 9,050 bytes")
    assert "Candidate **4: 8,000 bytes · 0.0100 nats**" in texts(app)


def test_a_cancelled_search_offers_the_best_so_far(app, trained, store):
    run = store.create(BudgetRecipe(bytes=10_000), parent=trained.id)
    add(run, EVENTS)
    (run.path / PACKED).write_bytes(bytes(9100))
    changes = {"state": "cancelled", "message": "Cancelled."}
    write_status(run.path, run.status.model_copy(update=changes))
    opened(app, "runs", run=run.id)
    said = app.warning[0].value
    assert "**Packed** is the best so far: 9,100 bytes, KL divergence 0.0200 nats" in said
    assert "continues the search" in said
    assert app.get("download_button")[0].label == "Packed (9.1 kB)"
    (run.path / PACKED).unlink()
    app.run()
    assert "Candidates that were tried: 3. None of them is kept as a file" in app.warning[0].value


def test_a_run_whose_parent_is_gone_still_shows_its_search(app, searched, trained, store):
    store.delete(trained.id)
    opened(app, "runs", run=searched.id)
    assert figures(app)["Limit"] == ("kept", "900 bytes to spare")
    assert candidates(app).value == 3


def test_a_trained_network_offers_a_budget(app, trained):
    opened(app, "runs", run=trained.id)
    app.button(key="fit_budget").click().run()
    assert app.title[0].value == "Budget"
    assert app.selectbox(key="run").value == trained.id


# -- a limit of time --


@pytest.mark.parametrize(
    ("faster", "words", "sentence"),
    [
        (2.0, "kept", "The limit of 2x is kept: 2.25x (95% 2.12 to 2.38), 0.35 ms -> 0.16 ms."),
        (2.2, "not certain", "The limit of 2.2x is not certain: 2.25x (95% 2.12 to 2.38)"),
        (3.0, "missed", "The limit of 3x is missed by 0.75x: 2.25x (95% 2.12 to 2.38)"),
    ],
)
def test_a_run_says_whether_it_became_so_much_faster(faster, words, sentence, app, searched, store):
    run = store.create(BudgetRecipe(faster=faster), parent=searched.config.parent)
    add(
        run,
        [
            ThinnedCandidate("channel-snip", 0.05, 0.5, 0.35, 0.1, 3.5, 3.25, 3.75),
            ThinnedCandidate("channel-snip", 0.2, 0.1, 0.35, 0.16, 2.25, 2.125, 2.375, epochs=2),
        ],
    )
    speeds = {
        "speedup": 2.25,
        "speedup_interval": (2.125, 2.375),
        "milliseconds": 0.16,
        "parent_milliseconds": 0.35,
    }
    summary = store.get(searched.id).status.summary.model_copy(update=speeds)
    write_status(run.path, run.status.model_copy(update={"state": "finished", "summary": summary}))
    opened(app, "runs", run=run.id)
    shown_figures = figures(app)
    assert shown_figures["Times faster"] == ("2.25×", "95%: 2.12 to 2.38")
    assert shown_figures["An image takes"] == ("0.16 ms", "before: 0.35 ms")
    assert shown_figures["Limit"] == (words, f"{faster:g}× faster")
    said = app.success if words == "kept" else app.warning
    assert sentence in said[0].value
    _, tables = frontier(app)
    assert [row["number"] for row in tables["tried"] if row["chosen"]] == [2]
    assert "simulated" not in texts(app).lower()


def test_a_search_for_speed_shows_its_best_while_it_works(app, trained, store):
    run = store.create(BudgetRecipe(faster=2), parent=trained.id)
    add(run, [ThinnedCandidate("channel-snip", 0.05, 0.5, 0.35, 0.1, 3.5, 3.25, 3.75)])
    opened(app, "runs", run=run.id)
    assert figures(app)["Best so far"] == ("3.50×", "95%: 3.25 to 3.75")
