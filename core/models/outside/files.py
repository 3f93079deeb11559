"""Finds the files of own networks, and names their versions, without running them.

A network is called by its file's name. In a recipe and in a model card the name has the version,
too: `my_network@1a2b3c4d5e6f` ends in the first digits of the file's SHA-256. So a result never
meets the network of another version, and nothing that is remembered under a name becomes wrong.
"""

import ast
import hashlib
import keyword
import re
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from core.config import models_root
from core.errors import UserError

_VERSION_DIGITS = 12
_VERSIONED_NAME = re.compile(rf"([^\W\d]\w*)@[0-9a-f]{{{_VERSION_DIGITS}}}")
_MOST_DESCRIPTION = 200
_LARGEST_SIDE = 4096

_kept_versions: "dict[str, NetworkFile]" = {}
"""The versions that this process has built, by name. An edit does not disturb a run in progress."""


@dataclass(frozen=True)
class NetworkFile:
    """One version of a file with a network. source: its content."""

    path: Path
    source: bytes

    @property
    def sha256(self) -> str:
        """The SHA-256 of the content, in 64 hexadecimal digits."""
        return hashlib.sha256(self.source).hexdigest()

    @property
    def name(self) -> str:
        """The network's name with its version."""
        return f"{self.path.stem}@{self.sha256[:_VERSION_DIGITS]}"

    @property
    def description(self) -> str:
        """The first line of the file's docstring, or a sentence that names the file."""
        docstring = ast.get_docstring(_parse(self)) or f"Your network in {self.path.name}."
        return docstring.splitlines()[0][:_MOST_DESCRIPTION]

    @property
    def side(self) -> int | None:
        """The height and width of the images in pixels, if the file fixes them by `SIDE = 64`.

        It is read without running the file, so it must be written as a number. Raises UserError if
        it is not, or if the file has a syntax error.
        """
        for statement in _parse(self).body:
            if isinstance(statement, ast.Assign) and _names_side(statement):
                return _checked_side(statement.value, self.path)
        return None


@dataclass(frozen=True)
class Listing:
    """The own networks that can be chosen, and a sentence for each file that cannot.

    files: sorted by name. A file may still turn out to be wrong when it is run.
    """

    files: tuple[NetworkFile, ...]
    problems: tuple[str, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """The names without versions."""
        return tuple(file.path.stem for file in self.files)


def list_files(taken: Collection[str]) -> Listing:
    """List the files in the folder of own networks. Files whose names begin with _ are no networks.

    taken: the names of the built-in networks, which a file cannot have. Nothing is run.
    """
    root = models_root()
    if root is None:
        return Listing((), ())
    if not root.is_dir():
        return Listing((), (f"SECATEUR_MODELS must be a folder, got {root}",))
    files: list[NetworkFile] = []
    problems: list[str] = []
    for path in _paths(root):
        problem = name_problem(path, taken)
        try:
            if problem is None:
                files.append(_read(path))
        except UserError as error:
            problem = str(error)
        if problem is not None:
            problems.append(problem)
    return Listing(tuple(files), tuple(problems))


def name_problem(path: Path, taken: Collection[str]) -> str | None:
    """Say why the network in a file cannot be chosen, None if its name is good."""
    if not path.stem.isidentifier() or keyword.iskeyword(path.stem):
        return f"{path} is left out: its name must be letters, digits and _, such as my_network.py."
    if path.stem.lower() in {name.lower() for name in taken}:
        return f"{path} is left out: {path.stem} is a built-in network, so rename the file."
    return None


def is_versioned(name: str) -> bool:
    """Whether a name is that of an own network with its version."""
    return _VERSIONED_NAME.fullmatch(name) is not None


def plain_name(name: str) -> str:
    """Return a network's name without the version; other names as they are."""
    return name.partition("@")[0] if is_versioned(name) else name


def find_file(name: str) -> NetworkFile | None:
    """Return the file of the own network `name`, with or without a version; None if it has none.

    Raises UserError for a file that cannot be read, and for a version that is gone.
    """
    if name in _kept_versions:
        return _kept_versions[name]
    root = models_root()
    stem = plain_name(name)
    paths = {} if root is None else {path.stem: path for path in _paths(root)}
    if not is_versioned(name):
        path = paths.get(name)
        return None if path is None or name_problem(path, ()) else _read(path)
    if stem not in paths:
        raise UserError(_say_gone(name, root))
    file = _read(paths[stem])
    if file.name != name:
        raise UserError(
            f"{name} was built from another version of {file.path}, whose SHA-256 now begins with"
            f" {file.sha256[:_VERSION_DIGITS]}: bring that version back."
        )
    return file


def keep_version(file: NetworkFile) -> None:
    """Let this process find the version of the file from now on, whatever happens to the file."""
    _kept_versions[file.name] = file


def _paths(root: Path) -> list[Path]:
    return sorted(path for path in root.glob("*.py") if not path.name.startswith("_"))


def _read(path: Path) -> NetworkFile:
    try:
        return NetworkFile(path, path.read_bytes())
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}).") from error


def _say_gone(name: str, root: Path | None) -> str:
    file = f"{plain_name(name)}.py"
    if root is None:
        return (
            f"{name} was built from {file}: set SECATEUR_MODELS to the folder of that file, and"
            " start again."
        )
    return f"{name} was built from {root / file}, which is gone: bring it back."


def _parse(file: NetworkFile) -> ast.Module:
    try:
        return ast.parse(file.source, str(file.path))
    except (SyntaxError, ValueError) as error:
        line = f", line {error.lineno}" if isinstance(error, SyntaxError) and error.lineno else ""
        reason = error.msg if isinstance(error, SyntaxError) else str(error)
        raise UserError(f"{file.path}{line}: {type(error).__name__}: {reason}") from error


def _names_side(statement: ast.Assign) -> bool:
    return any(isinstance(item, ast.Name) and item.id == "SIDE" for item in statement.targets)


def _checked_side(value: ast.expr, path: Path) -> int:
    side = value.value if isinstance(value, ast.Constant) else None
    if type(side) is int and 1 <= side <= _LARGEST_SIDE:
        return side
    raise UserError(
        f"{path}, line {value.lineno}: SIDE must be a whole number in [1, {_LARGEST_SIDE}], written"
        f" out, got {ast.unparse(value)}"
    )
