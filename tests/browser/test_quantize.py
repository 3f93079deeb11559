"""From a foreign checkpoint to a small file in a browser: import, quantize, compare, download."""

import re
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from core.compress import codec
from core.config import TrainRecipe
from core.events import Finished
from core.jobs.train import TrainJob
from core.runs.run import MODEL
from tests import chromium as browser
from tests.chromium import expect, is_in_state, number, settled, work_off

pytestmark = browser.needs_chromium


@pytest.fixture(scope="module")
def checkpoint(digits, tmp_path_factory):
    """A trained network as people publish it, and its accuracy."""
    job = TrainJob(
        TrainRecipe(
            model="ResNet8",
            dataset="Digits",
            prune=None,
            epochs=2,
            batch_size=32,
            lr=0.05,
            schedule="onecycle",
            device="cpu",
        ),
        digits,
    )
    *_, finished = job.events()
    assert isinstance(finished, Finished)
    path = tmp_path_factory.mktemp("elsewhere") / "resnet8-digits.th"
    state = {f"module.{name}": tensor for name, tensor in job.result()["model"].items()}
    torch.save({"epoch": 2, "state_dict": state}, path)
    return path, finished.summary.test_accuracy


def test_a_checkpoint_becomes_a_small_file(tab, address, runs, checkpoint):
    path, accuracy = checkpoint
    page = tab(f"{address}/quantize")
    page.get_by_role("button", name="Import a network").first.click()
    dialog = page.get_by_role("dialog")
    dialog.locator("input[type=file]").set_input_files(path)
    expect(dialog).to_contain_text("This is a ResNet8 for 10 classes")
    dialog.get_by_role("button", name="Import and test").click()
    page.wait_for_url(re.compile("/runs"))
    is_in_state(page, "finished")
    imported = runs.list()[0]
    assert imported.status.test_accuracy == pytest.approx(accuracy, abs=0.005)
    expect(page.locator(".st-key-figures")).to_contain_text(f"{imported.status.test_accuracy:.2%}")

    page.locator(".st-key-next_step").get_by_role("button").click()
    expect(page.get_by_role("heading", level=1)).to_have_text(["Quantize"])
    few = "kmeans_round_images=128&kmeans_train_images=400&affine_round_images=128"
    page.goto(f"{address}/quantize?run={imported.id}&{few}")
    page.get_by_role("button", name="Compare roundings on this layer").click()
    expect(page.locator(".st-key-rounding_errors")).to_contain_text("less than nearest")
    number(page, "Epochs of tuning", 1)
    settled(page)
    button = page.get_by_role("button", name="Quantize", exact=True)
    shared = work_off(page, runs, button, imported)
    assert (shared.recipe.kind, shared.recipe.clusters, shared.recipe.epochs) == ("kmeans", 5, 1)
    assert (shared.recipe.rounding, shared.recipe.round_images) == ("compensated", 128)

    page.goto(f"{address}/quantize?run={imported.id}&{few}")
    page.get_by_role("radio", name="Round to bits (affine)").or_(
        page.get_by_role("button", name="Round to bits (affine)")
    ).first.click()
    expect(page.get_by_text("Bits a weight", exact=True)).to_be_visible()
    rounded = work_off(page, runs, button, imported)
    assert rounded.id != shared.id
    assert (rounded.recipe.kind, rounded.recipe.bits) == ("affine", 8)
    assert abs(rounded.status.test_accuracy - imported.status.test_accuracy) < 0.02

    with page.expect_download() as download:
        page.get_by_role("button", name=re.compile(r"Packed \(")).click()
    packed = codec.load(Path(download.value.path()))
    assert packed.card.model == "ResNet8"
    assert packed.ledger.ratio > 3
    decoded, stored = packed.state(), load_file(rounded.path / MODEL)
    assert decoded.keys() == stored.keys()
    assert all(torch.equal(decoded[name], tensor) for name, tensor in stored.items())

    page.goto(f"{address}/weights?a={imported.id}&b={shared.id}")
    expect(page.get_by_role("heading", level=1)).to_have_text(["Weights"])
    expect(page.get_by_test_id("stVegaLiteChart").first).to_be_visible()
    expect(page.get_by_test_id("stException")).to_have_count(0)
