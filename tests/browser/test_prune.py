"""From a trained network to a small file in a browser: prune, fine-tune, quantize, download."""

import re
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from core.compress import codec
from core.config import TrainRecipe
from core.runs import launch
from core.runs.run import MASKS, MODEL
from tests import chromium as browser
from tests.chromium import expect, go_to, is_in_state

pytestmark = browser.needs_chromium


@pytest.fixture(scope="module")
def trained(runs, digits):
    """A training of LeNet5 that a worker has begun."""
    recipe = TrainRecipe(
        model="LeNet5",
        dataset="Digits",
        prune=None,
        epochs=3,
        batch_size=32,
        lr=0.05,
        schedule="onecycle",
        validation=143,
        device="cpu",
    )
    run = runs.create(recipe, "Trained")
    launch.start(run, digits)
    return run


def number(page, label, value):
    field = page.get_by_role("spinbutton", name=label)
    field.fill(str(value))
    field.press("Enter")


def start(page, runs, name, parent):
    """Start the run of a form, wait for its end, and return it."""
    page.get_by_role("button", name=name, exact=True).click()
    page.wait_for_url(re.compile("/runs"))
    is_in_state(page, "finished")
    run = runs.list()[0]
    assert run.id in page.url
    assert run.config.parent == parent.id
    return run


def test_a_trained_network_is_pruned_quantized_and_downloaded(tab, address, runs, trained):
    page = tab(f"{address}/runs?run={trained.id}")
    is_in_state(page, "finished")
    go_to(page, "Prune")
    expect(page.get_by_role("heading", level=1)).to_have_text(["Prune"])
    expect(page.locator(".st-key-prune_figures")).to_contain_text("30% of")
    page.get_by_role("button", name="Try densities").click()
    expect(page.get_by_text("Before pruning:")).to_be_visible()  # the chosen density comes first
    page.locator(".st-key-trial_stop").get_by_role("button").click()
    expect(page.get_by_role("button", name=re.compile("Try . more"))).to_be_visible()
    number(page, "Epochs of fine-tuning", 1)
    expect(page.get_by_test_id("stCode")).to_contain_text("--epochs 1")
    pruned = start(page, runs, "Prune", trained)
    recipe = pruned.recipe
    assert (recipe.kind, recipe.method, recipe.density) == ("prune", "compensated", 0.3)
    assert recipe.epochs == 1
    assert pruned.status.kept == round(0.3 * pruned.status.prunable)
    expect(page.locator(".st-key-figures")).to_contain_text(f"{pruned.status.test_accuracy:.2%}")
    expect(page.get_by_test_id("stVegaLiteChart").first).to_be_visible()

    page.locator(".st-key-next_step").get_by_role("button").click()
    expect(page.get_by_role("heading", level=1)).to_have_text(["Quantize"])
    number(page, "Epochs of tuning", 0)
    expect(page.get_by_test_id("stCode")).not_to_contain_text("--epochs")
    shared = start(page, runs, "Quantize", pruned)
    with page.expect_download() as download:
        page.get_by_role("button", name=re.compile(r"Packed \(")).click()
    packed = codec.load(Path(download.value.path()))
    assert packed.ledger.total < pruned.packed_file.stat().st_size / 2
    state = packed.state()
    stored = load_file(shared.path / MODEL)
    assert all(torch.equal(state[name], tensor) for name, tensor in stored.items())
    for name, mask in load_file(pruned.path / MASKS).items():
        assert not state[name][~mask.bool()].any()
    expect(page.get_by_test_id("stException")).to_have_count(0)
