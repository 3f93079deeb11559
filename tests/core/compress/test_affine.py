"""Affine quantization against hand-made cases and PyTorch's own quantizers."""

import math
import subprocess
import sys
import warnings

import pytest
import torch

from core.compress.affine import quantize, quantize_codebook, quantize_model
from core.compress.distortion import squared_error
from core.compress.kmeans import share_weights
from core.errors import UserError
from tests.toys import Flat

KINDS = [
    pytest.param(axis, symmetric, id=f"axis={axis}-symmetric={symmetric}")
    for axis in (None, 0)
    for symmetric in (False, True)
]


def layer(seed=0):
    """Channels of very different ranges; one all zero, one constant, one positive, one tiny; a
    fifth pruned.
    """
    generator = torch.Generator().manual_seed(seed)
    weight = torch.randn(12, 6, 3, 3, generator=generator) * torch.rand(
        12, 1, 1, 1, generator=generator
    )
    weight[torch.rand(weight.shape, generator=generator) < 0.2] = 0
    weight[0], weight[1], weight[2], weight[3] = 0, 0.7, weight[2].abs(), weight[3] * 1e-9
    return weight


def limits(bits, symmetric):
    return (1 - 2 ** (bits - 1), 2 ** (bits - 1) - 1) if symmetric else (0, 2**bits - 1)


def test_affine_by_hand():
    # From -1 to 2 in 3 steps of 1; zero is the value 1.
    result = quantize(torch.tensor([-1.0, 0.0, 0.4, 2.0]), bits=2)
    assert result.values.tolist() == [0, 1, 1, 3]
    assert (result.scale.item(), result.zero_point.item()) == (1.0, 1)
    assert result.decode().tolist() == [-1, 0, 0, 2]


def test_symmetric_by_hand():
    # The largest is 7 in 7 steps of 1, and none below -7.
    result = quantize(torch.tensor([-6.6, 0.0, 2.2, 7.0]), bits=4, symmetric=True)
    assert result.values.tolist() == [-7, 0, 2, 7]
    assert (result.scale.item(), result.zero_point.item()) == (1.0, 0)


def test_each_channel_has_its_own_scale():
    result = quantize(torch.tensor([[1.0, -1.0], [100.0, 50.0]]), bits=8, axis=0, symmetric=True)
    assert result.scale.tolist() == pytest.approx([1 / 127, 100 / 127])
    assert result.values.tolist() == [[127, -127], [127, 64]]


@pytest.mark.parametrize("range_method", ["minmax", "mse"])
@pytest.mark.parametrize("bits", [2, 3, 4, 7, 8])
@pytest.mark.parametrize(("axis", "symmetric"), KINDS)
def test_decodes_as_pytorch_does(axis, symmetric, bits, range_method):
    weight = layer()
    result = quantize(weight, bits, axis, symmetric, range_method)
    low, high = limits(bits, symmetric)
    assert result.values.dtype == (torch.int8 if symmetric else torch.uint8)
    assert low <= int(result.values.min())
    assert int(result.values.max()) <= high
    assert result.scale.shape == result.zero_point.shape == (() if axis is None else (12,))
    assert result.symmetric is symmetric
    if axis is None:
        expected = torch.fake_quantize_per_tensor_affine(
            weight, result.scale, result.zero_point, low, high
        )
    else:
        expected = torch.fake_quantize_per_channel_affine(
            weight, result.scale, result.zero_point, 0, low, high
        )
    assert torch.equal(result.decode(), expected)


@pytest.mark.skipif(
    not hasattr(torch, "quantize_per_tensor"), reason="this torch has no quantized tensors any more"
)
@pytest.mark.parametrize(("axis", "symmetric"), KINDS)
def test_values_are_those_of_quantized_tensors(axis, symmetric):
    weight = layer()
    result = quantize(weight, 8, axis, symmetric)
    dtype = torch.qint8 if symmetric else torch.quint8
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if axis is None:
            oracle = torch.quantize_per_tensor(
                weight, result.scale.item(), int(result.zero_point), dtype
            )
        else:
            oracle = torch.quantize_per_channel(weight, result.scale, result.zero_point, 0, dtype)
        assert torch.equal(oracle.int_repr(), result.values)
        assert torch.equal(oracle.dequantize(), result.decode())


@pytest.mark.parametrize("range_method", ["minmax", "mse"])
@pytest.mark.parametrize("bits", [2, 8])
@pytest.mark.parametrize(("axis", "symmetric"), KINDS)
def test_zero_is_exact(axis, symmetric, bits, range_method):
    weight = layer()
    assert not quantize(weight, bits, axis, symmetric, range_method).decode()[weight == 0].any()


@pytest.mark.parametrize("bits", [2, 5, 8])
@pytest.mark.parametrize(("axis", "symmetric"), KINDS)
def test_minmax_is_within_half_a_step(axis, symmetric, bits):
    weight = layer()
    result = quantize(weight, bits, axis, symmetric)
    step = result.scale if axis is None else result.scale.view(-1, 1, 1, 1)
    # An affine range is moved by up to half a step to make zero exact, which may clip as much at
    # its end.
    assert (
        (result.decode() - weight).abs() <= step * (0.5 if symmetric else 1.0) * (1 + 1e-5)
    ).all()


@pytest.mark.parametrize("bits", [2, 3, 4, 6, 8])
@pytest.mark.parametrize(("axis", "symmetric"), KINDS)
def test_mse_is_never_worse_than_minmax_in_any_channel(axis, symmetric, bits):
    weight = layer()
    plain, clipped = (
        quantize(weight, bits, axis, symmetric, range_method).decode()
        for range_method in ("minmax", "mse")
    )
    parts = zip(weight, plain, clipped, strict=True) if axis == 0 else [(weight, plain, clipped)]
    assert all(squared_error(w, c) <= squared_error(w, p) * (1 + 1e-6) for w, p, c in parts)


def test_mse_clips_an_outlier():
    weight = torch.cat([torch.linspace(-1, 1, 1000), torch.tensor([8.0])])
    plain, clipped = quantize(weight, 3), quantize(weight, 3, range_method="mse")
    assert squared_error(weight, clipped.decode()) < 0.8 * squared_error(weight, plain.decode())
    assert clipped.decode().max() < 8


def error_of_all_pairs_of_ends(weight, bits):
    """The least squared error of a channel among 50 x 50 ranges, by the definition."""
    highest = 2**bits - 1
    low = weight.min().clamp(max=0)
    high = weight.max().clamp(min=0)
    clips = torch.linspace(0.15, 1, 50)
    ends = torch.cartesian_prod(clips * low, clips * high)
    scale = ((ends[:, 1] - ends[:, 0]) / highest)[:, None]
    zero_point = (-ends[:, :1] / scale).round()
    integers = ((weight[None] / scale).round() + zero_point).clamp(0, highest)
    return ((integers - zero_point) * scale - weight[None]).square().sum(1).min()


@pytest.mark.parametrize("bits", [2, 3, 4, 6])
@pytest.mark.parametrize("axis", [None, 0])
@pytest.mark.parametrize("skewed", [False, True])
def test_mse_finds_the_best_of_all_pairs_of_ends(skewed, axis, bits):
    generator = torch.Generator().manual_seed(bits)
    weight = torch.randn(24, 32, 3, 3, generator=generator)
    if skewed:
        weight = weight.exp() - 0.7
    found = squared_error(weight, quantize(weight, bits, axis, range_method="mse").decode())
    channels = weight.flatten(1) if axis == 0 else weight.reshape(1, -1)
    best = sum(error_of_all_pairs_of_ends(channel, bits) for channel in channels)
    assert found <= float(best) * 1.001


@pytest.mark.parametrize("range_method", ["minmax", "mse"])
@pytest.mark.parametrize(("axis", "symmetric"), KINDS)
@pytest.mark.parametrize(
    "values", [[0.0] * 4, [0.25] * 4, [-0.25] * 4, [3.0], [0.0], [1e-30, -1e-30], [1e-42]]
)
def test_degenerate_weights(values, axis, symmetric, range_method):
    weight = torch.tensor(values)
    result = quantize(weight, 8, axis, symmetric, range_method)
    assert torch.allclose(result.decode(), weight, rtol=1 / 127, atol=1e-37)
    assert (result.scale > 0).all()


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_values_that_are_not_finite_are_refused_by_name(bad):
    with pytest.raises(UserError, match=r"fc\.weight holds NaN or infinite"):
        quantize(torch.tensor([1.0, bad]), name="fc.weight")


@pytest.mark.parametrize(
    ("wrong", "match"),
    [
        ({"bits": 1}, r"bits must be in \[2, 8\], got 1"),
        ({"bits": 9}, r"bits must be in \[2, 8\], got 9"),
        ({"axis": 1}, "axis must be 0 .* got 1"),
        ({"range_method": "max"}, "range must be minmax or mse, got max"),
    ],
)
def test_arguments_out_of_range(wrong, match):
    with pytest.raises(UserError, match=match):
        quantize(torch.randn(3, 3), **wrong)


@pytest.mark.parametrize("values", [[3e38, -3e38], [math.inf]])
def test_a_range_beyond_float32_is_refused(values):
    with pytest.raises(UserError, match=r"head\.weight"):
        quantize(torch.tensor(values), name="head.weight")


def test_a_single_number_has_no_channels():
    with pytest.raises(UserError, match="s is a single number"):
        quantize(torch.tensor(1.0), axis=0, name="s")
    assert quantize(torch.tensor(1.0)).decode().shape == ()


def test_on_top_of_kmeans_the_centroids_are_quantized():
    weight = layer()
    book = share_weights(weight, 16)
    coarse = quantize_codebook(book, 4)
    assert torch.equal(coarse.centroids, quantize(book.centroids, 4).decode())
    assert torch.equal(coarse.indices, book.indices)
    assert torch.equal(
        coarse.decode() == 0, (weight == 0) | (coarse.centroids[coarse.indices.long()] == 0)
    )
    assert torch.allclose(coarse.decode(), quantize(book.decode(), 4).decode(), atol=1e-6)
    empty = share_weights(torch.zeros(3), 2)
    assert quantize_codebook(empty) is empty


def test_quantize_model_takes_prunable_weights_by_name_with_exceptions():
    model = Flat()
    assert list(quantize_model(model)) == ["conv.weight", "head.weight"]
    result = quantize_model(
        model, 8, axis=0, layers={"head.weight": 3}, skip=["conv.weight"], batchnorm=True
    )
    assert {name: (item.bits, item.axis) for name, item in result.items()} == {
        "head.weight": (3, 0),
        "norm.weight": (8, None),
    }
    with pytest.raises(UserError, match=r"bias is not a weight"):
        quantize_model(model, skip=["bias"])


def test_nothing_that_is_used_warns():
    script = (
        "import warnings, torch\nwarnings.simplefilter('error')\n"
        "from core.compress.affine import quantize\n"
        "for axis in (None, 0):\n"
        "    for symmetric in (False, True):\n"
        "        for method in ('minmax', 'mse'):\n"
        "            quantize(torch.randn(4, 5), 4, axis, symmetric, method).decode()\n"
    )
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
