"""Checks an exported file against the network that it was made of."""

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from core import data
from core.accuracy import explain_other_record
from core.compress import codec
from core.data.batches import DeviceImages
from core.data.imageset import subset_rows
from core.deploy.files.formats import EXPORT_FORMATS, FormatName
from core.deploy.files.graphs import Graph, read_graph
from core.deploy.files.masks import kept_weights
from core.deploy.files.metrics import read_metrics
from core.deploy.files.verification import Verification
from core.deploy.onnx.check import check_against_torch
from core.deploy.onnx.testing import evaluate_engine
from core.errors import UserError
from core.events import result_of
from core.models.card import ModelCard
from core.models.saved import SavedModel, read_model
from core.training.evaluate import evaluate
from core.training.setup import with_normalisation_of

_COMPARED_IMAGES = 16

_MOST_OF_OTHER_KERNELS = 0.03
"""How far the accuracy of one 8-bit file may differ between two programs, which round otherwise.

ResNet20 on CIFAR-10 gets 91.76% by ONNX Runtime and 91.63% by OpenVINO.
"""


def check_file(
    file: Path,
    format_name: FormatName,
    model: Path | None,
    data_root: Path,
    images: int | None = None,
    recorded: float | None = None,
    with_normalisation: bool = False,
) -> Verification:
    """Load the file again, test it if it is a network, and compare it with the model.

    model: the saved model in float that it was made of; None if that is gone, then nothing is
    compared with it. images: number of test images, None for all. recorded: the test accuracy in
    [0, 1] that the file has on all of them, None if unknown. with_normalisation: whether it takes
    pixels and gives probabilities. Raises UserError for a file that is not what was exported.
    """
    source = None if model is None else read_model(model)
    if not EXPORT_FORMATS[format_name].is_network:
        return _check_text_or_masks(file, format_name, source)
    if EXPORT_FORMATS[format_name].is_graph:
        graph = read_graph(file.read_bytes(), format_name, with_normalisation)
        test_images = _test_images(graph.card, data_root, images)
        weights = graph.weights
        if source is not None and not EXPORT_FORMATS[format_name].in_integers:
            _require_same_answers(graph, source, test_images)
        _, accuracy = result_of(evaluate_engine(graph.engine, test_images, ""))
    else:
        assert source is not None, "these formats are exports of a network that is there"
        test_images = _test_images(source.card, data_root, images)
        weights = codec.load(file).state() if format_name == "packed" else read_model(file).state
        _require_equal(weights, source.state)
        _, accuracy = evaluate(SavedModel(source.card, weights).network(), test_images)
    if images is None:
        _require_recorded(accuracy, recorded, format_name)
    if source is None:
        return Verification(format_name, accuracy, len(test_images))
    zeros = _require_zeros(weights, source)
    removed = _count_removed(weights, source)
    return Verification(format_name, accuracy, len(test_images), zeros, removed)


def _require_same_answers(graph: Graph, source: SavedModel, images: DeviceImages) -> None:
    """Compare a network in float with PyTorch's on a few images. Raises UserError."""
    network = source.network()
    if graph.gives_probabilities:
        network = nn.Sequential(network, nn.Softmax(1))
    batch, _ = images.batch(slice(0, _COMPARED_IMAGES))
    check_against_torch(graph.engine, network, batch.contiguous())


def _test_images(card: ModelCard, data_root: Path, count: int | None) -> DeviceImages:
    """Return test images, evenly over the classes; None for all."""
    dataset = with_normalisation_of(card, data.load(card.dataset, data_root))
    labels = dataset.test.labels
    if count is not None and not 1 <= count <= len(labels):
        raise UserError(f"There are {len(labels):,} test images to verify with, got {count}.")
    rows = None if count is None else subset_rows(labels, count, seed=0)
    return DeviceImages(dataset.test, dataset.mean, dataset.std, "cpu", rows=rows)


def _require_equal(state: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> None:
    for name, tensor in expected.items():
        if name not in state or not torch.equal(state[name], tensor):
            raise UserError(f"{name} is not the one of the run's network.")


def _require_zeros(weights: Mapping[str, Tensor], source: SavedModel) -> int:
    """Return how many weights are zero in the network, and in the file too or not there any more.

    weights: those of the file, by parameter name. An exporter may have renamed one, which is left
    out. A layer that lost dead channels must have no more weights that are not zero than in the
    network. Raises UserError for a zero that the file does not have.
    """
    zeros = 0
    for name, kept in kept_weights(source.state, source.card).items():
        if name not in weights:
            continue
        _require_fit(name, weights[name], kept)
        if not _has_its_zeros(weights[name], kept):
            raise UserError(f"{name} has pruned weights that are not zero in the file.")
        zeros += int((~kept).sum())
    return zeros


def _has_its_zeros(weight: Tensor, kept: Tensor) -> bool:
    """Whether all weights that are not kept are zero, or may have left with dead channels."""
    if weight.shape == kept.shape:
        return not weight[~kept].any()
    return bool(weight.count_nonzero() <= kept.count_nonzero())


def _require_fit(name: str, weight: Tensor, kept: Tensor) -> None:
    """Raise UserError unless the weight is as large as the network's, or has fewer channels."""
    is_smaller = all(size <= whole for size, whole in zip(weight.shape, kept.shape, strict=False))
    if weight.shape[2:] != kept.shape[2:] or weight.ndim != kept.ndim or not is_smaller:
        raise UserError(
            f"{name} has the shape {tuple(weight.shape)} in the file, but {tuple(kept.shape)} in"
            " the run's network."
        )


def _count_removed(weights: Mapping[str, Tensor], source: SavedModel) -> int:
    """Return how many of the network's weights left the file with dead channels."""
    sizes = {name: kept.numel() for name, kept in kept_weights(source.state, source.card).items()}
    return sum(sizes[name] - weights[name].numel() for name in sizes if name in weights)


def _require_recorded(accuracy: float, recorded: float | None, format_name: FormatName) -> None:
    if recorded is None:
        return
    is_other = bool(explain_other_record(accuracy, recorded))
    if format_name == "openvino-int8":  # recorded with the kernels of ONNX Runtime
        is_other = abs(accuracy - recorded) > _MOST_OF_OTHER_KERNELS
    if is_other:
        raise UserError(
            f"The file gets {accuracy:.2%} of the test images right, but its run recorded"
            f" {recorded:.2%}."
        )


def _check_text_or_masks(
    file: Path, format_name: FormatName, source: SavedModel | None
) -> Verification:
    if format_name == "masks":
        assert source is not None, "masks are those of a network that is there"
        return _check_masks(file, source)
    text = file.read_text(encoding="utf-8")
    if format_name == "metrics":
        read_metrics(text)
    elif source is not None and source.card.model not in text:
        raise UserError("The model card does not name the network.")
    return Verification(format_name)


def _check_masks(file: Path, source: SavedModel) -> Verification:
    """Check that the masks fit the weights, and that what they cut is zero."""
    try:
        masks = load_file(file)
    except (OSError, SafetensorError) as error:
        raise UserError(f"The masks cannot be read: {error}.") from error
    cut = 0
    for name in kept_weights(source.state, source.card):
        mask = masks.get(name)
        weight = source.state[name]
        if mask is None or mask.dtype != torch.bool or mask.shape != weight.shape:
            raise UserError(f"The file has no mask that fits {name}.")
        if weight[~mask].any():
            raise UserError(f"{name} has weights that its mask cuts, but that are not zero.")
        cut += int((~mask).sum())
    return Verification(format_name="masks", zeros=cut)
