"""The pages in a real browser, with a real server and real workers."""

import re
from pathlib import Path

import pytest

from core.config import Prune, TrainRecipe
from core.runs import launch
from core.runs.store import RunStore
from tests import chromium as browser
from tests.chromium import expect, has_navigation, is_in_state
from tests.sample_runs import sample_run
from tests.waiting import until

ENDLESS = TrainRecipe(
    model="LeNet5",
    dataset="Digits",
    prune=Prune(density=0.1),
    epochs=10_000,
    batch_size=32,
    lr=0.01,
)
pytestmark = browser.needs_chromium


@pytest.fixture
def endless(runs, data_home):
    """A run that works until the test is over."""
    run = launch.start(runs.create(ENDLESS, "Endless"), data_home)
    yield run
    launch.cancel(run)
    until(lambda: not runs.get(run.id).active)


def training(page):
    """Wait until the page shows an epoch that is over."""
    expect(page.locator(".st-key-figures")).to_contain_text(re.compile(r"[1-9]\d* / 10000"))


@pytest.mark.parametrize(
    ("path", "title"),
    [
        ("", "Secateur"),
        pytest.param("train", "Train", marks=pytest.mark.slow),
        pytest.param("runs", "Runs", marks=pytest.mark.slow),
    ],
)
def test_a_cold_link_opens_its_page_with_the_navigation(path, title, tab, tmp_path, data_home):
    with browser.serving(tmp_path / "runs", data_home) as address:
        page = tab(f"{address}/{path}")
        expect(page.get_by_role("heading", level=1)).to_have_text([title])
        has_navigation(page)


def test_a_cold_link_to_a_run_keeps_its_query(tab, tmp_path, data_home):
    run = sample_run(RunStore(tmp_path / "runs"), name="Shared by link")
    with browser.serving(tmp_path / "runs", data_home) as address:
        page = tab(f"{address}/runs?run={run.id}")
        expect(page.get_by_role("heading", level=1)).to_have_text(["Shared by link"])
        has_navigation(page)


def test_the_quick_tour_from_click_to_result(tab, address, runs):
    before = {run.id for run in runs.list()}
    page = tab(address)
    page.get_by_role("button", name="Quick tour").dblclick()
    expect(page.get_by_role("heading", level=1)).to_have_text(["Tour"])
    expect(page.get_by_role("button", name="Next")).to_be_enabled()
    page.get_by_role("link", name="Tour: pruned").click()
    is_in_state(page, "finished")
    expect(page.get_by_test_id("stAlert")).to_contain_text(
        re.compile(r"6,177 of its 61,770 weights and gets 9[5-9]")
    )
    run, _ = [run for run in runs.list() if run.id not in before]  # two clicks, two trainings
    assert run.id in page.url
    with page.expect_download() as download:
        page.get_by_role("button", name=re.compile(r"Weights \(")).click()
    assert download.value.suggested_filename == f"LeNet5-Digits-0.1-{run.id}.safetensors"
    assert Path(download.value.path()).read_bytes() == (run.path / "model.safetensors").read_bytes()


def test_live_charts_move_without_being_drawn_anew_and_cancel_in_two_tabs(
    tab, address, endless, runs
):
    url = f"{address}/runs?run={endless.id}"
    first = tab(url)
    training(first)
    chart = first.locator("[data-testid=stVegaLiteChart] :is(svg, canvas)").first
    expect(chart).to_be_visible()
    drawing = chart.element_handle()
    shown = first.locator(".st-key-figures").inner_text()
    expect(first.locator(".st-key-figures")).not_to_have_text(shown, use_inner_text=True)
    assert drawing.evaluate("element => element.isConnected")

    first.reload()
    training(first)
    second = tab(url)
    training(second)
    first.get_by_role("button", name="Cancel").click()
    for page in (first, second):
        is_in_state(page, "cancelled")
        expect(page.get_by_role("button", name="Resume")).to_be_visible()
    assert runs.get(endless.id).state == "cancelled"


def test_training_goes_on_without_a_browser_and_without_a_server(tab, endless, runs, data_home):
    with browser.serving(runs.root, data_home) as address:
        page = tab(f"{address}/runs?run={endless.id}")
        training(page)
        page.close()
    epoch = runs.get(endless.id).status.epoch
    until(lambda: runs.get(endless.id).status.epoch > epoch)
    with browser.serving(runs.root, data_home) as address:
        training(tab(f"{address}/runs?run={endless.id}"))


def test_a_row_of_the_table_opens_its_run(tab, address, runs):
    run = sample_run(runs, name="The newest of all")
    page = tab(f"{address}/runs")
    table = page.get_by_test_id("stDataFrame")
    expect(table).to_be_visible()
    table.click(position={"x": 250, "y": 52})  # a cell of the first row: the newest run
    expect(page.get_by_role("heading", level=1)).to_have_text([run.name])
    assert page.url.endswith(f"run={run.id}")
    page.locator(".st-key-back button").click()
    expect(page.get_by_role("heading", level=1)).to_have_text(["Runs"])


def test_a_name_is_shown_as_it_was_typed(tab, address, runs):
    name = "**a** _b_ $c$ :red[d] <b>e</b> ![f](http://127.0.0.1/f.png) 5% · g-h"
    page = tab(f"{address}/runs?run={sample_run(runs, name=name).id}")
    expect(page.get_by_role("heading", level=1)).to_have_text([name])


def test_an_unknown_run_is_a_sentence(tab, address):
    page = tab(f"{address}/runs?run=0123456789")
    expect(page.get_by_test_id("stAlert")).to_contain_text("There is no run '0123456789'")
    has_navigation(page)


def test_delete_and_undo(tab, address, runs):
    run = sample_run(runs, name="Thrown away too early")
    page = tab(f"{address}/runs?run={run.id}")
    page.get_by_role("button", name="More", exact=True).click()
    page.get_by_role("button", name="Delete").click()
    page.get_by_role("button", name="Undo").click()
    expect(page.get_by_role("button", name="Undo")).to_be_hidden()
    assert runs.get(run.id).name == run.name


def test_a_narrow_screen_shows_everything_within_its_width(chromium, address, runs):
    run = sample_run(runs)
    page = chromium.new_page(viewport={"width": 400, "height": 800}, **browser.STILL)
    for path in ("", "runs", f"runs?run={run.id}"):
        page.goto(f"{address}/{path}")
        expect(page.get_by_role("heading", level=1)).to_have_count(1)
        assert page.evaluate("document.documentElement.scrollWidth") <= 400
    page.close()


def test_duplicate_and_launch_from_the_train_page(tab, address, runs):
    source = sample_run(runs, name="The one before", recipe=ENDLESS)
    page = tab(f"{address}/runs?run={source.id}")
    page.get_by_role("button", name="More", exact=True).click()
    page.get_by_role("button", name="Duplicate with changes").click()
    expect(page.get_by_role("heading", level=1)).to_have_text(["Train"])
    page.get_by_role("button", name="Start training").dblclick()
    is_in_state(page, "running")
    training(page)
    run = runs.list()[0]
    assert run.id in page.url
    assert run.recipe == ENDLESS
    page.get_by_role("button", name="Cancel").click()
    is_in_state(page, "cancelled")
    newest = [item.id for item in runs.list() if item.config.created >= run.config.created]
    assert newest == [run.id]  # two clicks, one run
