"""Checks the files of a run from anybody, after they were unpacked, in the same child process.

Afterwards the folder holds nothing that its readers do not expect.
"""

from collections.abc import Callable, Generator
from pathlib import Path

from pydantic import ValidationError

from core.errors import UserError
from core.events import Event, Progress
from core.files import write_atomically
from core.hashes import HASHES, has_readable_hashes, recorded_files, state_of
from core.models.saved import read_card
from core.models.tensor_file import read_header
from core.runs.archive.layout import CONFIG, STATUS, archived_files, portable_status
from core.runs.integrity import CHECKPOINT
from core.runs.run import (
    ANSWERS,
    BEST,
    INITIAL,
    INT8,
    LATENCY,
    MASKS,
    MODEL,
    OLD_PACKED,
    PACKED,
    RunConfig,
    Status,
    to_json,
)


def check_contents(folder: Path, run_id: str, name: str) -> Generator[Event, None, None]:
    """Check every file in the folder that a zip was unpacked into.

    run_id: the run's id by the zip's manifest. name: what errors call the zip. A status of a run
    that is worked on is changed to one of a run that was interrupted. Raises UserError, in one
    sentence, for a file that is not what its name says.
    """
    _check_config(folder, run_id, name)
    _check_status(folder, name)
    _check_hashes(folder, name)
    for file in archived_files(folder, is_finished=False):
        check = _check_of(file)
        if check is None:
            continue
        yield Progress(f"Checking {file}", 0, 0)
        try:
            check(folder / file)
        except Exception as error:  # parsers raise errors of many kinds for damaged files
            raise UserError(
                f"{name} is damaged or hostile: its {file} cannot be read"
                f" ({_short(error, folder)})."
            ) from error


def _check_config(folder: Path, run_id: str, name: str) -> None:
    try:
        config = RunConfig.model_validate_json((folder / CONFIG).read_bytes())
    except (OSError, ValueError) as error:
        raise UserError(
            f"The run in {name} cannot be opened here: its {CONFIG} is damaged, or of another"
            f" version ({_short(error, folder)})."
        ) from error
    if config.id != run_id:
        raise UserError(f"{name} names two runs: export the run again.")
    recipe = config.recipe
    for fact in ("model", "dataset"):
        if getattr(recipe, fact, getattr(config, fact)) != getattr(config, fact):
            raise UserError(f"{name} names two networks or data sets: export the run again.")


def _check_status(folder: Path, name: str) -> None:
    try:
        status = Status.model_validate_json((folder / STATUS).read_bytes())
    except (OSError, ValueError) as error:
        reason = _short(error, folder)
        raise UserError(f"{name} is damaged: its {STATUS} cannot be read ({reason}).") from error
    portable = to_json(portable_status(status))
    if portable != to_json(status):
        write_atomically(folder / STATUS, portable)


def _check_hashes(folder: Path, name: str) -> None:
    """Raise UserError for a file whose hash, recorded when the run was made, is another one."""
    for place in (folder, folder / "epochs"):
        if not has_readable_hashes(place):
            raise UserError(f"{name} is damaged: the hashes in its {HASHES} cannot be read.")
        for path in recorded_files(place):
            if path.parent == place and path.exists() and state_of(path) == "damaged":
                raise UserError(
                    f"{name} is damaged: its {path.name} is not what was written when the run was"
                    " made (its SHA-256 differs)."
                )


def _check_of(file: str) -> Callable[[Path], object] | None:
    """Return the function that reads a file of this name, None if its readers expect anything."""
    is_epoch = file.startswith("epochs/") and file.endswith(".safetensors")
    if is_epoch or file in (MODEL, INITIAL, BEST, MASKS):
        return read_card
    checks: dict[str, Callable[[Path], object]] = {
        ANSWERS: read_header,
        PACKED: _read_packed,
        OLD_PACKED: _read_packed,
        INT8: _read_onnx,
        LATENCY: _read_latency,
        CHECKPOINT: _read_checkpoint,
    }
    return checks.get(file)


def _read_packed(path: Path) -> None:
    from core.compress import codec  # imports torch

    codec.load(path)


def _read_onnx(path: Path) -> None:
    from onnx.external_data_helper import uses_external_data

    from core.deploy.onnx.metadata import card_of, parse_onnx

    content = path.read_bytes()
    card_of(content)
    if any(uses_external_data(tensor) for tensor in parse_onnx(content).graph.initializer):
        raise UserError("it asks for another file")


def _read_latency(path: Path) -> None:
    from core.deploy.latency_report import read_report

    read_report(path)


def _read_checkpoint(path: Path) -> None:
    from core.checkpoints.formats import read_content  # imports torch

    read_content(path, path.name)


def _short(error: Exception, folder: Path) -> str:
    """Return the error as one phrase without the name of the temporary folder."""
    if isinstance(error, ValidationError):
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        text = f"{place}: {first['msg']}" if place else first["msg"]
    else:
        text = str(error) or type(error).__name__
    return " ".join(text.replace(f"{folder}/", "").split())[:200].rstrip(".")
