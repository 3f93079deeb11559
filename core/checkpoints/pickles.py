"""Checks a pickle without running it: which Python objects it asks for, and how large it is."""

import io
import pickletools
import re

from core.errors import UserError

MAX_PICKLE_BYTES = 16 * 2**20
"""The largest pickle that is read. A state dict needs about a hundred bytes for each tensor."""

MAX_OPERATIONS = 2_000_000
"""The most operations of a pickle. A state dict needs about sixty for each tensor."""

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
_STRINGS = _UNICODE_STRINGS + _BYTE_STRINGS
_GETS = ("BINGET", "LONG_BINGET", "GET")
_PUTS = ("BINPUT", "LONG_BINPUT", "PUT")
"""Names of pickle operations, as `pickletools` gives them."""

_ENCODE = "_codecs.encode"
_ENCODE_CALL = ("text", "latin1", "TUPLE2", "REDUCE")
"""Operations after `_codecs.encode` where pickle writes bytes: as text, encoded in latin1."""


def check_pickle(stream: io.BytesIO, name: str) -> None:
    """Read the next pickle of `stream` to its end, without running it.

    Raises UserError, about the file called `name`, if the pickle asks for anything but tensors or
    is very large. Raises what `pickletools` raises if it is damaged.
    """
    last_strings: list[str] = []
    encodings = _Encodings(name)
    start = stream.tell()
    for count, (operation, argument, _) in enumerate(pickletools.genops(stream)):
        if stream.tell() - start > MAX_PICKLE_BYTES or count > MAX_OPERATIONS:
            megabytes = MAX_PICKLE_BYTES / 1e6
            raise UserError(
                f"{name} holds more than {megabytes:.0f} MB in addition to its weights, or more"
                f" than {MAX_OPERATIONS:,} parts."
            )
        encodings.take(operation.name, argument)
        if operation.name in _STRINGS:
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


class _Encodings:
    """Checks that a pickle uses `_codecs.encode` only to write bytes as a text in latin1.

    Other codecs turn a small file into gigabytes ("hex", again and again) or take minutes
    ("punycode"). Follows the pickle's memo as far as it holds the function and texts.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._last: str | None = None
        """The function or text that the last operation pushed, None for anything else."""
        self._memo: dict[object, str | None] = {}
        self._expected: tuple[str, ...] = ()

    def take(self, operation: str, argument: object) -> None:
        """Follow one operation. Raises UserError for another use."""
        if operation in _PUTS:
            self._memo[argument] = self._last
            return
        if operation == "MEMOIZE":
            self._memo[len(self._memo)] = self._last
            return
        self._last = self._pushed(operation, argument)
        if self._expected:
            self._check(operation)
        if self._last == _ENCODE:
            self._expected = _ENCODE_CALL

    def _pushed(self, operation: str, argument: object) -> str | None:
        if operation in _STRINGS:
            return f"text {argument}"
        if operation in _GETS:
            return self._memo.get(argument)
        if operation in ("GLOBAL", "INST") and str(argument).replace(" ", ".") == _ENCODE:
            return _ENCODE
        return None  # torch.load knows no STACK_GLOBAL

    def _check(self, operation: str) -> None:
        expected, *rest = self._expected
        last = self._last or ""
        as_expected = {
            "text": last.startswith("text "),
            "latin1": last in ("text latin1", "text latin-1"),
        }
        if not as_expected.get(expected, operation == expected):
            raise UserError(
                f"{self._name} contains code, not only weights (it encodes texts): save the"
                " network's state_dict() alone."
            )
        self._expected = tuple(rest)


def _refuse_code(wanted: str, name: str) -> None:
    if not _HARMLESS.fullmatch(wanted):
        raise UserError(
            f"{name} contains code, not only weights (it asks for {wanted[:60]!r}): save the"
            " network's state_dict() alone."
        )
