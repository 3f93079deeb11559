"""Looking through a pickle without running it: what it asks for, and how much memory it would claim."""

import io
import pickletools
import re

from core.errors import UserError

MAX_BYTES = 16 * 2**20  # of a pickle; that of a state dict has a hundred bytes a tensor

_HARMLESS = re.compile(
    r"collections\.(OrderedDict|Counter)|(__builtin__|builtins)\.set|_codecs\.encode|torch\.(Size|device)"
    r"|torch\._utils\._rebuild_(tensor|tensor_v2|parameter|qtensor|sparse_tensor|meta_tensor_no_storage)"
    r"|torch\.nn\.parameter\.Parameter|torch\.serialization\._get_layout|torch\.per_(tensor|channel)_affine"
    r"|torch\.(\w+\.)?\w+Storage|torch\.(float|bfloat|complex|uint|int|quint|qint|bool|half|double|long|short)\d*\w*")
_NUMBERS = ("BININT", "BININT1", "BININT2", "LONG1", "LONG4", "INT", "LONG")
_STRINGS = ("BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8", "UNICODE", "SHORT_BINSTRING", "BINSTRING", "STRING")


def look_through(stream: io.BytesIO, name: str) -> None:
    """Read the next pickle of `stream` to its end.

    Raises UserError, about the file called `name`, if the pickle asks for anything but tensors or is very large, and
    whatever `pickletools` raises if it is damaged.
    """
    strings, begin = [], stream.tell()
    for operation, argument, _ in pickletools.genops(stream):
        if stream.tell() - begin > MAX_BYTES:
            raise UserError(f"{name} holds more than {MAX_BYTES / 1e6:.0f} MB besides its weights.")
        if operation.name in ("GLOBAL", "INST"):
            _refuse_code(argument.replace(" ", "."), name)
        elif operation.name == "STACK_GLOBAL":
            _refuse_code(".".join(strings[-2:]), name)
        elif operation.name.startswith("EXT"):
            _refuse_code("a registered extension", name)
        elif operation.name in _STRINGS:
            strings = [*strings[-1:], str(argument)]


def claimed(stream: io.BytesIO) -> int:
    """Numbers in all the storages that the next pickle of `stream`, of torch.save before 1.6, refers to.

    Each is a ("storage", type, key, device, size, None). Raises ValueError for what torch would not have written.
    """
    total, last = 0, []
    for operation, argument, _ in pickletools.genops(stream):
        if operation.name == "BINPERSID":
            (number, size), (none, _), (pack, _) = last
            if number not in _NUMBERS or none != "NONE" or pack != "TUPLE" or size < 0:
                raise ValueError("a storage without a size")
            total += size
        elif "PUT" not in operation.name:
            last = [*last[-2:], (operation.name, argument)]
    return total


def _refuse_code(wanted: str, name: str) -> None:
    if not _HARMLESS.fullmatch(wanted):
        raise UserError(f"{name} contains code, not only weights (it asks for {wanted[:60]!r}): save the network's "
                        "state_dict() alone.")
