"""Weights of saved models: one layer, the whole network, and two models against each other."""

import math

import numpy as np
import pytest
import torch

from core.compress import kmeans
from core.compress.distortion import snr
from core.errors import UserError
from core.inspect.weights.comparison import compare_weights, layer_snrs, summarise_layers
from core.models import build
from core.models.parameters import prunable_weights


def test_the_table_has_the_whole_network_first(lenet, write):
    whole, *each = summarise_layers(write("a", lenet.state_dict()))
    assert whole.name == ""
    assert whole.summary is not None
    assert whole.summary.count == 61_770
    assert sum(layer.summary.count for layer in each if layer.summary) == 61_770
    assert [layer.name for layer in each] == list(prunable_weights(lenet))


def test_ratios_are_those_of_the_quantizer(lenet, write):
    books = kmeans.share_model(lenet, 5)
    state = lenet.state_dict() | {name: book.decode() for name, book in books.items()}
    found = layer_snrs(write("a", lenet.state_dict()), write("b", state))
    for name, weight in prunable_weights(lenet).items():
        assert found[name] == pytest.approx(snr(weight.detach(), state[name]))
    every = [
        torch.cat([model[name].flatten() for name in books])
        for model in (lenet.state_dict(), state)
    ]
    assert found[""] == pytest.approx(snr(*every))
    assert layer_snrs(*[write("a", state)] * 2)[""] == math.inf


def test_two_models_are_compared_layer_by_layer_and_as_a_whole(lenet, write):
    books = kmeans.share_model(lenet, 4)
    state = lenet.state_dict() | {name: book.decode() for name, book in books.items()}
    paths = write("a", lenet.state_dict()), write("b", state)
    for layer in ("", "features.3.weight"):
        found = compare_weights(*paths, layer, 640, 100, 50)
        names = [layer] if layer else list(books)
        one, other = (
            np.concatenate([model[name].numpy().ravel() for name in names])
            for model in (lenet.state_dict(), state)
        )
        first, second = found.distributions
        assert first is not None
        assert second is not None
        assert found.difference is not None
        assert first.summary.unique == len(np.unique(one))
        assert second.histogram.low.tolist() == [
            float(value) for value in np.unique(other) if value
        ]
        assert found.difference.summary.count == one.size
        assert (found.difference.summary.low, found.difference.summary.high) == (
            (other - one).min(),
            (other - one).max(),
        )


def test_what_cannot_be_subtracted_says_why(lenet, write):
    paths = (
        write("a", lenet.state_dict()),
        write("b", build("ResNet20", 10).state_dict(), "ResNet20"),
    )
    whole = compare_weights(*paths, "", 640, 100, 50)
    assert whole.difference is None
    assert "different layers" in whole.reason
    assert all(whole.distributions)
    alone = compare_weights(*paths, "conv1.weight", 640, 100, 50)
    assert alone.distributions[0] is None
    second = alone.distributions[1]
    assert second is not None
    assert second.summary.count == 432
    assert "Only one" in alone.reason
    with pytest.raises(UserError, match="no layer 'conv9'"):
        compare_weights(*paths, "conv9", 640, 100, 50)
    assert compare_weights(paths[0], None, "", 640, 100, 50).reason == "There is only one model."
    assert layer_snrs(*paths) == {}


def test_a_layer_that_diverged_is_named_and_the_others_are_not_harmed(lenet, write):
    state = lenet.state_dict()
    state["features.3.weight"][0, 0, 0, 0] = math.nan
    path = write("a", state)
    for layer in ("", "features.3.weight"):
        with pytest.raises(UserError, match=r"features\.3\.weight holds 1 values"):
            compare_weights(path, None, layer, 640, 100, 50)
    assert compare_weights(path, None, "features.0.weight", 640, 100, 50).distributions[0]
    assert [layer.name for layer in summarise_layers(path) if layer.summary is None] == [
        "",
        "features.3.weight",
    ]


def test_a_damaged_file_is_a_sentence(lenet, write):
    path = write("a", lenet.state_dict())
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(UserError, match="damaged"):
        compare_weights(path, None, "", 640, 100, 50)
