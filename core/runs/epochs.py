"""The weights at the ends of a training's epochs, to look back at: runs/<id>/epochs/<n>.safetensors.

They are for looking only: a run continues from its checkpoint, whatever became of them.
"""

import contextlib
from pathlib import Path

from core.files import write_atomically

_SUFFIX = ".safetensors"


def wanted(epoch: int, every: int, epochs: int) -> bool:
    """Whether the end of `epoch` is to be kept: the first, the last, and each `every`-th of `epochs`; 0: none."""
    return every > 0 and (epoch in (1, epochs) or epoch % every == 0)


def file(run: Path, epoch: int) -> Path:
    """Where the weights of `epoch` are, if they are kept; `run` is the run's folder."""
    return run / "epochs" / f"{epoch}{_SUFFIX}"


def kept(run: Path) -> list[int]:
    """The epochs that are kept now, ascending."""
    names = (path.name.removesuffix(_SUFFIX) for path in (run / "epochs").glob(f"*{_SUFFIX}"))
    return sorted(int(name) for name in names if name.isdecimal())


def keep(run: Path, epoch: int, content: bytes, every: int, limit: int) -> None:
    """Write the weights of `epoch`, and thin all that are kept until they have at most `limit` bytes.

    Nothing is kept if one epoch alone is larger than that.
    """
    if not (room := limit // len(content)):  # all epochs of a run are of one size
        return
    file(run, epoch).parent.mkdir(exist_ok=True)
    write_atomically(file(run, epoch), content, lasting=False)
    epochs = kept(run)
    for other in set(epochs).difference(thinned(epochs, every, room)):
        with contextlib.suppress(PermissionError):  # Windows keeps what somebody reads; it goes the next time
            file(run, other).unlink(missing_ok=True)


def thinned(epochs: list[int], every: int, room: int) -> list[int]:
    """At most `room` of the ascending `epochs`, spread over all of them.

    Every second one goes, then every second of the rest: what stays are multiples of twice `every`, of four times,
    and so on, and the first and the newest as long as they can.
    """
    stride = every
    while len(epochs) > room and stride <= epochs[-1]:
        stride *= 2
        epochs = [epoch for epoch in epochs if epoch % stride == 0 or epoch in (epochs[0], epochs[-1])]
    return epochs[-room:]
