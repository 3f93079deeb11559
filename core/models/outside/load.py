"""Runs the file of an own network, and builds the network."""

import contextlib
import sys
import threading
import traceback
from collections.abc import Iterator
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

import torch
from torch import nn

from core.errors import UserError
from core.models.outside.files import NetworkFile, keep_version

_loading = threading.RLock()
_modules: dict[str, ModuleType] = {}
"""The files that were run in this process, by SHA-256. Each version is run once."""


def load_file(file: NetworkFile) -> ModuleType:
    """Run the file as a module, once. Raises UserError, with the line, for whatever it raises."""
    with _loading:
        if file.sha256 not in _modules:
            _modules[file.sha256] = _run(file)
            keep_version(file)
        return _modules[file.sha256]


def build_network(file: NetworkFile, classes: int, what: str = "") -> nn.Module:
    """Call the file's `build(classes)`. The first weights are drawn from the global generator.

    what: said after an error of the file. Raises UserError, with the line, for whatever it raises,
    and if it returns no network.
    """
    build = getattr(load_file(file), "build", None)
    if not callable(build):
        raise UserError(
            f"{file.path} has no function build: add `def build(classes):`, which returns the"
            " network."
        )
    with _loading, located_errors(file.path, what), _usual_surroundings():
        network = build(classes)
    if not isinstance(network, nn.Module):
        raise UserError(
            f"{place_of(file.path, build)}: build must return a torch.nn.Module, got"
            f" {type(network).__name__}"
        )
    return network


@contextlib.contextmanager
def located_errors(path: Path, what: str = "") -> Iterator[None]:
    """Turn an error from inside into a UserError with its line in the file at `path`.

    what: said after the error, such as "for images of 32 x 32". An `exit()` is such an error, too.
    """
    try:
        yield
    except (UserError, MemoryError):
        raise
    except (Exception, SystemExit) as error:
        line = _line_of(error, path)
        place = str(path) if line is None else f"{path}, line {line}"
        message = str(error).splitlines()[0] if str(error) else "no message"
        raise UserError(f"{place}: {type(error).__name__}: {message}{what}") from error


def place_of(path: Path, function: Any) -> str:
    """Return the file and the line at which one of its functions begins, or only the file."""
    code = getattr(function, "__code__", None)
    if isinstance(code, CodeType) and code.co_filename == str(path):
        return f"{path}, line {code.co_firstlineno}"
    return str(path)


def _run(file: NetworkFile) -> ModuleType:
    # dataclasses and torch.export look a class's module up by its name.
    module = ModuleType(f"secateur_own_{file.path.stem}_{file.sha256[:16]}")
    module.__file__ = str(file.path)
    sys.modules[module.__name__] = module
    # Random numbers that the file itself draws must not change the weights of this network.
    with located_errors(file.path), _usual_surroundings(), torch.random.fork_rng(devices=[]):
        exec(compile(file.source, str(file.path), "exec"), module.__dict__)
    return module


@contextlib.contextmanager
def _usual_surroundings() -> Iterator[None]:
    """Keep the default type of numbers, and keep what is printed out of a command's JSON."""
    dtype = torch.get_default_dtype()
    try:
        with contextlib.redirect_stdout(sys.stderr):
            yield
    finally:
        torch.set_default_dtype(dtype)


def _line_of(error: BaseException, path: Path) -> int | None:
    """Return the line of the file at which an error arose, None if it did not arise there."""
    if isinstance(error, SyntaxError) and error.filename == str(path):
        return error.lineno
    frames = traceback.extract_tb(error.__traceback__)
    lines = [frame.lineno for frame in frames if frame.filename == str(path)]
    return lines[-1] if lines else None
