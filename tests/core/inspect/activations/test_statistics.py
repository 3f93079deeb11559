"""Numbers of channels, all of which can be added up by hand."""

import pytest
import torch

from core import models
from core.inspect.activations.captured import CapturedActivations, capture, capture_with_logits
from core.inspect.activations.statistics import (
    channel_statistics,
    compare_channels,
    measure_channels,
)


def test_statistics_by_hand():
    activation = torch.tensor(
        [
            [[[1.0, 0.0], [3.0, 0.0]], [[0.0, 0.0], [0.0, 0.0]], [[0.0, 0.0], [0.0, 8.0]]],
            [[[0.0, 0.0], [0.0, 4.0]], [[0.0, 0.0], [0.0, 0.0]], [[0.0, 0.0], [0.0, 0.0]]],
        ]
    )
    both, last = channel_statistics(activation), channel_statistics(activation[1:])
    assert both.mean.tolist() == [1.0, 0.0, 1.0]
    assert both.maximum.tolist() == [4.0, 0.0, 8.0]
    assert both.zero_fraction.tolist() == [5 / 8, 1.0, 7 / 8]
    assert both.dead.tolist() == [False, True, False]
    assert last.dead.tolist() == [False, True, True]
    joined = channel_statistics(activation[:1]) + last
    for field in ("mean", "maximum", "zero_count"):
        assert torch.equal(getattr(joined, field), getattr(both, field))
    assert joined.count == both.count == 8
    linear = channel_statistics(torch.tensor([[1.0, 0.0], [3.0, 0.0]]))
    assert (linear.mean.tolist(), linear.dead.tolist(), linear.count) == (
        [2.0, 0.0],
        [False, True],
        2,
    )
    assert torch.equal(channel_statistics(activation.movedim(1, -1), axis=-1).mean, both.mean)


def test_a_value_that_is_no_number_is_not_dead():
    spoilt = channel_statistics(torch.tensor([[[[float("nan"), 0.0]]]]))
    assert spoilt.maximum.isnan().all()
    assert spoilt.dead.tolist() == [False]


def test_measure_is_the_statistics_of_what_is_captured():
    model, batch = models.build("ResNet20", 10), torch.randn(3, 3, 32, 32)
    captured, measured = capture(model, batch), measure_channels(model, batch)
    assert list(measured) == list(captured)
    for key, output in captured.items():
        expected = channel_statistics(output)
        assert torch.equal(measured[key].mean, expected.mean)
        assert torch.equal(
            measured[key].zero_count, (output == 0).transpose(0, 1).flatten(1).sum(1)
        )
    assert list(measure_channels(model, batch, ["relu"])) == ["relu"]


def captured(**activations):
    tensors = {key: torch.tensor(values) for key, values in activations.items()}
    return CapturedActivations(
        torch.empty(0),
        tensors,
        {key: tensor.shape for key, tensor in tensors.items()},
        dict.fromkeys(tensors, 1),
    )


def test_compare_by_hand():
    first = captured(
        a=[[[[3.0, 4.0]], [[1.0, 0.0]], [[0.0, 0.0]], [[2.0, 2.0]], [[0.0, 0.0]]]],
        b=[[1.0, 2.0]],
        c=[[1.0]],
    )
    second = captured(
        a=[[[[6.0, 8.0]], [[0.0, 2.0]], [[0.0, 0.0]], [[0.0, 0.0]], [[0.0, 1.0]]]],
        c=[[1.0, 1.0]],
        d=[[1.0]],
    )
    compared = compare_channels(first, second)
    assert list(compared) == ["a"]  # b and d are in one of them only, and c has other channels
    assert compared["a"].difference.tolist() == [3.5, 1.5, 0.0, 2.0, 0.5]
    assert compared["a"].cosine.tolist() == pytest.approx([1.0, 0.0, 1.0, 0.0, 0.0])
    assert compared["a"].newly_dead.tolist() == [False, False, False, True, False]
    assert compared["a"].layer_cosine == pytest.approx(50 / (34 * 105) ** 0.5)


def test_compare_of_tiny_values_and_of_a_model_with_itself():
    tiny = captured(a=[[[[3e-30, 4e-30]]]])
    assert compare_channels(tiny, tiny)["a"].cosine.tolist() == pytest.approx([1.0])
    same = capture_with_logits(models.build("LeNet5", 10), torch.randn(2, 3, 32, 32))
    for compared in compare_channels(same, same).values():
        assert compared.difference.abs().max() == 0
        assert compared.cosine.tolist() == pytest.approx([1.0] * len(compared.cosine))
        assert not compared.newly_dead.any()
