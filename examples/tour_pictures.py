"""Make the pictures of a finished tour, which Home shows while there are no runs.

    .venv/bin/python -m examples.tour_pictures

It takes the tour in Chromium, which trains two networks, and writes docs/tour/NAME-THEME.png.
"""

import io
import tempfile
from pathlib import Path

from PIL import Image, ImageChops, ImageOps

from core.config import data_root
from core.runs.store import RunStore
from pages.parts.tour.runs import find_tour
from tests import chromium as browser

FOLDER = browser.ROOT / "docs" / "tour"
MARGIN = 12  # pixels, so that round corners cut nothing off
CHART = "[data-testid=stVegaLiteChart]"
PICTURES = {  # name: address, width of the window, element
    "curves": ("compare?runs={dense},{pruned}&view=Curves", 500, CHART),
    "weights": ("tour?step=3", 500, CHART),
    "activations": ("tour?step=4", 860, "[data-testid=stColumn]:has-text('channel by channel')"),
}


def take_tour(chromium, address):
    """Click through the tour until its three networks are finished."""
    page = chromium.new_page()
    page.goto(address)
    page.get_by_role("button", name="Quick tour").click()
    for step in (1, 2):
        browser.expect(page.get_by_text(f"{step} of 4")).to_be_visible()
        button = page.get_by_role("button", name="Next")
        browser.expect(button).to_be_enabled()
        button.click()
    browser.expect(page.get_by_text("3 of 4")).to_be_visible()


def take_picture(chromium, url, width, element, theme):
    """Return a part of the page with an even margin, twice as fine as on the screen."""
    size = {"width": width, "height": 1500}
    page = chromium.new_page(viewport=size, color_scheme=theme, device_scale_factor=2)
    page.goto(url)
    browser.expect(page.locator(CHART).last).to_be_visible()
    browser.expect(page.locator("[data-test-script-state=notRunning]")).to_be_visible()
    page.wait_for_function("[...document.images].every(image => image.naturalWidth)")
    picture = Image.open(io.BytesIO(page.locator(element).last.screenshot())).convert("RGB")
    page.close()
    colour = picture.getpixel((picture.width - 1, picture.height - 1))
    background = Image.new("RGB", picture.size, colour)
    content = picture.crop(ImageChops.difference(picture, background).getbbox())
    return ImageOps.expand(content, MARGIN, colour)


def main():
    """Take the tour, and write all pictures in both themes."""
    browser.expect.set_options(timeout=10 * browser.PATIENCE)
    with (
        tempfile.TemporaryDirectory() as runs,
        browser.serving(runs, data_root()) as address,
        browser.sync_api.sync_playwright() as playwright,
    ):
        chromium = playwright.chromium.launch(
            executable_path=browser.CHROMIUM, args=["--no-sandbox"]
        )
        take_tour(chromium, address)
        tour = find_tour(RunStore(Path(runs)))
        for name, (path, width, element) in PICTURES.items():
            url = f"{address}/{path.format(dense=tour.dense.id, pruned=tour.pruned.id)}"
            for theme in ("light", "dark"):
                picture = take_picture(chromium, url, width, element, theme)
                picture.quantize(128).save(FOLDER / f"{name}-{theme}.png", optimize=True)


if __name__ == "__main__":
    main()
