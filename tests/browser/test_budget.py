"""A budget in a browser: a limit is typed, the frontier grows, the file is within the limit."""

import re
from pathlib import Path

import pytest

from core.compress import codec
from core.runs.budget import tried_candidates
from core.runs.layer_choices import choice_code
from tests import chromium as browser
from tests.chromium import expect, is_in_state, number, start

pytestmark = browser.needs_chromium

MOST_BYTES = 12_000
MOST_LOST = 5  # points; half A has 180 images


def spend_little(page, epochs):
    """Ask for one kind of choice, few images, no exchanges and these epochs of tuning."""
    page.get_by_role("button", name="Round (bits)").click()
    expect(page.get_by_test_id("stCode")).to_contain_text("--kinds share")
    page.get_by_text("More settings").click()
    for label, value, flag in (
        ("Images to round and measure on", 16, "--images 16"),
        ("Exchanges between layers", 0, "--trials 0"),
        ("Epochs of tuning", epochs, f"--epochs {epochs}"),
    ):
        number(page, label, value)
        expect(page.get_by_test_id("stCode")).to_contain_text(flag)


def type_limit(tab, address, trained, name, value):
    """Open the form for the trained network, and type a limit into it."""
    page = tab(f"{address}/budget?run={trained.id}")
    expect(page.get_by_role("heading", level=1)).to_have_text(["Budget"])
    page.get_by_role("radio", name=name).click()
    number(page, name, value)
    return page


def test_a_limit_is_typed_and_kept_to_the_byte_and_a_point_is_taken(tab, address, runs, trained):
    page = type_limit(tab, address, trained, "Bytes", MOST_BYTES)
    expect(page.get_by_test_id("stCode")).to_contain_text(f"--bytes {MOST_BYTES}")
    spend_little(page, epochs=1)
    run = start(page, runs, page.locator(".st-key-budget").get_by_role("button"), trained)
    expect(page.get_by_text("What was tried")).to_be_visible()  # while it works
    expect(page.get_by_test_id("stVegaLiteChart").first).to_be_visible()
    is_in_state(page, "finished")

    with page.expect_download() as download:
        page.get_by_role("button", name=re.compile(r"Packed \(")).click()
    file = Path(download.value.path())
    assert codec.load(file).ledger.total == file.stat().st_size <= MOST_BYTES
    figures = page.locator(".st-key-figures")
    slack = MOST_BYTES - file.stat().st_size
    expect(figures).to_contain_text(f"{slack:,} bytes to spare")
    summary = runs.get(run.id).status.summary
    assert (summary.test_half, summary.test_images) == ("B", 180)
    expect(figures).to_contain_text(f"{summary.test_accuracy:.2%}")
    assert summary.parent_accuracy - summary.test_accuracy < 0.1  # a lot of bytes, a small loss

    first = tried_candidates(runs.events(run.id))[0]
    point = page.locator(".st-key-frontier_divergence path[aria-label*='Candidate: 1;']").last
    point.click(force=True)
    expect(page.get_by_role("combobox", name=re.compile("Candidate"))).to_have_value(
        re.compile(f"1: {first.bytes:,} bytes")
    )
    page.get_by_role("button", name="Take this choice").click()
    expect(page.get_by_text("The choice for each layer is made")).to_be_visible()
    words = [f"{name}={choice_code(choice)}" for name, choice in first.layers.items()]
    expect(page.get_by_test_id("stCode")).to_contain_text(f"--layers {' '.join(words)}")
    expect(page.get_by_test_id("stException")).to_have_count(0)


@pytest.mark.slow  # tests/pages draws its form and all of its ends
def test_a_limit_of_accuracy_is_kept_on_the_half_that_reports(tab, address, runs, trained):
    page = type_limit(tab, address, trained, "Points of accuracy", MOST_LOST)
    expect(page.get_by_test_id("stCode")).to_contain_text(f"--lose {MOST_LOST}")
    expect(page.get_by_text("Half A of the test images (180) decides")).to_be_visible()
    spend_little(page, epochs=0)
    run = start(page, runs, page.locator(".st-key-budget").get_by_role("button"), trained)
    is_in_state(page, "finished")

    summary = runs.get(run.id).status.summary
    kept = [
        made
        for made in tried_candidates(runs.events(run.id))
        if made.most_lost is not None and made.most_lost <= MOST_LOST
    ]
    assert summary.packed_bytes == min(made.bytes for made in kept)
    assert summary.packed_bytes < summary.float_bytes / 5
    assert 100 * (summary.parent_accuracy - summary.test_accuracy) <= MOST_LOST
    figures = page.locator(".st-key-figures")
    expect(figures).to_contain_text("kept")
    expect(figures).to_contain_text(f"{summary.test_accuracy:.2%}")
    expect(page.locator(".st-key-frontier_most_lost")).to_be_visible()
    expect(page.get_by_test_id("stException")).to_have_count(0)
