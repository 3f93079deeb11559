"""The exported files: what the writers write, and what a check notices."""

import json
from collections import OrderedDict
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load, save_file
from torch import nn

from core import models
from core.compress import codec
from core.config import TrainRecipe
from core.deploy.files.checks import check_file
from core.deploy.files.formats import EXPORT_FORMATS
from core.deploy.files.masks import kept_weights, masks_bytes
from core.deploy.files.metrics import METRIC_COLUMNS, metrics_csv, read_metrics
from core.deploy.files.model_card import CardFacts, card_markdown
from core.deploy.files.verification import Verification, verify_file
from core.deploy.onnx.export import export_onnx
from core.deploy.smaller import without_dead_channels
from core.errors import UserError
from core.events import Summary
from core.models import saved
from core.models.card import ModelCard
from core.models.saved import SavedModel
from tests.sample_runs import epoch_ends

CARD = ModelCard(
    model="LeNet5",
    dataset="Digits",
    classes=tuple("0123456789"),
    mean=(0.2, 0.3, 0.4),
    std=(0.5, 0.6, 0.7),
    side=32,
    recipes=(TrainRecipe(model="LeNet5", dataset="Digits").model_dump(mode="json"),),
)
FIRST = "features.0.weight"
ZEROS = 225  # half of the first layer's 6 x 3 x 5 x 5 weights


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    state = models.build("LeNet5", 10).state_dict()
    state[FIRST][::2] = 0
    return SavedModel(CARD, state)


@pytest.fixture
def model(tmp_path, network):
    path = tmp_path / "model.safetensors"
    path.write_bytes(saved.model_bytes(network.state, CARD))
    return path


def write_changed(path, network, **changes):
    """Write a saved model whose named tensors differ."""
    state = network.state | {name.replace("__", "."): value for name, value in changes.items()}
    path.write_bytes(saved.model_bytes(state, CARD))
    return path


# -- networks --


def test_a_saved_model_is_checked_on_chosen_images(digits, network, model, tmp_path):
    file = write_changed(tmp_path / "out.safetensors", network)
    found = check_file(file, "safetensors", model, digits, images=50)
    assert (found.images, found.zeros) == (50, ZEROS)
    assert found.accuracy is not None
    assert found.accuracy * 50 == pytest.approx(round(found.accuracy * 50))


def test_a_packed_file_is_checked_on_all_images(digits, network, model, tmp_path):
    file = tmp_path / "out.secateur"
    codec.save(file, network.state, CARD)
    found = check_file(file, "packed", model, digits)
    assert (found.images, found.zeros) == (360, ZEROS)
    assert check_file(file, "packed", model, digits, recorded=found.accuracy) == found
    with pytest.raises(UserError, match=r"right, but its run recorded 99\.00%\.$"):
        check_file(file, "packed", model, digits, recorded=0.99)


def test_another_weight_is_noticed(digits, network, model, tmp_path):
    weight = network.state[FIRST].clone()
    weight[1, 0, 0, 0] += 1e-6
    file = write_changed(tmp_path / "out.safetensors", network, features__0__weight=weight)
    with pytest.raises(UserError, match=r"^features\.0\.weight is not the one of the run's"):
        check_file(file, "safetensors", model, digits, images=10)


def test_a_pruned_weight_that_is_not_zero_is_noticed(digits, network, model, tmp_path):
    """An ONNX file of a network that was pruned after the export."""
    file = tmp_path / "out.onnx"
    file.write_bytes(export_onnx(network.network(), CARD))
    assert check_file(file, "onnx", model, digits, images=10).zeros == ZEROS
    weight = network.state[FIRST].clone()
    weight[1, 0, 0, 0] = 0
    pruned = write_changed(tmp_path / "pruned.safetensors", network, features__0__weight=weight)
    with pytest.raises(UserError, match="pruned weights that are not zero in the file"):
        check_file(file, "onnx-int8", pruned, digits, images=10)


@pytest.fixture(scope="module")
def smaller_file(network):
    """The network in ONNX without the three dead channels of its first layer."""
    return export_onnx(without_dead_channels(network.network(), CARD).network, CARD)


@pytest.mark.parametrize("format_name", ["onnx", "onnx-int8"])
def test_a_file_without_dead_channels_is_checked(
    digits, model, tmp_path, smaller_file, format_name
):
    file = tmp_path / "out.onnx"
    file.write_bytes(smaller_file)
    found = check_file(file, format_name, model, digits, images=10)
    assert found.zeros == ZEROS
    assert found.removed == ZEROS + 3 * 16 * 5 * 5  # the second layer has 16 channels
    assert "found all 225 pruned weights to be zero or gone." in str(found)


def test_a_smaller_layer_with_weights_of_dead_channels_is_noticed(
    digits, network, tmp_path, smaller_file
):
    file = tmp_path / "out.onnx"
    file.write_bytes(smaller_file)
    weight = network.state[FIRST].clone()
    weight[1, 0, 0, 0] = 0
    pruned = write_changed(tmp_path / "pruned.safetensors", network, features__0__weight=weight)
    with pytest.raises(UserError, match="pruned weights that are not zero in the file"):
        check_file(file, "onnx-int8", pruned, digits, images=10)


def test_a_layer_of_another_shape_is_noticed(digits, model, tmp_path):
    features = nn.Sequential(nn.Conv2d(3, 6, 7), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    layers = {"features": features, "classifier": nn.Linear(6, 10)}
    file = tmp_path / "out.onnx"
    file.write_bytes(export_onnx(nn.Sequential(OrderedDict(layers)), CARD))
    with pytest.raises(UserError, match=r"has the shape \(6, 3, 7, 7\) in the file, but \(6, 3, 5"):
        check_file(file, "onnx-int8", model, digits, images=10)


def test_more_images_than_there_are(digits, model):
    with pytest.raises(UserError, match="There are 360 test images to verify with, got 361"):
        check_file(model, "safetensors", model, digits, images=361)


# -- masks, metrics and card --


def test_masks_are_true_where_a_weight_is_kept(digits, network, model, tmp_path):
    content = masks_bytes(network)
    masks = load(content)
    assert sorted(masks) == sorted(saved.layer_shapes(CARD))
    assert masks[FIRST].dtype == torch.bool
    assert int((~masks[FIRST]).sum()) == ZEROS
    file = tmp_path / "masks.safetensors"
    file.write_bytes(content)
    assert saved.read_card(file) == CARD
    assert check_file(file, "masks", model, digits) == Verification("masks", zeros=ZEROS)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda mask: ~mask, "its mask cuts, but that are not zero"),
        (lambda mask: mask[:1], "no mask that fits"),
        (lambda mask: mask.float(), "no mask that fits"),
    ],
)
def test_masks_that_do_not_fit_are_noticed(digits, network, model, tmp_path, change, message):
    masks = kept_weights(network.state, CARD)
    save_file(masks | {FIRST: change(masks[FIRST]).contiguous()}, tmp_path / "masks")
    with pytest.raises(UserError, match=message):
        check_file(tmp_path / "masks", "masks", model, digits)


def test_metrics_are_a_row_for_each_epoch():
    epochs = [event.to_dict() for event in epoch_ends(2, [0.5, 0.75])]
    rows = read_metrics(metrics_csv(epochs))
    assert [row["test_accuracy"] for row in rows] == [0.5, 0.75]
    assert rows[0]["epoch"] == 1
    assert rows[0]["divergence"] is None  # it was not measured
    assert list(rows[0]) == list(METRIC_COLUMNS)
    assert "time" not in METRIC_COLUMNS


def test_no_epochs_are_no_metrics():
    with pytest.raises(UserError, match="trained for no epoch"):
        metrics_csv([])


@pytest.mark.parametrize("text", ["", "a,b\n1,2\n", ",".join(METRIC_COLUMNS) + "\n1,x\n"])
def test_other_tables_are_refused(text):
    with pytest.raises(UserError, match="table of epochs"):
        read_metrics(text)


def facts(**changes):
    summary = Summary(
        model="LeNet5",
        dataset="Digits",
        density=0.5,
        kept=500,
        prunable=1000,
        epochs=3,
        test_accuracy=0.9,
        best_accuracy=0.9,
        train_seconds=1.0,
        images_per_second=1.0,
        device="cpu",
        parent_accuracy=0.92,
        packed_bytes=12_345,
        test_images=1000,
        classes=10,
    )
    return CardFacts("A | run", CARD, summary, ["python -m core train", "second"], **changes)


def test_the_card_says_that_half_of_the_images_were_tested():
    plain = facts()
    half = replace(plain, summary=plain.summary.model_copy(update={"test_half": "B"}))
    assert "| Test images | 1,000 (half of the test images) |" in card_markdown(half)


def test_the_card_says_what_a_reader_needs():
    text = card_markdown(facts())
    assert text.startswith("# A | run\n")
    assert "| Test accuracy | 90.00% (95% interval: 88.0 to 91.7) |" in text
    assert "| Test images | 1,000 |" in text
    assert "| Packed file | 12,345 bytes |" in text
    assert "| Weights kept | 500 of 1,000 (50.000%) |" in text
    assert "- std: 0.5, 0.6, 0.7" in text
    assert "Classes, in the order of the logits: 0, 1, 2" in text
    assert "```bash\npython -m core train\nsecond\n```" in text
    assert "simulated" in text


def test_the_card_of_integers_says_that_they_are_real():
    text = card_markdown(facts(in_integers=True))
    assert "Integer weights and activations: real" in text
    assert "simulated." not in text


# -- a fresh process --


def test_a_fresh_process_checks_a_file(digits, network, model, tmp_path):
    file = write_changed(tmp_path / "out.safetensors", network)
    found = verify_file(file, "safetensors", model, digits, images=20)
    assert found == check_file(file, "safetensors", model, digits, images=20)
    assert "on 20 test images and found all 225 pruned weights to be zero." in str(found)
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(UserError, match="is damaged"):
        verify_file(file, "safetensors", model, digits, images=20)


def test_a_verification_is_plain_data():
    found = Verification("card")
    assert str(found) == "A fresh process loaded the file, and it is whole."
    assert json.loads(json.dumps(vars(found)))["format_name"] in EXPORT_FORMATS
