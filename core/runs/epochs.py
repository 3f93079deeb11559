"""Keep the weights at the ends of a training's epochs: runs/<id>/epochs/<n>.safetensors.

They are there to be viewed only. A run continues from its checkpoint, which does not need them.
"""

import contextlib
from pathlib import Path

from core.hashes import write_with_hash

_SUFFIX = ".safetensors"


def is_epoch_kept(epoch: int, every: int, epochs: int) -> bool:
    """Whether the weights of `epoch` are kept: of the first, the last and each `every`-th epoch.

    With `every` 0 none are kept. `epochs` is the number of epochs in the whole run.
    """
    return every > 0 and (epoch in (1, epochs) or epoch % every == 0)


def epoch_file(run_folder: Path, epoch: int) -> Path:
    """The path of the file that holds the weights of `epoch`, if they are kept."""
    return run_folder / "epochs" / f"{epoch}{_SUFFIX}"


def kept_epochs(run_folder: Path) -> list[int]:
    """List the epochs whose weights are in the folder, ascending."""
    files = (run_folder / "epochs").glob(f"*{_SUFFIX}")
    names = [path.name.removesuffix(_SUFFIX) for path in files]
    return sorted(int(name) for name in names if name.isdecimal())


def write_epoch(run_folder: Path, epoch: int, content: bytes, every: int, limit: int) -> None:
    """Write the weights of `epoch`, and delete others until all have at most `limit` bytes.

    Nothing is written if the weights of one epoch are larger than that.
    """
    # All epochs of a run have the same size.
    room = limit // len(content)
    if not room:
        return
    file = epoch_file(run_folder, epoch)
    file.parent.mkdir(exist_ok=True)
    write_with_hash(file, content, lasting=False)
    epochs = kept_epochs(run_folder)
    for other in set(epochs) - set(thin_epochs(epochs, every, room)):
        # Windows refuses to delete a file that somebody reads. It is deleted the next time.
        with contextlib.suppress(PermissionError):
            epoch_file(run_folder, other).unlink(missing_ok=True)


def thin_epochs(epochs: list[int], every: int, room: int) -> list[int]:
    """Choose at most `room` of the ascending `epochs`, spread over all of them.

    Every second one is dropped, then every second of the rest. The multiples of 2 * `every` remain,
    then those of 4 * `every`, and so on. The first and the newest remain as long as possible.
    """
    stride = every
    while len(epochs) > room and stride <= epochs[-1]:
        stride *= 2
        ends = (epochs[0], epochs[-1])
        epochs = [epoch for epoch in epochs if epoch % stride == 0 or epoch in ends]
    return epochs[-room:]
