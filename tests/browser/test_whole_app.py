"""Checks every page in a real browser: history, requests, console and contrast."""

import json
import re
from urllib.parse import urlsplit

import pytest
import torch

from core.config import KMeansRecipe
from core.models import build, saved
from core.runs.run import MODEL
from tests import chromium as browser
from tests.chromium import PATIENCE, expect, go_to, settled
from tests.sample_runs import CARD, sample_run
from tests.waiting import until

PAGES = ["Train", "Prune", "Quantize", "Activations", "Kernels", "Weights", "Runs"]
pytestmark = browser.needs_chromium

# The contrast of the text of an element with what is behind it, as WCAG 2 defines it.
CONTRAST = """element => {
  const context = document.createElement("canvas").getContext("2d")
  const parse = text => {
    context.clearRect(0, 0, 1, 1)
    context.fillStyle = text
    context.fillRect(0, 0, 1, 1)
    return [...context.getImageData(0, 0, 1, 1).data]
  }
  const layers = []
  for (let each = element; each; each = each.parentElement)
    layers.unshift(parse(getComputedStyle(each).backgroundColor))
  const over = (below, [r, g, b, alpha]) =>
    [r, g, b].map((value, i) => (value * alpha + below[i] * (255 - alpha)) / 255)
  const luminance = colour => {
    const [r, g, b] = colour.map(value => {
      const share = value / 255
      return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4
    })
    return 0.2126 * r + 0.7152 * g + 0.0722 * b
  }
  const behind = layers.reduce(over, [255, 255, 255])
  const background = luminance(behind)
  const text = luminance(over(behind, parse(getComputedStyle(element).color)))
  return (Math.max(background, text) + 0.05) / (Math.min(background, text) + 0.05)
}"""


@pytest.fixture(scope="module")
def two_models(runs):
    """A model and a child of it, with weights that can be read."""
    torch.manual_seed(0)
    content = saved.model_bytes(build("LeNet5", 10).state_dict(), CARD)
    parent = sample_run(runs, name="Parent")
    child = runs.create(KMeansRecipe(), "Child", parent=parent.id)
    status = json.loads((parent.path / "status.json").read_text())
    (child.path / "status.json").write_text(json.dumps(status | {"id": child.id}))
    for run in (parent, child):
        (run.path / MODEL).write_bytes(content)
    return parent, child


def open_page(page, name):
    go_to(page, name)
    has_opened(page, name)


def has_opened(page, name):
    expect(page.get_by_role("heading", level=1)).to_have_text([name])
    settled(page)


def watch_traffic(page, address):
    """Watch the requests and the console of a page. Return a function that checks them at the end:
    only the app was asked, and nothing warned.
    """
    hosts = set()
    warnings = []
    page.on("request", lambda request: hosts.add(urlsplit(request.url).netloc))
    page.on("console", lambda message: warnings.append(message.text))

    def check():
        assert hosts - {""} == {urlsplit(address).netloc}
        assert [text for text in warnings if text.startswith("WARN")] == []

    return check


def has_settings(page, *settings):
    """Wait until the address names exactly these settings."""
    page.wait_for_url(lambda url: sorted(urlsplit(url).query.split("&")) == sorted(settings))


def toggle(page, label):
    switch = page.get_by_text(label, exact=True)
    expect(switch).to_have_count(1)  # one of the choice before may still be shown
    switch.click()


def change_settings(page, name):
    """Change two settings of a page. Return what the address names then."""
    if name == "Train":
        page.get_by_text("cosine", exact=True).click()
        has_settings(page, "schedule=cosine")
        toggle(page, "Layerwise: the same density in every layer")
        return ["schedule=cosine", "layerwise=true"]
    if name == "Prune":
        page.get_by_text("Layerwise", exact=True).click()
        has_settings(page, "prune_layer_densities=layerwise")
        toggle(page, "Spare the last layer")
        return ["prune_layer_densities=layerwise", "prune_spare_last=true"]
    if name == "Quantize":
        page.get_by_text("Round to bits (affine)", exact=True).click()
        has_settings(page, "method=affine")
        toggle(page, "BatchNorm weights too")
        return ["method=affine", "affine_batchnorm=true"]
    if name == "Kernels":
        page.get_by_role("button", name="Next", exact=True).click()
        has_settings(page, "layer=features.3.weight")
        toggle(page, "Mask")
        return ["layer=features.3.weight", "mask=true"]
    if name == "Weights":
        page.get_by_text("Scatter", exact=True).click()
        has_settings(page, "plot=Scatter")
        toggle(page, "Log scale")
        return ["plot=Scatter", "log=false"]
    return [""]


def test_each_visit_of_a_page_is_one_step_back(tab, address, two_models):
    page = tab(address)
    check_traffic = watch_traffic(page, address)
    has_opened(page, "Secateur")
    settings = {}
    for name in PAGES:
        open_page(page, name)
        has_settings(page, "")  # a default is not in the address
        settings[name] = change_settings(page, name)
        has_settings(page, *settings[name])
    for name in reversed(PAGES[:-1]):
        page.go_back()
        has_opened(page, name)
        has_settings(page, *settings[name])
    page.go_back()
    has_opened(page, "Secateur")
    check_traffic()


def test_a_visit_that_brings_settings_back_is_one_step_too(tab, address, two_models):
    page = tab(address)
    open_page(page, "Train")
    settings = change_settings(page, "Train")
    has_settings(page, *settings)
    open_page(page, "Runs")
    open_page(page, "Train")
    has_settings(page, *settings)
    page.go_back()
    has_opened(page, "Runs")
    page.go_back()
    has_opened(page, "Train")
    has_settings(page, *settings)


def test_a_link_and_a_refresh_open_with_the_settings(tab, address, two_models):
    parent, child = two_models
    page = tab(f"{address}/kernels?a={child.id}&b={parent.id}&layer=features.3.weight&mask=true")
    for _ in range(2):
        has_opened(page, "Kernels")
        expect(page.get_by_role("switch", name="Mask")).to_be_checked()
        assert "layer=features.3.weight" in page.url
        page.reload()


def test_a_run_from_the_list_is_one_step_back(tab, address, two_models):
    parent, _ = two_models
    page = tab(f"{address}/runs?run={parent.id}")
    has_opened(page, "Parent")
    page.get_by_role("button", name="Quantize", exact=True).click()
    has_opened(page, "Quantize")
    page.go_back()
    page.wait_for_url(re.compile(parent.id))
    has_opened(page, "Parent")


def draw_preview(page):
    """Wait for the chart of the preview, which the server may still know from another test."""
    chart = page.get_by_test_id("stVegaLiteChart")
    button = page.get_by_role("button", name="Preview", exact=True)
    expect(chart.or_(button)).to_be_visible(timeout=PATIENCE)
    if button.is_visible():
        button.click()
    expect(chart).to_be_visible(timeout=PATIENCE)


@pytest.mark.parametrize(
    ("scheme", "pages"),
    [("light", [""]), pytest.param("dark", ["", *PAGES], marks=pytest.mark.slow)],
)
def test_no_page_asks_a_foreign_host_or_warns(chromium, address, two_models, scheme, pages):
    """The test that visits each page watches the same, in light colours."""
    parent, child = two_models
    page = chromium.new_page(color_scheme=scheme, **browser.STILL)
    check_traffic = watch_traffic(page, address)
    paths = [*map(str.lower, pages), "train", "kernels?layer=all"]
    paths += [f"runs?run={run.id}" for run in (parent, child)]
    for path in paths:
        page.goto(f"{address}/{path}")
        expect(page.get_by_role("heading", level=1)).to_have_count(1, timeout=PATIENCE)
        expect(
            page.locator("[data-testid=stApp][data-test-script-state=notRunning]")
        ).to_be_visible(timeout=PATIENCE)
        if path == "train":
            draw_preview(page)
    page.close()
    check_traffic()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_chosen_segment_and_the_main_button_can_be_read(chromium, address, scheme):
    page = chromium.new_page(color_scheme=scheme, **browser.STILL)
    page.goto(f"{address}/train")
    chosen = page.locator("[data-testid=stButtonGroup] [aria-checked=true]:visible")
    until(lambda: chosen.count() >= 2)
    for index in range(chosen.count()):
        assert chosen.nth(index).locator("p").evaluate(CONTRAST) >= 4.5
    main = page.get_by_role("button", name="Start training").locator("p")
    assert main.evaluate(CONTRAST) >= 4.5
    page.close()


def test_a_narrow_screen_shows_the_runs_as_cards(chromium, address, two_models):
    parent, _ = two_models
    page = chromium.new_page(viewport={"width": 390, "height": 844}, **browser.STILL)
    page.goto(f"{address}/runs")
    card = page.locator(f".st-key-card-{parent.id}")
    expect(card).to_be_visible(timeout=PATIENCE)
    expect(page.get_by_test_id("stDataFrame")).to_be_hidden()
    text = card.inner_text()
    assert text.index("90.00%") < text.index(parent.id)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390

    page.set_viewport_size({"width": 1280, "height": 900})
    expect(page.get_by_test_id("stDataFrame")).to_be_visible()
    expect(card).to_be_hidden()

    page.set_viewport_size({"width": 390, "height": 844})
    card.get_by_role("link", name="Parent", exact=True).click()
    has_opened(page, "Parent")
    page.close()
