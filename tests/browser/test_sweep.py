"""From a sweep to what changed in the answers, in a browser."""

import re

from core.runs.sweeps.store import SweepStore
from tests import chromium as browser
from tests.chromium import expect, settled

pytestmark = browser.needs_chromium

# Two methods and two densities. After one epoch the networks differ in many answers.
FORM = (
    "models=LeNet5&datasets=Digits&methods=snip,random&densities=50%25,20%25&seeds=1"
    "&sweep_epochs=1&lrs=0.05"
)


def test_a_sweep_leads_to_the_images_that_changed(tab, address, runs):
    page = tab(f"{address}/sweep?{FORM}")
    settled(page)
    page.get_by_role("button", name="Start sweep").click()
    page.wait_for_url(re.compile(r"/sweep\?sweep="))
    expect(page.locator(".st-key-sweep_header")).to_contain_text("finished")
    expect(page.get_by_text("4 of 4 runs")).to_be_visible()
    (sweep,) = SweepStore(runs).list()
    assert sweep.state == "finished"
    expect(page.locator("[data-testid=stVegaLiteChart] svg.marks").first).to_be_visible()

    page.get_by_role("link", name="Compare these runs").click()
    page.wait_for_url(re.compile("/compare"))
    points = page.locator(".st-key-chart_scatter svg.marks .mark-symbol path[aria-roledescription]")
    expect(points.nth(3)).to_be_visible()
    settled(page)
    points.nth(0).click()
    expect(page.get_by_role("button", name="Compare only this one")).to_be_visible()
    points.nth(3).click(modifiers=["Shift"])
    page.get_by_role("button", name="Compare only these 2").click()
    expect(page.get_by_text("2 of 4 runs chosen")).to_be_visible()
    expect(page.get_by_text("2 picked:")).to_be_visible()
    page.get_by_role("radio", name="Map").click()
    nodes = page.locator(".st-key-chart_map svg.marks .mark-symbol path[aria-roledescription]")
    expect(nodes.nth(1)).to_be_visible()
    settled(page)
    nodes.nth(0).click()
    expect(page.get_by_text("1 picked:")).to_be_visible()
    page.get_by_role("button", name="Pick none").click()
    expect(page.get_by_text("1 picked:")).to_have_count(0)

    page.get_by_role("radio", name="Settings").click()
    expect(page.get_by_role("button", name="CSV with all figures")).to_be_visible()
    page.get_by_role("link", name="What changed in their answers").click()
    page.get_by_role("button", name="Test these networks").click()
    page.get_by_role("radio", name="Images").click()
    page.locator(".st-key-answers_gallery").get_by_role("link").first.click()
    page.wait_for_url(re.compile("/activations"))
    settled(page)
    page.get_by_role("radio", name="Grad-CAM").click()
    expect(page.get_by_role("combobox", name="Class")).to_be_visible()
