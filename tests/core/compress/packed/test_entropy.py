"""The entropy coder: exact probabilities, and messages that come back in order."""

import numpy as np
import pytest

from core.compress.packed import entropy


@pytest.mark.parametrize(
    "counts", [[1, 1], [0, 5], [10**9, 1], [1] * 256, [0, 0, 3, 0], [0, 0], [3, 1, 4, 1, 5, 9]]
)
def test_probabilities_are_exact_and_positive(counts):
    table = entropy._probabilities(entropy.count_codes(np.array(counts)))
    assert table.sum() == 1 << 16
    assert table.min() >= 1
    assert len(table) == len(counts)


def encoded(messages):
    encoder = entropy.Encoder()
    for symbols, codes in messages:
        encoder.add(symbols, codes)
    return encoder.words()


def test_messages_come_back_in_order():
    rng = np.random.default_rng(0)
    messages = [
        rng.integers(0, k, n).astype(np.uint8) for k, n in [(2, 1000), (256, 300), (5, 0), (3, 1)]
    ]
    coded = [
        (symbols, entropy.count_codes(np.bincount(symbols, minlength=k)))
        for symbols, k in zip(messages, (2, 256, 5, 3), strict=True)
    ]
    decoder = entropy.Decoder(encoded(coded))
    for symbols, (_, codes) in zip(messages, coded, strict=True):
        assert np.array_equal(decoder.read(codes, len(symbols)), symbols)
    decoder.finish()


def test_long_messages_are_coded_in_pieces(monkeypatch):
    monkeypatch.setattr(entropy, "_PIECE", 7)
    symbols = np.random.default_rng(0).integers(0, 3, 100).astype(np.uint8)
    codes = entropy.count_codes(np.bincount(symbols))
    words = encoded([(symbols, codes)])
    assert np.array_equal(entropy.Decoder(words).read(codes, 100), symbols)
    monkeypatch.undo()
    assert np.array_equal(encoded([(symbols, codes)]), words)


def test_entropy_in_bits():
    assert entropy.entropy(np.array([4, 4])) == 8
    assert entropy.entropy(np.array([8, 0])) == entropy.entropy(np.array([], np.int64)) == 0
    assert entropy.entropy(np.array([2, 1, 1])) == 6


def test_the_bits_of_the_format_do_not_change():
    """A file written today can be read for ever: these words were written by the first version."""
    symbols = np.array([0, 2, 1, 1, 0, 3, 0, 0, 2, 0], np.uint8)
    codes = entropy.count_codes(np.bincount(symbols))
    assert codes.tolist() == [20, 9, 9, 1]
    assert encoded([(symbols, codes)]).tolist() == WORDS


WORDS = [3022392629, 45]
