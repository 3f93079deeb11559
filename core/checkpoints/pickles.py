"""Checks a pickle without running it: which Python objects it asks for, and how large it is."""

import io
import pickletools
import re

from core.errors import UserError

MAX_PICKLE_BYTES = 16 * 2**20
"""The largest pickle that is read. A state dict needs about a hundred bytes for each tensor."""

_HARMLESS_PATTERNS = (
    r"collections\.(OrderedDict|Counter)",
    r"(__builtin__|builtins)\.set",
    r"_codecs\.encode",
    r"torch\.(Size|device)",
    r"torch\._utils\._rebuild_(tensor|tensor_v2|parameter|qtensor)",
    r"torch\._utils\._rebuild_(sparse_tensor|meta_tensor_no_storage)",
    r"torch\.nn\.parameter\.Parameter",
    r"torch\.serialization\._get_layout",
    r"torch\.per_(tensor|channel)_affine",
    r"torch\.(\w+\.)?\w+Storage",
    r"torch\.(float|bfloat|complex|uint|int|quint|qint|bool|half|double|long|short)\d*\w*",
)
_HARMLESS = re.compile("|".join(_HARMLESS_PATTERNS))
"""The names that a pickle of plain tensors may ask for."""

_INTEGERS = ("BININT", "BININT1", "BININT2", "LONG1", "LONG4", "INT", "LONG")
_UNICODE_STRINGS = ("BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8", "UNICODE")
_BYTE_STRINGS = ("SHORT_BINSTRING", "BINSTRING", "STRING")
"""Names of pickle operations, as `pickletools` gives them."""


def check_pickle(stream: io.BytesIO, name: str) -> None:
    """Read the next pickle of `stream` to its end, without running it.

    Raises UserError, about the file called `name`, if the pickle asks for anything but tensors or
    is very large. Raises what `pickletools` raises if it is damaged.
    """
    last_strings: list[str] = []
    start = stream.tell()
    for operation, argument, _ in pickletools.genops(stream):
        if stream.tell() - start > MAX_PICKLE_BYTES:
            megabytes = MAX_PICKLE_BYTES / 1e6
            raise UserError(
                f"{name} holds more than {megabytes:.0f} MB in addition to its weights."
            )
        if operation.name in _UNICODE_STRINGS + _BYTE_STRINGS:
            last_strings = [*last_strings[-1:], str(argument)]
        elif operation.name in ("GLOBAL", "INST"):
            _refuse_code(str(argument).replace(" ", "."), name)
        elif operation.name == "STACK_GLOBAL":
            _refuse_code(".".join(last_strings), name)
        elif operation.name.startswith("EXT"):
            _refuse_code("a registered extension", name)


def count_claimed_values(stream: io.BytesIO) -> int:
    """Count the numbers in all storages to which the next pickle of `stream` refers.

    The pickle must be of torch.save before version 1.6, where a storage is the tuple ("storage",
    type, key, device, size, None). Raises ValueError for a pickle that torch would not write.
    """
    total = 0
    last: list[tuple[str, object]] = []
    for operation, argument, _ in pickletools.genops(stream):
        if operation.name == "BINPERSID":
            total += _storage_size(last)
        elif "PUT" not in operation.name:  # PUT only stores the last value in the memo
            last = [*last[-2:], (operation.name, argument)]
    return total


def _storage_size(last: list[tuple[str, object]]) -> int:
    """Return the size in a storage's tuple, from the last three operations that built it."""
    (size_operation, size), (none_operation, _), (tuple_operation, _) = last
    if size_operation not in _INTEGERS or not isinstance(size, int) or size < 0:
        raise ValueError("a storage without a size")
    if none_operation != "NONE" or tuple_operation != "TUPLE":
        raise ValueError("a storage that is not described as torch does it")
    return size


def _refuse_code(wanted: str, name: str) -> None:
    if not _HARMLESS.fullmatch(wanted):
        raise UserError(
            f"{name} contains code, not only weights (it asks for {wanted[:60]!r}): save the"
            " network's state_dict() alone."
        )
