"""Contexts: what they are by hand, that both sides find the same, and that they never change."""

import hashlib

import numpy as np
import pytest

from core.compress.packed.context_counts import CONTEXTS, PREDICTIONS, ContextCounts
from core.compress.packed.contexts import (
    ContextModel,
    Learned,
    from_grid,
    grid_shape,
    has_contexts,
    to_grid,
)
from core.compress.packed.entropy import Decoder, Encoder
from core.compress.packed.layers import IntegerSymbols, LayerInContexts, read_in_contexts
from core.compress.packed.levels import levels_in_units, mask_levels, unit_code
from core.compress.packed.prediction import Predictor, earlier_neighbours

LEVELS = np.array([-100, -40, 0, 40, 100], np.int16)


def pseudorandom(shape, letters=5):
    """The same symbols on every machine and in every version of numpy."""
    numbers = np.arange(np.prod(shape, dtype=int), dtype=np.int64) * 48271 % 2147483647
    return (numbers * 16807 % 2147483647 % 1009 % letters).astype(np.uint8).reshape(shape)


def units_of(symbols, levels=LEVELS, learned=None, kept=None):
    """Contexts and likelihoods of each unit, while the symbols are learnt."""
    model = ContextModel(symbols.shape, levels, learned or Learned(), kept=kept)
    grid = to_grid(symbols)
    units = []

    def code_unit(unit, contexts, likelihoods):
        units.append((unit, contexts, likelihoods))
        return unit.take(grid)

    model.code(code_unit)
    model.teach()
    return units


def test_the_grid_has_the_kernel_first():
    weight = np.arange(2 * 3 * 4).reshape(2, 3, 2, 2)
    grid = to_grid(weight)
    assert grid.shape == (4, 2, 3)
    assert grid[1, 1, 2] == weight[1, 2, 0, 1]
    assert np.array_equal(from_grid(grid, weight.shape), weight)
    assert grid_shape((7,)) == (7, 1, 1)
    assert grid_shape((7, 5, 3, 2, 2)) == (7, 5, 12)


def test_neighbours_are_left_up_and_both_diagonals_above():
    #  0 1 2
    #  3 4 5
    assert [earlier_neighbours(position, 3) for position in range(6)] == [
        [],
        [0],
        [1],
        [0, 1],
        [3, 1, 0, 2],
        [4, 2, 1],
    ]


def test_levels_by_hand():
    values = np.array([-2.0, 0.0, 1.0])
    code = unit_code(values, np.array([1, 2, 4]))  # the mean square is (4 + 4) / 7
    assert code == round(8 * np.log2(np.sqrt(8 / 7) / 64))
    assert levels_in_units(values, -48).tolist() == [-128, 0, 64]  # 2^-6
    assert levels_in_units(values, -44).tolist() == [-85, 0, 43]  # 1.5 * 2^-6
    assert levels_in_units(np.array([1e30, -1e30]), 0).tolist() == [4096, -4096]
    assert mask_levels(3, 1).tolist() == [0, 128]
    assert mask_levels(1, 0).tolist() == [0, 64]


def test_a_channel_of_large_weights_gets_a_higher_scale_class():
    symbols = np.full((64, 64, 1, 2), 2, np.uint8)  # zeros
    symbols[:, 32:] = 4  # the second half of the input channels is large
    first, second = units_of(symbols)[:2]
    assert set(first[1]) == {first[1][0]}  # nothing is known before the first unit
    scales = second[1].reshape(-1, 64) // PREDICTIONS
    assert scales[:, :32].max() < scales[:, 32:].min()


def test_the_prediction_follows_the_neighbour():
    predictor = Predictor(1)
    neighbours = np.array([[64, -64, 32, 0] * 1000], np.int16)
    predictor.learn(neighbours, (neighbours[0] // 2).astype(np.int16))
    assert predictor.predict(np.array([[100, -100]], np.int16)).tolist() == [50, -50]


def test_counts_by_hand():
    counts = ContextCounts(2, None, None)
    assert counts.weights().shape == (CONTEXTS, 2)
    assert (counts.weights()[:, 0] == counts.weights()[:, 1]).all()
    symbols = np.array([1] * 99 + [0], np.uint8)
    learnt = counts.learn(np.full(100, 4, np.uint8), symbols)
    assert learnt[4].tolist() == [1, 99]
    weights = counts.weights()
    shares = weights[:, 1] / weights.sum(1)
    assert shares[4] == pytest.approx(0.99, abs=0.01)
    assert 0.6 < shares[5] < shares[4]  # another context of the same scale learns less
    assert shares[-1] == pytest.approx((99 + 16) / (100 + 32), abs=0.02)  # the layer's histogram


def test_likelihoods_are_whole_numbers_that_float32_adds_exactly():
    counts = ContextCounts(3, None, None)
    for _ in range(20):
        counts.learn(np.zeros(1_000_000, np.uint8), np.zeros(1_000_000, np.uint8))
    weights = counts.weights()
    assert (weights == np.rint(weights)).all()
    assert weights.min() >= 1
    assert weights.sum(1, dtype=np.float64).max() < 2**24


@pytest.mark.parametrize("shape", [(64, 16, 3, 3), (200, 30), (90, 8, 5), (1, 64, 1, 1)])
@pytest.mark.parametrize("masked", [False, True])
def test_the_reader_finds_the_contexts_of_the_writer(shape, masked):
    kept = to_grid(pseudorandom(shape, 2).astype(bool)) if masked else None
    layers = [pseudorandom(shape), pseudorandom(shape)[::-1]]
    encoder, learned = Encoder(), Learned()
    for symbols in layers:
        layer = LayerInContexts(symbols, ContextModel(shape, LEVELS, learned, kept=kept))
        layer.write(encoder)
    decoder, learned = Decoder(encoder.words()), Learned()
    for symbols in layers:
        model = ContextModel(shape, LEVELS, learned, kept=kept)
        found = read_in_contexts(decoder, model, shape)
        expected = symbols if kept is None else symbols * from_grid(kept, shape)
        assert np.array_equal(found, expected)
    decoder.finish()


def test_the_same_symbols_give_the_same_likelihoods_for_ever():
    """A file written today can be read for ever: this digest was made by the first version."""
    digest = hashlib.sha256()
    learned = Learned()
    for kept in (None, pseudorandom((64, 24, 3, 3), 2).astype(bool)):
        grid = None if kept is None else to_grid(kept)
        for _, contexts, likelihoods in units_of(
            pseudorandom((64, 24, 3, 3)), learned=learned, kept=grid
        ):
            digest.update(contexts.tobytes())
            digest.update(likelihoods.astype("<f4").tobytes())
    mask = pseudorandom((64, 24, 3, 3), 2)
    for _, contexts, likelihoods in units_of(mask, mask_levels(1, 1)):
        digest.update(contexts.tobytes())
        digest.update(likelihoods.astype("<f4").tobytes())
    for bits in (6, 8):
        coding = IntegerSymbols(bits, symmetric=False)
        digest.update(coding.low_likelihoods(pseudorandom(5000, 64)).astype("<f4").tobytes())
    assert digest.hexdigest() == LIKELIHOODS


def test_small_layers_have_no_contexts():
    assert has_contexts((64, 64), 4096, 5)
    assert not has_contexts((4, 4), 16, 5)
    assert not has_contexts((1, 1, 4096, 4096), 1 << 24, 5)  # each position would be a unit
    assert not has_contexts((64, 64), 100, 256)
    assert not has_contexts((0, 3, 3, 3), 0, 2)


@pytest.mark.parametrize("bits", range(2, 9))
@pytest.mark.parametrize("symmetric", [False, True])
def test_integers_are_split_and_joined(bits, symmetric):
    coding = IntegerSymbols(bits, symmetric)
    integers = np.arange(-coding.half, coding.half).astype(np.int16)
    high, low = coding.split(integers)
    assert high.max() < coding.alphabet <= 64
    assert np.array_equal(coding.join(high, low), integers)
    means = [integers[high == i].mean() for i in range(coding.alphabet)]
    assert np.allclose(coding.values(), means)


def test_low_bits_follow_the_slope_of_the_histogram():
    coding = IntegerSymbols(8, symmetric=True)
    high = np.repeat(np.arange(3, dtype=np.uint8), [100, 200, 300])
    rising = coding.low_likelihoods(high)[1]
    assert (np.diff(rising) > 0).all()
    # One half of an integer left and right of the middle: 200 -+ 100 / 16, in sixteenths.
    assert rising[3:5].tolist() == [200 * 15 + 100 + 1, 200 * 15 + 300 + 1]


LIKELIHOODS = "c348ba7d4e4ba95b7311d794bd9b5d53e8c513610b854477a99d46c5442c2390"
