"""The activations page in a browser: a photograph in two models, and a training live."""

import re

import pytest
from sklearn.datasets import load_sample_image

from core.config import KMeansRecipe, Prune, TrainRecipe
from core.runs import launch
from core.runs.worker import work
from tests import chromium as browser
from tests.chromium import expect
from tests.waiting import until

pytestmark = browser.needs_chromium

RELUS = 4  # of LeNet5, each with a picture for either model and one for the difference


@pytest.fixture(scope="module")
def trained(runs, digits):
    """A trained LeNet5 and its quantized version."""
    recipe = TrainRecipe(
        model="LeNet5",
        dataset="Digits",
        prune=Prune(density=0.2),
        epochs=2,
        batch_size=32,
        lr=0.05,
        device="cpu",
    )
    parent = runs.create(recipe, "Trained")
    _finish(runs, parent, digits)
    child = runs.create(KMeansRecipe(device="cpu"), "Quantized", parent=parent.id)
    _finish(runs, child, digits)
    return parent, child


def _finish(runs, run, data):
    for _ in work(run, data):
        pass
    assert runs.get(run.id).has_model


@pytest.fixture(scope="module")
def photograph(tmp_path_factory):
    """A real one, of 640 by 427 pixels."""
    from PIL import Image

    path = tmp_path_factory.mktemp("pictures") / "china.jpg"
    Image.fromarray(load_sample_image("china.jpg")).save(path)
    return path


def pictures(page):
    return page.locator("[data-testid=stImage] img[alt$=' dead']")


def test_an_uploaded_photograph_shows_all_relus_of_both_models(tab, address, trained, photograph):
    parent, child = trained
    page = tab(f"{address}/activations?a={parent.id}&b={child.id}&picture=Upload")
    page.locator("input[type=file]").set_input_files(photograph)
    expect(page.locator(".st-key-prepared")).to_contain_text("china")
    expect(page.locator(".st-key-prepared")).to_contain_text("640")
    expect(pictures(page)).to_have_count(3 * RELUS)
    assert all(
        width > 0
        for width in pictures(page).evaluate_all("found => found.map(one => one.naturalWidth)")
    )
    expect(page.get_by_test_id("stException")).to_have_count(0)


def test_a_training_is_watched_live(tab, address, runs, digits):
    recipe = TrainRecipe(
        model="LeNet5",
        dataset="Digits",
        prune=Prune(density=0.1),
        epochs=10_000,
        batch_size=32,
        lr=0.01,
        device="cpu",
    )
    run = launch.start(runs.create(recipe, "Watched"), digits)
    try:
        page = tab(f"{address}/activations?of=Training&training={run.id}")
        expect(pictures(page)).to_have_count(RELUS)
        answer = page.get_by_text(re.compile(r"Watched, epoch \d+"))
        first = answer.first.text_content()
        expect(answer.first).not_to_have_text(first)  # nobody touched it
        expect(pictures(page)).to_have_count(RELUS)
    finally:
        launch.cancel(run)
        until(lambda: not runs.get(run.id).active)
