"""Byte planes: stores numbers byte by byte of their binary form, each plane deflated if that helps.

The bytes of one number have little in common, but the first bytes of all numbers have: in float32
they hold the sign and the exponent, which are alike in the weights of a network. The last bytes are
noise, and are stored as they are. Each plane is a raw deflate stream (RFC 1951), so it says itself
where it ends.
"""

import zlib
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

_RAW_DEFLATE = -15
"""zlib's code for a stream without header and checksum. The file has a checksum of its own."""

_SAMPLE = 1 << 16
"""Bytes that tell whether a long plane can be deflated at all."""
_LONG = 1 << 17
"""In planes of more bytes no repetitions are searched, which takes long and finds little."""


def deflate(data: bytes) -> bytes:
    """The smallest of the deflate streams that zlib makes of the data, without a dictionary."""
    stored = _compressed(data, 0, zlib.Z_DEFAULT_STRATEGY)
    sample = data[:_SAMPLE]
    if len(data) > _SAMPLE and len(_compressed(sample, 9, zlib.Z_HUFFMAN_ONLY)) >= len(sample):
        return stored
    streams = [stored, _compressed(data, 9, zlib.Z_HUFFMAN_ONLY)]
    if len(data) <= _LONG:
        streams.append(_compressed(data, 9, zlib.Z_DEFAULT_STRATEGY))
    return min(streams, key=len)


def deflate_text(text: bytes, dictionary: bytes) -> bytes:
    """The deflate stream of a text that has much in common with the dictionary."""
    compressor = zlib.compressobj(9, zlib.DEFLATED, _RAW_DEFLATE, 9, zdict=dictionary)
    return compressor.compress(text) + compressor.flush()


def inflate(stream: bytes, most: int, dictionary: bytes = b"") -> tuple[bytes, bytes]:
    """The data of a deflate stream, and the bytes after the stream.

    Raises ValueError for a stream that is cut, or whose data has more than `most` bytes.
    """
    inflater = zlib.decompressobj(_RAW_DEFLATE, zdict=dictionary)
    data = inflater.decompress(stream, most + 1)  # 0 would mean any number of bytes
    if not inflater.eof or len(data) > most:
        raise ValueError("a deflated array is cut or too long")
    return data, inflater.unused_data


def write_planes(numbers: NDArray[Any]) -> bytes:
    """The planes of the numbers (n,), those of the highest bytes last; b"" without numbers."""
    if not numbers.size:
        return b""
    columns = np.ascontiguousarray(numbers).view(np.uint8).reshape(-1, numbers.itemsize)
    return b"".join(deflate(column.tobytes()) for column in columns.T)


def read_planes(stream: bytes, dtype: DTypeLike, count: int) -> tuple[NDArray[Any], bytes]:
    """The numbers (count,) that `write_planes` wrote, and the bytes after their planes.

    Raises ValueError if the planes do not hold exactly so many. The caller must limit the count.
    """
    numbers = np.zeros(count, dtype)
    if not count:
        return numbers, stream
    columns = numbers.view(np.uint8).reshape(-1, numbers.itemsize)
    for plane in range(numbers.itemsize):
        data, stream = inflate(stream, count)
        if len(data) != count:
            raise ValueError("a plane holds less than the manifest says")
        columns[:, plane] = np.frombuffer(data, np.uint8)
    return numbers, stream


def _compressed(data: bytes, level: int, strategy: int) -> bytes:
    compressor = zlib.compressobj(level, zlib.DEFLATED, _RAW_DEFLATE, 9, strategy)
    return compressor.compress(data) + compressor.flush()
