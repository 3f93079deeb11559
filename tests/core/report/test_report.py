"""Reports of runs: what they tell, and that they load nothing and run nothing."""

import json
import re
import shlex
import tomllib
from html.parser import HTMLParser
from pathlib import Path

import pytest

from core.commands import quantize, train
from core.commands.command_of import command_of
from core.config import AffineRecipe, AnswersRecipe, KMeansRecipe, LatencyRecipe, Prune, TrainRecipe
from core.deploy.latency import Latencies, Latency
from core.deploy.latency_report import BatchReport, LatencyReport
from core.errors import UserError
from core.events import Quantized, QuantizedLayer
from core.models.card import ModelCard
from core.report.format.drawings import DARK_COLOURS, LIGHT_COLOURS
from core.report.report import write_report
from core.report.subject import MOST_REPORTED
from core.runs.run import LATENCY, MODEL, write_status
from core.runs.store import RunStore
from tests.sample_runs import sample_run

HOSTILE = '<script>alert("1")</script>\'"&amp;<img src=x onerror=y>{{7}} role="img"'
LAYER = "features.0.weight"


class Page(HTMLParser):
    """The parsed report. Fails for elements that are not closed, or in the wrong order."""

    def __init__(self, text):
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.headings: list[str] = []
        self.commands: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag in ("h2", "h3", "code"):
            {"code": self.commands}.get(tag, self.headings).append("")
        if tag != "meta":
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "style" in self.open:
            return
        self.words.append(data)
        if {"h2", "h3"} & {*self.open}:
            self.headings[-1] += data
        if "code" in self.open:
            self.commands[-1] += data

    @property
    def text(self):
        return " ".join(self.words)


def page_of(store, runs, **more):
    return Page(write_report(store, [run.id for run in runs], command_of, **more))


def with_card(run):
    """Give the run a saved model that has nothing but a card, of this network."""
    card = ModelCard(
        model=run.model,
        dataset=run.dataset,
        classes=tuple("0123456789"),
        mean=(0.31, 0.31, 0.31),
        std=(0.35, 0.35, 0.35),
        side=32,
        recipes=(run.recipe.model_dump(),),
    )
    header = json.dumps({"__metadata__": {"secateur": card.model_dump_json()}}).encode()
    (run.path / MODEL).write_bytes(len(header).to_bytes(8, "little") + header)
    return run


def quantized_run(store, parent, recipe, **changes):
    run = store.create(recipe, parent=parent.id)
    layer = QuantizedLayer(weights=150, levels=5, bits=3, bytes=60, snr=17.5, pinned_zeros=50)
    event = Quantized({LAYER: layer})
    (run.path / "events.jsonl").write_text(json.dumps(event.to_dict()) + "\n")
    return run


@pytest.fixture(scope="module")
def shared_store(tmp_path_factory):
    return RunStore(tmp_path_factory.mktemp("report") / "runs")


@pytest.fixture(scope="module")
def runs(shared_store):
    """A pruned training, a dense one, and two quantizations of the first that wait."""
    store = shared_store
    pruned = with_card(sample_run(store, name="pruned"))
    dense_recipe = TrainRecipe(model="LeNet5", dataset="Digits", prune=None, epochs=4)
    dense = sample_run(store, recipe=dense_recipe, name="dense", accuracies=[0.9])
    shared = quantized_run(store, pruned, KMeansRecipe(clusters=5))
    rounded = quantized_run(store, pruned, AffineRecipe(bits=3, layers={LAYER: 8}))
    return [pruned, dense, shared, rounded]


@pytest.fixture(scope="module")
def written(shared_store, runs):
    """The report of all four."""
    return write_report(shared_store, [run.id for run in runs], command_of)


@pytest.fixture(scope="module")
def page(written):
    return Page(written)


@pytest.fixture(scope="module")
def quantized_page(shared_store, runs):
    """The report of one quantized run alone."""
    return page_of(shared_store, runs[2:3])


@pytest.fixture(scope="module")
def pruned_page(shared_store, runs):
    """The report of one training alone."""
    return page_of(shared_store, runs[:1])


# -- what it tells --


def test_a_report_has_all_sections_in_order(page):
    assert page.headings == [
        "Where the runs come from",
        "Accuracy and size",
        "Figures",
        "Settings that differ",
        "Curves",
        "Layers",
        "What is real, and what is simulated",
        "The runs",
        "1 · pruned",
        "2 · dense",
        "3 · 5 clusters",
        "4 · 3 bits",
        "What the settings mean",
        "Trained",
        "Clusters",
        "Bits",
        "Words",
    ]
    assert page.text.count("Report on 4 runs") == 2  # the document's title and its heading


def test_figures_have_units_intervals_and_numbers_of_images(page):
    text = page.text
    assert "90.00%" in text
    assert "86.5 to 92.7%" in text  # Wilson's interval of 324 of 360
    assert "360" in text
    assert "On disk (bytes)" in text
    assert "10%" in text  # density


def test_a_report_names_the_machine_the_version_and_the_date(page):
    text = page.text
    assert "Secateur 0." in text
    assert re.search(r"\d cores?", text)
    assert re.search(r"Python 3\.\d+", text)
    assert re.search(r"20\d\d-\d\d-\d\d \d\d:\d\d", text)


def test_ancestors_are_told_of_too_so_that_each_run_can_be_made_again(quantized_page):
    page = quantized_page
    assert page.headings.count("1 · pruned") == 1
    assert "ancestor of a run of this report" in page.text
    assert "1, and 1 of their ancestors" in page.text
    assert "Settings that differ" not in page.headings


def test_layers_and_the_model_card_are_tables_of_the_run(quantized_page):
    text = quantized_page.text
    assert re.search(r"features\.0\s+150\s+100\s+66\.7%\s+5\s+3\.20\s+60\s+17\.5", text)
    assert "32 × 32 pixels" in text
    assert "10: 0, 1, 2, 3, 4, 5, 6, 7, 8, 9" in text
    assert "There is no result with a card that can be read." in text


def test_it_says_that_quantization_is_simulated_only_if_there_is_one(page, pruned_page):
    assert "Quantization is simulated" in page.text
    assert "Quantization is simulated" not in pruned_page.text


def test_the_glossary_has_the_words_that_are_used_and_no_others(pruned_page):
    text = pruned_page.text
    words = text[text.rindex("Words") :]
    assert "the fraction of the prunable weights that is kept" in words
    assert "Grad-CAM" not in words


def test_measured_speeds_are_told_of(store):
    run = sample_run(store)
    assert "Speed of the networks: not measured." in page_of(store, [run]).text
    calls = {"median": 2.0, "best": 1.5, "p25": 1.9, "p75": 2.2, "p95": 3.0}
    eager = Latency(**calls, speedup=1, low=1, high=1)
    onnx = Latency(**calls, speedup=1.75, low=1.6, high=1.9)
    latencies = Latencies(
        variants={"eager": eager, "onnx": onnx}, rounds=20, device="cpu", threads=1
    )
    report = LatencyReport(
        model="LeNet5",
        dataset="Digits",
        int8_source="",
        processor="a processor",
        versions={},
        batches=[BatchReport(batch=32, latencies=latencies)],
    )
    measurement = store.create(LatencyRecipe(), parent=run.id)
    (measurement.path / LATENCY).write_text(report.model_dump_json())
    write_status(measurement.path, measurement.status.model_copy(update={"state": "finished"}))
    text = page_of(store, [run]).text
    assert re.search(r"ONNX Runtime, float\s+32\s+2\.00\s+1\.90 to 2\.20\s+1\.75\s+1\.60 to", text)
    assert "measured for 1 of 1 runs" in text
    assert "a processor" in text


def test_runs_on_different_data_sets_are_warned_of(store, page):
    other = TrainRecipe(model="LeNet5", dataset="CIFAR10", prune=None, epochs=4)
    mixed = page_of(store, [sample_run(store), sample_run(store, recipe=other)])
    assert "accuracies on different images cannot be compared" in mixed.text
    assert "cannot be compared" not in page.text


def test_many_runs_are_listed_as_a_tree_instead_of_a_map(store):
    runs = [sample_run(store, done=1, name=f"run {number}") for number in range(40)]
    runs.append(store.create(AffineRecipe(bits=3), parent=runs[7].id))
    page = page_of(store, runs)
    assert "Where 41 runs come from" not in page.text
    assert re.search(r"8 ·\s+run 7\s+: 60.00%\s+41 ·\s+3 bits\s+: no accuracy", page.text)


# -- commands --


def test_the_commands_are_those_of_the_runs(page, runs):
    commands = [shlex.split(command) for command in page.commands]
    assert [words[3] for words in commands] == ["train", "train", "quantize", "quantize"]
    for words, run in zip(commands[:2], runs[:2], strict=True):
        options = train._parser(train.PROGRAM).parse_args(words[4:])
        assert train.train_recipe(options) == run.recipe
    for words, run in zip(commands[2:], runs[2:], strict=True):
        options = quantize._parser().parse_args(words[4:])
        assert quantize.quantize_recipe(options) == run.recipe
        assert options.run == runs[0].id


# -- safety --


def test_names_are_text_and_never_elements(store):
    runs = [sample_run(store, name=HOSTILE), sample_run(store, name=HOSTILE, done=2)]
    page = page_of(store, runs, title=HOSTILE)
    tags = {tag for tag, _ in page.tags}
    assert not tags & {"script", "img", "iframe", "object", "embed", "link", "base", "form"}
    assert page.headings.count(f"1 · {runs[0].name} ({runs[0].id})") == 1
    assert page.words.count(HOSTILE) >= 2  # the document's title and its heading


def test_nothing_is_loaded_and_nothing_runs(written, page):
    text = written
    for _, attributes in page.tags:
        assert not [name for name in attributes if name.startswith("on")]
        assert attributes.keys().isdisjoint({"src", "srcset", "xlink:href", "action", "data"})
        assert (attributes.get("href") or "#").startswith("#")
    assert "://" not in text
    assert "@import" not in text
    assert not re.search(r"url\((?!#)", text)
    policy = [a for tag, a in page.tags if a.get("http-equiv") == "Content-Security-Policy"]
    assert str(policy[0]["content"]).startswith("default-src 'none'")


def test_links_and_references_lead_to_an_id_that_is_there_once(written, page):
    text = written
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    targets = re.findall(r'href="#([^"]+)"', text) + re.findall(r"url\(#([^)]+)\)", text)
    assert {*targets} <= {*ids}


# -- colours --


def test_charts_have_the_colours_of_the_apps_themes(written):
    config = Path(__file__).parents[3] / ".streamlit" / "config.toml"
    themes = tomllib.loads(config.read_text(encoding="utf-8"))["theme"]
    light = themes["light"]["chartCategoricalColors"]
    dark = themes["dark"]["chartCategoricalColors"]
    assert (tuple(light), tuple(dark)) == (LIGHT_COLOURS, DARK_COLOURS)
    for before, after in zip(light, dark, strict=True):
        assert f'svg [fill="{before}"] {{ fill: {after}; }}' in written
    assert f'stroke="{light[0]}"' in written


# -- limits --


def test_twenty_runs_of_many_epochs_are_less_than_three_megabytes(store):
    recipe = TrainRecipe(model="ResNet20", dataset="CIFAR10", prune=Prune(density=0.1), epochs=200)
    runs = []
    for number in range(20):
        run = sample_run(store, recipe=recipe, done=4, name=f"run {number}")
        lines = (run.path / "events.jsonl").read_text().splitlines()
        epochs = [json.loads(lines[-1]) | {"epoch": epoch} for epoch in range(1, 201)]
        layers = {f"layers.{layer}.weight": [100 + layer, 1000] for layer in range(60)}
        pruned = json.loads(lines[0]) | {"layers": layers}
        (run.path / "events.jsonl").write_text(
            "".join(json.dumps(event) + "\n" for event in [pruned, *epochs])
        )
        runs.append(run)
    text = write_report(store, [run.id for run in runs], command_of)
    assert len(text.encode()) < 3e6
    assert "Density of 45 layers of 20 runs" in text  # a chart of all would not fit on a page
    assert "Density of 15 layers of 20 runs" in text


@pytest.mark.parametrize(
    ("ids", "message"),
    [
        ([], "1 to 200 runs, got 0"),
        ([f"{number:010x}" for number in range(MOST_REPORTED + 1)], "1 to 200 runs, got 201"),
        (["0123456789"], "There is no run '0123456789'"),
        (["../secret"], "is not a run's id"),
    ],
)
def test_what_cannot_be_reported_is_said(store, ids, message):
    with pytest.raises(UserError, match=re.escape(message)):
        write_report(store, ids, command_of)


def test_a_run_that_only_measures_its_parent_is_refused(store):
    run = sample_run(store)
    answers = store.create(AnswersRecipe(), parent=run.id)
    with pytest.raises(UserError, match=f"only measures the network of {run.id}"):
        write_report(store, [answers.id], command_of)


def test_a_run_without_anything_can_be_reported(store):
    run = store.create(TrainRecipe(model="LeNet5", dataset="Digits"), "waiting")
    page = page_of(store, [run])
    assert "created, figures so far" in page.text
    assert "Curves" not in page.headings
