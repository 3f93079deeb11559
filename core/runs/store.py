"""The run directory: the only thing that browser, server and worker share, and the one that outlives them all.

    runs/<id>/config.json  status.json  events.jsonl  lock  log.txt  model.safetensors  masks.safetensors  checkpoint.pt
               epochs/<n>.safetensors  best.safetensors  packed.safetensors  source  sensitivity-<settings>.json

`core.runs.run` says what is in it; here is what can be done with all of them.
"""

import contextlib
import hashlib
import json
import os
import re
import secrets
import shutil
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from core.config import AffineRecipe, ImportRecipe, KMeansRecipe, Recipe, TrainRecipe
from core.errors import UserError
from core.files import sync_folder, write_atomically
from core.runs.run import Run, RunConfig, Status, as_json, read, writable

_ID = re.compile(r"[0-9a-f]{10}")


class RunStore:
    """All runs below one folder. The folder is made when the first run is."""

    def __init__(self, root: str | Path):
        self.root = Path(root)

    # -- making and finding -------------------------------------------------------------------------------------

    def create(self, recipe: Recipe, name: str = "", parent: str | None = None, token: str | None = None,
               files: Mapping[str, bytes] | None = None) -> Run:
        """A new run; or the one that was created with the same `token`, so that a double click makes one run.

        parent: the id of the run whose result the recipe is applied to. files: what the recipe works on besides, by
        the names that they get in the run's folder. The id is derived from the token and the folder appears by one
        rename, so that two processes that create with one token at once agree without talking to each other.
        Raises UserError for a parent that has no result.
        """
        id = hashlib.sha256((token or secrets.token_hex(16)).encode()).hexdigest()[:10]
        if token and (self.root / id).exists():
            return self.get(id)
        config = RunConfig(id=id, name=_clean(name) or describe(recipe), created=time.time(), parent=parent,
                           recipe=recipe, **self._subject(recipe, parent))
        with writable(self.root):
            draft = self.root / f".new-{secrets.token_hex(4)}"
            draft.mkdir(parents=True)
            try:
                for file, content in (files or {}).items():
                    write_atomically(draft / file, content)
                write_atomically(draft / "config.json", as_json(config))
                write_atomically(draft / "status.json", as_json(Status(updated_at=time.time())))
                draft.rename(self.root / id)
                sync_folder(self.root)
            except OSError:
                shutil.rmtree(draft, ignore_errors=True)
                if not (self.root / id / "config.json").exists():
                    raise
        return self.get(id)

    def _subject(self, recipe: Recipe, parent: str | None) -> dict:
        """What the run is about: the recipe says it, or the run that it starts from."""
        if parent is None:
            return {"model": recipe.model, "dataset": recipe.dataset, "density": getattr(recipe, "density", 1.0)}
        source = self.get(parent)
        if not source.has_model:
            raise UserError(f"“{source.name}” has no result to start from: it is {source.state}.")
        return {"model": source.model, "dataset": source.dataset, "density": source.density}

    def get(self, id: str) -> Run:
        """The run as it is now. Raises UserError if there is none, or if its config.json cannot be read."""
        path = self._path(id)
        try:
            return read(path)
        except FileNotFoundError:
            raise UserError(f"There is no run {id!r} in {self.root}; it may be in the trash.") from None
        except (OSError, ValueError) as error:
            raise UserError(f"The run {id} cannot be read: {path / 'config.json'} is damaged ({error}).") from None

    def list(self) -> "list[Run]":
        """All readable runs, newest first."""
        return self.scan()[0]

    def scan(self) -> "tuple[list[Run], list[str]]":
        """All runs, newest first, and the ids of the folders whose config.json cannot be read."""
        runs, damaged = [], []
        for id in self._ids(self.root):
            try:
                runs.append(read(self.root / id))
            except FileNotFoundError:
                if (self.root / id).exists():
                    damaged.append(id)
            except (OSError, ValueError):
                damaged.append(id)
        return sorted(runs, key=lambda run: run.config.created, reverse=True), damaged

    def lineage(self, id: str) -> "list[Run]":
        """The run's ancestors, eldest first, and the run itself; it begins late if one was deleted or is damaged."""
        chain = [self.get(id)]
        with contextlib.suppress(UserError):
            while (parent := chain[0].config.parent) and len(chain) < 100:
                chain.insert(0, self.get(parent))
        return chain

    def events(self, id: str) -> "list[dict]":
        """All events in order. A line torn by a kill is skipped."""
        try:
            text = (self._path(id) / "events.jsonl").read_text(encoding="utf-8", errors="replace")
        except FileNotFoundError:
            return []
        return [event for line in text.splitlines() if (event := _parse(line)) is not None]

    def epochs(self, id: str) -> "list[dict]":
        """The EpochEnd events in order, once each: an epoch that was trained again after a kill counts once."""
        rows = {event["epoch"]: event for event in self.events(id) if event["event"] == "epochend"}
        return [rows[epoch] for epoch in sorted(rows)]

    def log(self, id: str, characters: int = 100_000) -> str:
        """The end of the log."""
        try:
            with (self._path(id) / "log.txt").open("rb") as file:
                file.seek(max(0, file.seek(0, os.SEEK_END) - characters))
                return file.read().decode("utf-8", errors="replace")
        except FileNotFoundError:
            return ""

    # -- changing -----------------------------------------------------------------------------------------------

    def rename(self, id: str, name: str) -> Run:
        """Give the run another name. Raises UserError for an empty one."""
        if not (name := _clean(name)):
            raise UserError("A run needs a name of at least one character.")
        run = self.get(id)
        with writable(self.root):
            write_atomically(run.path / "config.json", as_json(run.config.model_copy(update={"name": name})))
        return self.get(id)

    def delete(self, id: str) -> None:
        """Move the run to the trash. Raises UserError while a worker holds it."""
        run = self.get(id)
        if run.active:
            raise UserError(f"“{run.name}” is {run.state}: cancel it before you delete it.")
        with writable(self.root):
            self._trash.mkdir(exist_ok=True)
            shutil.rmtree(self._trash / id, ignore_errors=True)  # an earlier run that was made with the same token
            run.path.rename(self._trash / id)

    def trash(self) -> "list[Run]":
        """The deleted runs that can still be restored, newest first."""
        return RunStore(self._trash).list()

    def restore(self, id: str) -> Run:
        """Bring a run back from the trash."""
        self._path(id)
        try:
            (self._trash / id).rename(self.root / id)
        except OSError as error:
            raise UserError(f"The run {id} cannot be restored: {error.strerror}.") from None
        return self.get(id)

    def empty_trash(self) -> int:
        """Delete what is in the trash for good; the bytes that this freed."""
        freed = sum(file.stat().st_size for file in self._trash.rglob("*") if file.is_file())
        shutil.rmtree(self._trash, ignore_errors=True)
        return freed

    # -- inside -------------------------------------------------------------------------------------------------

    @property
    def _trash(self) -> Path:
        return self.root / ".trash"

    def _path(self, id: str) -> Path:
        """The folder of a run; ids come from URLs, so nothing but an id ever becomes a path."""
        if not isinstance(id, str) or not _ID.fullmatch(id):
            raise UserError(f"{str(id)[:40]!r} is not a run's id: it takes ten digits or letters from a to f.")
        return self.root / id

    @staticmethod
    def _ids(root: Path) -> Iterator[str]:
        try:
            yield from (entry.name for entry in os.scandir(root) if _ID.fullmatch(entry.name))
        except (FileNotFoundError, NotADirectoryError):  # the second says itself when a run is made
            return


def describe(recipe: Recipe) -> str:
    """A run's name where nobody gave it one, such as "VGG16 · CIFAR10 · 5% kept"."""
    match recipe:
        case TrainRecipe():
            kept = f"{recipe.density:.3%}".rstrip("0%").rstrip(".") + "% kept" if recipe.prune else "dense"
            method = {"snip": ""}.get(recipe.prune.method, f" {recipe.prune.method}") if recipe.prune else ""
            return f"{recipe.model} · {recipe.dataset} · {kept}{method}"
        case ImportRecipe():
            return f"{recipe.model} · {recipe.dataset} · {recipe.file}"
        case KMeansRecipe():
            return f"{recipe.clusters} clusters" + (", tuned" if recipe.epochs else "")
        case AffineRecipe():
            return f"{recipe.bits} bits"


def _clean(name: str) -> str:
    return " ".join("".join(c for c in name if c.isprintable() or c.isspace()).split())[:120]


def _parse(line: str) -> dict | None:
    try:
        event = json.loads(line)
    except ValueError:
        return None
    return event if isinstance(event, dict) and "event" in event else None
