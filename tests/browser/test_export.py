"""From a trained network to a file of integers that answers without PyTorch, in a browser."""

import json
import re
import subprocess
import sys

import numpy as np
import onnxruntime
import pytest

from core import data
from core.config import Prune, TrainRecipe
from core.events import result_of
from core.runs.worker import work
from tests import chromium as browser
from tests.chromium import expect, settled

pytestmark = browser.needs_chromium

# Runs a file on images, in a process in which nothing of PyTorch or Secateur can be imported.
ANSWER_ALONE = """
import json, sys

class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("torch", "core"):
            raise ImportError(name)

sys.meta_path.insert(0, Refuse())
import numpy as np, onnxruntime

session = onnxruntime.InferenceSession(sys.argv[1], providers=["CPUExecutionProvider"])
images = np.load(sys.argv[2])
(logits,) = session.run(None, {session.get_inputs()[0].name: images})
facts = session.get_modelmeta().custom_metadata_map
print(json.dumps({"answers": logits.argmax(1).tolist(), "facts": sorted(facts)}))
"""


@pytest.fixture
def trained(runs, data_home):
    """A finished training of LeNet5 on Digits, of which half the weights are kept."""
    recipe = TrainRecipe(
        model="LeNet5", dataset="Digits", epochs=5, lr=0.05, prune=Prune(density=0.5)
    )
    run = runs.create(recipe, "exported")
    result_of(work(run, data_home))
    return runs.get(run.id)


def test_a_network_leaves_as_integers_that_answer_alone(tab, address, trained, data_home, tmp_path):
    page = tab(f"{address}/runs?run={trained.id}")
    page.get_by_role("button", name="More").click()
    page.get_by_role("link", name="Export").last.click()
    page.wait_for_url(re.compile("/export"))
    page.get_by_role("button", name="Make it in integers").click()
    figures = page.locator(".st-key-int8_figures")
    expect(figures).to_contain_text("In integers")
    settled(page)

    page.get_by_role("radio", name="Speed").click()
    seconds = page.get_by_test_id("stNumberInputField")
    seconds.fill("0.01")
    seconds.press("Enter")
    settled(page)
    page.get_by_role("button", name="Measure").click()
    expect(page.locator("[data-testid=stVegaLiteChart] svg.marks").first).to_be_visible()
    expect(page.get_by_text("eager PyTorch").first).to_be_visible()

    page.get_by_role("radio", name="Files").click()
    box = page.locator(".st-key-format-onnx-int8")
    box.get_by_role("button", name="Make and check").click()
    expect(box).to_contain_text("of 360 test images right")
    with page.expect_download() as download:
        box.get_by_role("button", name="Download").click()
    file = tmp_path / "network.onnx"
    download.value.save_as(file)

    images = normalised_test_images(trained, data_home)
    np.save(tmp_path / "images.npy", images)
    alone = answers_alone(file, tmp_path / "images.npy")
    session = onnxruntime.InferenceSession(file)
    (logits,) = session.run(None, {"images": images})
    assert alone["answers"] == logits.argmax(1).tolist()
    labels = data.load("Digits", data_home).test.labels[: len(images)]
    share = np.mean(np.array(alone["answers"]) == labels)
    assert abs(share - trained.status.test_accuracy) < 0.1
    assert alone["facts"]


def normalised_test_images(run, root):
    """The first 100 test images as the model's card says, made with numpy alone."""
    from core.models.saved import read_card

    card = read_card(run.path / "model.safetensors")
    pixels = np.asarray(data.load("Digits", root).test.images[:100], np.float32) / 255
    mean = np.array(card.mean, np.float32).reshape(1, 3, 1, 1)
    std = np.array(card.std, np.float32).reshape(1, 3, 1, 1)
    return np.ascontiguousarray((pixels - mean) / std)


def answers_alone(file, images):
    done = subprocess.run(
        [sys.executable, "-I", "-c", ANSWER_ALONE, str(file), str(images)],
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(done.stdout.splitlines()[-1])
