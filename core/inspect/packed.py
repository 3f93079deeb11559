"""Where the bytes of a packed file are, from its header alone: for pages that shall not load torch for it."""

from pathlib import Path

from safetensors import SafetensorError, safe_open

from core.errors import UserError

_PARTS = {"masks": 4, "indices": 4, "tables": 1, "codebooks": 4, "zero_points": 1, "rest": 1}  # bytes an element


def parts(path: Path) -> dict[str, int]:
    """Bytes of masks, indices, tables, codebooks (zero points among them), rest and header, as in `codec.Ledger`.

    Raises UserError for a file that cannot be read, or that has other parts.
    """
    try:
        with safe_open(str(path), "numpy") as file:
            sizes = {name: width * file.get_slice(name).get_shape()[0] for name, width in _PARTS.items()}
    except (OSError, SafetensorError) as error:
        raise UserError(f"{path} is no packed file, or it is damaged ({error}).") from error
    sizes["codebooks"] += sizes.pop("zero_points")
    return sizes | {"header": path.stat().st_size - sum(sizes.values())}
