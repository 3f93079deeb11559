"""Byte planes: exact, small where bytes are alike, and no more than was promised."""

import numpy as np
import pytest

from core.compress.packed.planes import deflate, inflate, read_planes, write_planes


@pytest.mark.parametrize("dtype", ["u1", "<u2", "<f4", "<u4", "<u8"])
@pytest.mark.parametrize("count", [0, 1, 7, 70_000])
def test_numbers_come_back(dtype, count):
    numbers = np.random.default_rng(0).integers(0, 100, count).astype(dtype)
    found, left = read_planes(write_planes(numbers) + b"more", dtype, count)
    assert found.dtype == numbers.dtype
    assert np.array_equal(found, numbers)
    assert left == b"more"


def test_planes_by_hand():
    # 1.0 and 2.0 are 3F800000 and 40000000.
    stream = write_planes(np.array([1, 2], "<f4"))
    planes = []
    while stream:
        plane, stream = inflate(stream, 2)
        planes.append(plane.hex())
    assert planes == ["0000", "0000", "8000", "3f40"]


def test_the_exponents_of_weights_are_alike():
    weights = np.random.default_rng(0).normal(size=50_000).astype(np.float32)
    assert len(write_planes(weights)) < 0.87 * weights.nbytes


def test_noise_is_stored():
    noise = np.random.default_rng(0).bytes(200_000)
    assert len(deflate(noise)) < 200_000 + 40


def test_too_much_is_refused():
    with pytest.raises(ValueError, match="cut or too long"):
        inflate(deflate(bytes(1 << 20)), 1000)
    with pytest.raises(ValueError, match="cut or too long"):
        inflate(deflate(b"some text")[:-1], 1000)
    with pytest.raises(ValueError, match="cut or too long"):
        inflate(deflate(b"x"), 0)
    with pytest.raises(ValueError, match="less than"):
        read_planes(write_planes(np.zeros(3, "<f4")), "<f4", 4)
