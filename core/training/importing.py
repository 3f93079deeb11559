"""Importing a network that was trained elsewhere: its file read with suspicion, its tensors matched, its test run."""

from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor, nn

from core import data
from core.compress import codec
from core.config import ImportRecipe
from core.data.batches import DeviceImages
from core.errors import UserError
from core.events import Event, Finished, Note, Progress
from core.models import check, checkpoints, formats, skeleton
from core.models.checkpoints import Checkpoint
from core.models.matching import Matching, classes_in, match
from core.models.parameters import prunable
from core.models.saved import Facts
from core.training.device import prepare_process, resolve
from core.training.evaluate import evaluating


class Importing:
    """One run of an ImportRecipe, on the file at `source`; see `core.runs.jobs.Job`.

    It is short, and begins anew where it was stopped. Raises UserError for a file that does not hold the recipe's
    network for the data set's classes.
    """

    def __init__(self, recipe: ImportRecipe, source: Path, data_root: Path):
        self.recipe, self.source, self.data_root = recipe, source, data_root
        self.device = resolve(recipe.device)
        self.model: nn.Module | None = None
        self._packed: codec.Packed | None = None

    def events(self) -> Iterator[Event]:
        """Read, match, test; ends with Finished."""
        recipe = self.recipe
        prepare_process()
        yield Progress(f"Reading {recipe.file}", 0, 0)
        checkpoint, self._packed = read(self.source, recipe.file)
        yield from map(Note, checkpoint.notes)
        yield from data.prepare(recipe.dataset, self.data_root)
        self.dataset = data.load(recipe.dataset, self.data_root)
        check(recipe.model, self.dataset.side)
        matching = matched(checkpoint, recipe, len(self.dataset.classes))
        yield Note(f"All {len(matching.pairs)} tensors of {recipe.file} are {recipe.model}'s, by "
                   f"{'order and shape' if matching.by_order else 'name'}.")
        self._chain = checkpoint.facts.recipes if checkpoint.facts else ()
        self.model = _network(matching, checkpoint).to(self.device, memory_format=torch.channels_last)
        images = DeviceImages(self.dataset.test, recipe.mean, recipe.std, self.device, torch.channels_last)
        yield Note(f"{recipe.model} on the {len(images):,} test images of {recipe.dataset}, on {self.device}.")
        loss, accuracy = yield from evaluating(self.model, images, "Testing")
        yield Finished(self._summary(loss, accuracy))

    def checkpoint(self) -> None:
        return None

    def result(self) -> dict[str, dict[str, Tensor]]:
        """The weights, once they are known to fit."""
        if self.model is None:
            return {}
        return {"model": {name: tensor.detach().to("cpu", copy=True, memory_format=torch.contiguous_format)
                          for name, tensor in self.model.state_dict().items()}}

    def facts(self) -> Facts:
        """What a reader of the weights needs to know: the recipe's normalisation, not the data set's own."""
        recipe = self.recipe
        return Facts(model=recipe.model, dataset=recipe.dataset, classes=self.dataset.classes, mean=recipe.mean,
                     std=recipe.std, side=self.dataset.side,
                     recipes=(*self._chain, recipe.model_dump(mode="json")))

    def files(self) -> dict[str, bytes]:
        """A packed file stays one: its codebooks say more than the weights that they decode to."""
        return {"packed.safetensors": self.source.read_bytes()} if self._packed and self.model else {}

    def _summary(self, loss: float, accuracy: float) -> dict:
        weights = prunable(self.model).values()
        total, kept = sum(weight.numel() for weight in weights), sum(int(weight.count_nonzero()) for weight in weights)
        ledger = self._packed and self._packed.ledger
        return {"model": self.recipe.model, "dataset": self.recipe.dataset, "density": kept / total, "kept": kept,
                "prunable": total, "epochs": 0, "test_accuracy": accuracy, "best_accuracy": accuracy,
                "test_loss": loss, "train_seconds": 0.0, "images_per_second": 0.0, "device": str(self.device),
                **({"float_bytes": ledger.float, "packed_bytes": ledger.total} if ledger else {})}


def read(source: bytes | Path, name: str = "") -> tuple[Checkpoint, codec.Packed | None]:
    """What `core.models.checkpoints.read` understands, and Secateur's packed files, which come decoded and as they are.

    Raises UserError for anything else.
    """
    name = name or ("The file" if isinstance(source, bytes) else source.name)
    with formats.as_file(source) as path:
        with formats.refusing(name):
            is_file = path.is_file()
        if not is_file or not formats.metadata(path, name).get("format", "").startswith("secateur-packed"):
            return checkpoints.read(path, name), None
        packed = codec.unpack(path.read_bytes(), name)
    card = packed.card
    dataset = next((recipe["dataset"] for recipe in card.recipes if isinstance(recipe.get("dataset"), str)), "")
    facts = Facts(model=card.network, dataset=dataset, classes=card.classes, mean=card.mean, std=card.std,
                  side=card.side, recipes=card.recipes)
    return Checkpoint(name, packed.state(), facts=facts), packed


def matched(checkpoint: Checkpoint, recipe: ImportRecipe, num_classes: int) -> Matching:
    """The partners of the checkpoint's tensors in the recipe's network for so many classes.

    Raises UserError, in one sentence, if it is another network or tells another number of classes apart.
    """
    told = classes_in(checkpoint.state, recipe.model, recipe.by_order)
    matching = match(checkpoint.state, recipe.model, told or num_classes, recipe.by_order, recipe.file)
    if told not in (None, num_classes):
        raise UserError(f"{recipe.file} tells {told:,} classes apart, and {recipe.dataset} has {num_classes:,}: choose "
                        "the data set that it was trained on.")
    return matching


def _network(matching: Matching, checkpoint: Checkpoint) -> nn.Module:
    """The network with the checkpoint's weights, in evaluation mode."""
    model = skeleton(matching.model, matching.num_classes)
    model.load_state_dict(matching.state(checkpoint.state), assign=True)
    return model.eval()
