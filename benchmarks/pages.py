"""Measures how long the pages of the app take to appear in a real browser.

    python -m benchmarks.pages              # three server starts for each page

Every page gets servers of its own. A visitor opens Home, reads it for a few seconds, and goes to
the page by the navigation: its first visit. Then back to Home and to the page again: a warm visit.
A page has appeared when its title is there and its script has ended. The store holds a trained
ResNet20 and the same with shared weights.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path

from playwright.sync_api import Browser, Page, expect, sync_playwright

from benchmarks.report import Row, write_report
from core.runs.store import RunStore
from tests.chromium import CHROMIUM, ROOT, serving

PAGES = ("Train", "Quantize", "Activations", "Kernels", "Weights", "Runs")
TARGET_SECONDS = 1.5


def fill_store(runs: Path, data: Path) -> None:
    """Train a network and quantize it, with the smallest recipes that give real models."""
    folders = {"SECATEUR_RUNS": str(runs), "SECATEUR_DATA": str(data)}
    environment = {**os.environ, **folders}

    def run_command(*words: str) -> None:
        command = [sys.executable, "-m", "core", *words]
        subprocess.run(command, cwd=ROOT, env=environment, check=True, capture_output=True)

    training = ("--model", "ResNet20", "--dataset", "Digits", "--epochs", "1")
    run_command("train", *training, "--trainimages", "128")
    parent = RunStore(runs).list()[0].id
    run_command("quantize", parent, "--clusters", "16", "--rounding", "nearest")


def measure_page(
    browser: Browser, name: str, runs: Path, data: Path, reading_seconds: float
) -> dict[str, float]:
    """Start a server, and return the seconds of Home's first paint and of two visits of a page."""
    with serving(runs, data) as address:
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        began = time.perf_counter()
        page.goto(address)
        _wait_for(page, "Secateur")
        paint = time.perf_counter() - began
        page.wait_for_timeout(1000 * reading_seconds)
        first_visit = _visit(page, name)
        _visit(page, "Home")
        warm_visit = _visit(page, name)
        page.close()
    return {"paint": paint, "first": first_visit, "warm": warm_visit}


def _visit(page: Page, name: str) -> float:
    """Go to a page by the navigation and return the seconds until it has appeared."""
    link = page.get_by_test_id("stTopNav").get_by_role("link", name=name, exact=True)
    began = time.perf_counter()
    link.click()
    _wait_for(page, "Secateur" if name == "Home" else name)
    return time.perf_counter() - began


def _wait_for(page: Page, title: str) -> None:
    expect(page.get_by_role("heading", name=title, exact=True, level=1)).to_be_visible()
    expect(page.locator("[data-test-script-state=notRunning]")).to_be_attached()


def main() -> None:
    """Print the table and write results/pages.json."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--starts", type=int, default=3, help="servers that are started a page")
    parser.add_argument("--pages", nargs="+", default=PAGES, choices=PAGES, metavar="PAGE")
    parser.add_argument(
        "--reading", type=float, default=8, help="seconds between Home's paint and the first visit"
    )
    options = parser.parse_args()
    expect.set_options(timeout=120_000)
    seconds: dict[str, list[float]] = defaultdict(list)
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        runs = Path(folder) / "runs"
        data = Path(folder) / "data"
        fill_store(runs, data)
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        for _ in range(options.starts):
            for name in options.pages:
                figures = measure_page(browser, name, runs, data, options.reading)
                seconds["paint"].append(figures["paint"])
                seconds[f"{name} first"].append(figures["first"])
                seconds[f"{name} warm"].append(figures["warm"])
        browser.close()
    medians = {key: round(statistics.median(values), 2) for key, values in seconds.items()}
    rows: list[Row] = [{"page": "Home", "first visit": medians["paint"], "target": TARGET_SECONDS}]
    for name in options.pages:
        rows.append(
            {
                "page": name,
                "first visit": medians[f"{name} first"],
                "warm visit": medians[f"{name} warm"],
                "target": TARGET_SECONDS,
            }
        )
    notes = [
        f"Seconds, medians of {options.starts} server starts. The first visit comes"
        f" {options.reading:g} seconds after Home was painted."
    ]
    write_report("pages", rows, notes)


if __name__ == "__main__":
    main()
