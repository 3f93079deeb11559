"""The activations page in a browser: a photograph in two models, and a training live."""

import re

import pytest
from sklearn.datasets import load_sample_image

from core.config import KMeansRecipe, Prune, TrainRecipe
from core.runs import launch
from core.runs.worker import work
from tests import chromium as browser
from tests.chromium import expect, go_to
from tests.waiting import until

pytestmark = browser.needs_chromium


# Looks at every picture of the page in every frame that the browser draws, and counts the pictures
# that show nothing, and the addresses that each one has had.
WATCH_PICTURES = """
() => {
  const all = root => [...root.querySelectorAll("*")].flatMap(one => [
    ...(one.shadowRoot ? all(one.shadowRoot) : []),
    ...(one.localName === "img" ? [one] : []),
  ])
  window.watched = { samples: 0, empty: 0, missing: 0, sources: {} }
  let most = 0
  const look = () => {
    const images = all(document).filter(image => /dead$|^Channel|kernel/.test(image.alt))
    most = Math.max(most, images.length)
    if (images.length < most) window.watched.missing += 1
    for (const image of images) {
      window.watched.samples += 1
      if (!image.src || !image.complete || !image.naturalWidth) window.watched.empty += 1
      const name = image.alt.split(":")[0]
      const sources = (window.watched.sources[name] ??= [])
      if (!sources.includes(image.src.length + image.src.slice(-400))) {
        sources.push(image.src.length + image.src.slice(-400))
      }
    }
    requestAnimationFrame(look)
  }
  look()
}
"""
UPDATES = 8  # of the pictures of a training, until the watch ends


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
    child = runs.create(
        KMeansRecipe(rounding="nearest", epochs=0, device="cpu"), "Quantized", parent=parent.id
    )
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
    return page.locator("img[alt$=' dead']")


def test_an_uploaded_photograph_is_shown_in_both_models_and_kept(tab, address, trained, photograph):
    parent, child = trained
    page = tab(f"{address}/activations?a={parent.id}&b={child.id}&picture=Upload")
    page.locator("input[type=file]").set_input_files(photograph)
    expect(page.locator(".st-key-kept")).to_contain_text("china")
    expect(page.locator(".st-key-prepared")).to_contain_text("640")
    expect(page.get_by_text("trained on handwritten digits")).to_be_visible()
    expect(pictures(page)).to_have_count(2)
    go_to(page, "Runs")
    expect(page.get_by_role("heading", name="Runs")).to_be_visible()
    go_to(page, "Activations")
    expect(page.locator(".st-key-kept")).to_contain_text("china")
    expect(pictures(page)).to_have_count(2)
    expect(page.get_by_test_id("stException")).to_have_count(0)


def test_a_channel_is_chosen_by_a_click_and_by_the_arrow_keys(tab, address, trained):
    parent, child = trained
    page = tab(f"{address}/activations?a={parent.id}&b={child.id}&layer=features.4")
    expect(pictures(page)).to_have_count(2)
    mosaic = page.locator(".frame", has=pictures(page)).first
    box = mosaic.bounding_box()
    mosaic.click(position={"x": box["width"] - 5, "y": 5})  # the last tile of the first row
    number = page.locator(".st-key-channel input")
    expect(number).not_to_have_value("0")
    channel = int(number.input_value())
    expect(page.locator("img[alt^='Channel']").first).to_have_attribute(
        "alt", f"Channel {channel}, A"
    )
    mosaic.press("ArrowLeft")
    expect(number).to_have_value(str(channel - 1))


def test_a_click_on_a_point_opens_its_layer(tab, address, trained):
    parent, child = trained
    page = tab(f"{address}/activations?a={parent.id}&b={child.id}&view=Where+they+part")
    chart = page.locator(".st-key-parting .vega-embed")
    box = chart.bounding_box()
    chart.click(position={"x": 0.37 * box["width"], "y": 0.3 * box["height"]})
    expect(pictures(page)).to_have_count(2)
    expect(page.locator("img[alt^='features.4 A']")).to_be_visible()
    expect(page).to_have_url(re.compile("layer=features.4"))


def test_three_models_fit_two_screens(tab, address, trained, runs, digits):
    parent, child = trained
    other = runs.create(
        KMeansRecipe(clusters=8, rounding="nearest", epochs=0, device="cpu"),
        "Finer",
        parent=parent.id,
    )
    _finish(runs, other, digits)
    page = tab(f"{address}/activations?a={parent.id}&b={child.id}&c={other.id}")
    expect(pictures(page)).to_have_count(3)
    expect(page.locator("img[alt^='The kernel']")).to_have_count(3)
    height = page.get_by_test_id("stMain").evaluate("main => main.scrollHeight")
    assert height < 2000


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
        page = tab(f"{address}/activations?of=Training&training={run.id}&layer=features.1")
        expect(pictures(page)).to_have_count(1)
        expect(page.locator("img[alt^='The kernel']")).to_have_count(1)
        page.evaluate(WATCH_PICTURES)
        page.wait_for_function(
            "count => Object.values(window.watched.sources).some(one => one.length > count)",
            arg=UPDATES,
        )  # nobody touched it
        watched = page.evaluate("window.watched")
        assert watched["samples"] > UPDATES
        assert (watched["empty"], watched["missing"]) == (0, 0)
        expect(page.get_by_text(re.compile(r"Watched, epoch \d+")).first).to_be_visible()
    finally:
        launch.cancel(run)
        until(lambda: not runs.get(run.id).active)
