"""The levels of quantized layers, against the values that they stand for."""

import numpy as np
import pytest

from core.compress import affine, codec, kmeans
from core.inspect.weights.levels import float_levels, packed_levels
from core.models.card import ModelCard


@pytest.fixture
def packed(tmp_path, lenet):
    """A function that packs LeNet5 with quantized weights, and returns the levels in the file."""

    def packed(items):
        state = lenet.state_dict() | items
        codec.save(
            tmp_path / "packed.secateur",
            state,
            ModelCard(
                model="LeNet5",
                classes=tuple("0123456789"),
                mean=(0.5,) * 3,
                std=(0.25,) * 3,
                side=32,
            ),
        )
        return packed_levels(tmp_path / "packed.secateur")

    return packed


def check_levels(levels, item):
    values, counts = np.unique(item.decode().numpy(), return_counts=True)
    used = {
        value: count for value, count in zip(levels.values, levels.counts, strict=True) if count
    }
    if levels.extra_zeros:
        used[0.0] = used.get(0.0, 0) + levels.extra_zeros
    assert used == dict(zip(values.astype(np.float64), counts, strict=True))


def test_levels_of_a_codebook(lenet, packed):
    lenet.features[0].weight.data[0] = 0
    books = kmeans.share_model(lenet, 5)
    found = packed(books)
    for name, book in books.items():
        assert found[name].kind == "codebook"
        assert len(found[name].values) == 5
        check_levels(found[name], book)
    assert found["features.0.weight"].extra_zeros == 75


@pytest.mark.parametrize("symmetric", [False, True])
def test_levels_of_an_affine_layer(lenet, packed, symmetric):
    grids = affine.quantize_model(lenet, 4, None, symmetric)
    for name, levels in packed(grids).items():
        if name in grids:
            assert levels.kind == "affine"
            assert len(levels.values) == 16 - symmetric
            check_levels(levels, grids[name])


def test_levels_of_an_affine_channel_are_its_integers(lenet, packed):
    grids = affine.quantize_model(lenet, 3, 0)
    levels = packed(grids)["classifier.4.weight"]
    assert levels.kind == "affine per channel"
    assert levels.values.tolist() == list(range(8))
    assert (
        levels.counts.tolist()
        == np.bincount(grids["classifier.4.weight"].values.flatten(), minlength=8).tolist()
    )


def test_levels_of_a_float_layer_with_few_values(lenet, write):
    lenet.classifier[4].weight.data.round_(decimals=1)
    path = write("a", lenet.state_dict())
    levels = float_levels(path, "classifier.4.weight")
    values, counts = np.unique(
        lenet.classifier[4].weight.detach().abs().numpy(), return_counts=True
    )
    assert levels is not None
    assert levels.kind == "distinct values"
    assert levels.counts.sum() + levels.extra_zeros == counts.sum() == 840
    assert set(np.abs(levels.values)) <= set(values.astype(np.float64))
    assert float_levels(path, "classifier.0.weight") is None
