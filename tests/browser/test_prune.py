"""From a trained network to a small file in a browser: prune, fine-tune, quantize, download."""

import re
from pathlib import Path

import torch
from safetensors.torch import load_file

from core.compress import codec
from core.runs.run import MASKS, MODEL
from tests import chromium as browser
from tests.chromium import expect, go_to, is_in_state, number, work_off

pytestmark = browser.needs_chromium


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
    button = page.get_by_role("button", name="Prune", exact=True)
    pruned = work_off(page, runs, button, trained)
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
    button = page.get_by_role("button", name="Quantize", exact=True)
    shared = work_off(page, runs, button, pruned)
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
