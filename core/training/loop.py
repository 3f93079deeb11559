"""The training of a pruned or dense network: a generator of events whose state can be saved between any two of them.

Nothing that happens depends on when it happens: order and augmentation of the images follow from (seed, epoch), the
learning rate from the step. So a checkpoint is the weights, the momentum and a position, and a resumed run ends in
the weights of an uninterrupted one.
"""

import math
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import torch
from torch import Tensor, nn

from core import data
from core.compress import masks as masking
from core.config import TrainRecipe
from core.data.batches import DeviceImages, epoch_plan
from core.errors import UserError
from core.events import EpochEnd, Event, Finished, Note, Progress, Pruned
from core.models.parameters import prunable
from core.models.saved import Facts
from core.training import setup
from core.training.device import prepare_process, resolve
from core.training.evaluate import evaluate
from core.training.schedule import lr_at
from core.training.step import Stepper, make_optimizer, momentum_of

READ_SECONDS = 0.25  # between two readings of the running loss, each of which waits for the device


class Training:
    """One run of a TrainRecipe.

    `events()` does the work; `checkpoint()` and `result()` may be called between any two events. `device` is known
    from the start. Raises UserError for what cannot work: an unknown name, an absent device, a loss that is no number.
    """

    def __init__(self, recipe: TrainRecipe, data_root: Path, checkpoint: dict | None = None):
        self.recipe, self.data_root = recipe, data_root
        self.device = resolve(recipe.device)
        self._from = checkpoint
        self.masks: dict[str, Tensor] = {}
        self.history: list[dict] = []
        self.best: dict[str, Tensor] = {}
        self.best_accuracy = -1.0
        self.model: nn.Module | None = None
        self._stepper: Stepper | None = None
        self._position = (1, 0, 0.0)  # epoch, batches done in it, seconds spent on them

    def events(self) -> Iterator[Event]:
        """Prepare the data, score, mask, train; ends with Finished."""
        recipe = self.recipe
        prepare_process()
        yield from data.prepare(recipe.dataset, self.data_root)
        self.dataset = data.load(recipe.dataset, self.data_root)
        self.model = setup.network(recipe, self.dataset, self.device)
        self._train = setup.training_images(recipe, self.dataset, self.device)
        self._test = DeviceImages(self.dataset.test, self.dataset.mean, self.dataset.std, self.device,
                                  torch.channels_last)
        yield Note(f"{recipe.model} on {recipe.dataset} with {len(self._train):,} training images, on {self.device}.")
        if self._from is None:
            torch.manual_seed(recipe.seed)  # only dropout draws from it
            yield from self._prune()
        self._optimizer = make_optimizer(self.model, recipe.lr, recipe.momentum, recipe.weight_decay)
        self._stepper = Stepper(self.model, self._optimizer, recipe.label_smoothing)
        if self._from is not None:
            self._restore(self._from)
            yield Note(f"Continued in epoch {self._position[0]}, after {self._position[1]:,} batches.")
        else:
            masking.apply_(self.model, self.masks)
        while self._position[0] <= recipe.epochs:
            yield from self._epoch()
        yield Finished(self._summary())

    # -- before the first step ----------------------------------------------------------------------------------

    def _prune(self) -> Iterator[Event]:
        if self.recipe.prune is None:
            return
        batch, labels, size = setup.scoring_batch(self.recipe, self.dataset, self._train)
        yield Progress("Scoring the weights", 0, 0)
        scores = yield from setup.scoring(self.recipe, self.model, batch, labels, size)
        self.masks = masking.keep_top(scores, self.recipe.prune.density, self.recipe.prune.layerwise)
        for name in masking.dead_layers(self.masks):
            yield Note(f"{name} keeps no weight: nothing passes this layer but its bias. A higher density, the "
                       "layerwise choice or SynFlow avoids that.", "warning")
        counts = masking.counts(self.masks)
        yield Pruned(sum(kept for kept, _ in counts.values()), sum(total for _, total in counts.values()),
                     {name: list(pair) for name, pair in counts.items()})

    # -- training -----------------------------------------------------------------------------------------------

    def _epoch(self) -> Iterator[Event]:
        recipe, (epoch, done, spent) = self.recipe, self._position
        order, augmentation = epoch_plan(len(self._train), recipe.seed, epoch - 1, setup.augments(recipe, self.dataset))
        batches = setup.in_batches(order.to(self.device), recipe.batch_size)
        augmentation = augmentation and augmentation.to(self.device)
        if done == 0:
            self._stepper.reset()
        self.model.train()
        stage, images, read = f"Epoch {epoch} of {recipe.epochs}", sum(map(len, batches[:done])), time.monotonic()
        lr = lr_at(recipe, epoch * len(batches) - 1, len(batches))  # of the last batch
        for index in range(done, len(batches)):
            began = time.perf_counter()
            self._stepper(*self._train.batch(batches[index], augmentation),
                          lr_at(recipe, (epoch - 1) * len(batches) + index, len(batches)))
            images += len(batches[index])
            loss = None
            if time.monotonic() - read > READ_SECONDS or index + 1 == len(batches):
                loss, read = self._loss() / images, time.monotonic()
            spent += time.perf_counter() - began
            self._position = (epoch, index + 1, spent)
            yield Progress(stage, index + 1, len(batches), loss=loss)
        if self._stepper.capture_error and epoch == 1:
            yield Note(f"CUDA could not capture the step ({self._stepper.capture_error}); training goes on eagerly.")
        yield self._end_epoch(epoch, images, lr, spent)

    def _end_epoch(self, epoch: int, images: int, lr: float, spent: float) -> EpochEnd:
        began = time.perf_counter()
        loss_sum, correct = self._stepper.read()
        test_loss, test_accuracy = evaluate(self.model, self._test)
        end = EpochEnd(epoch, self.recipe.epochs, loss_sum / images, correct / images, test_loss, test_accuracy, lr,
                       images / spent, spent, spent + time.perf_counter() - began)
        self.history.append(asdict(end) | {"images": images})
        if test_accuracy > self.best_accuracy:
            self.best_accuracy, self.best = test_accuracy, _copied(self.model.state_dict())
        self._position = (epoch + 1, 0, 0.0)
        return end

    def _loss(self) -> float:
        """The sum of the losses so far. Raises UserError as soon as it is no finite number."""
        loss = self._stepper.read()[0]
        if not math.isfinite(loss):
            raise UserError(f"The loss is no longer a number in epoch {self._position[0]}: lower the learning rate "
                            f"(it was {self.recipe.lr:g}) and start again.")
        return loss

    # -- what lasts ---------------------------------------------------------------------------------------------

    def checkpoint(self) -> dict | None:
        """All that is needed to continue from here; None before the first step. Raises UserError for a NaN."""
        if self._stepper is None or self._position == (1, 0, 0.0):
            return None
        self._loss()
        return {"model": self.model.state_dict(), "momentum": dict(momentum_of(self._optimizer, self.model)),
                "masks": self.masks, "position": list(self._position), "sums": list(self._stepper.read()),
                "history": self.history, "best": self.best, "best_accuracy": self.best_accuracy,
                "random": torch.get_rng_state(),  # only dropout draws from it
                "random_cuda": torch.cuda.get_rng_state(self.device) if self.device.type == "cuda" else None}

    def _restore(self, saved: dict) -> None:
        self.masks = {name: mask.to(self.device) for name, mask in saved["masks"].items()}
        masking.apply_(self.model, self.masks)
        self.model.load_state_dict(saved["model"])
        for name, parameter in self.model.named_parameters():
            if name in saved["momentum"]:
                buffer = torch.empty_like(parameter).copy_(saved["momentum"][name])
                self._optimizer.state[parameter]["momentum_buffer"] = buffer
        self.history, self.best, self.best_accuracy = saved["history"], saved["best"], saved["best_accuracy"]
        epoch, done, spent = saved["position"]
        self._position = (epoch, done, spent)
        self._stepper.reset(*saved["sums"])
        torch.set_rng_state(saved["random"].cpu())
        if saved["random_cuda"] is not None and self.device.type == "cuda":
            torch.cuda.set_rng_state(saved["random_cuda"].cpu(), self.device)

    def result(self) -> dict[str, dict[str, Tensor]]:
        """The files' names and their tensors: the last weights, the best epoch's, and the masks."""
        if self._stepper is None:
            return {}
        return {"model": _copied(self.model.state_dict()), **({"best": self.best} if self.best else {}),
                **({"masks": self.masks} if self.masks else {})}

    def facts(self) -> Facts:
        """What a reader of the weights needs to know."""
        return Facts(model=self.recipe.model, dataset=self.recipe.dataset, classes=self.dataset.classes,
                     mean=self.dataset.mean, std=self.dataset.std, side=self.dataset.side,
                     recipes=(self.recipe.model_dump(mode="json"),))

    def files(self) -> dict[str, bytes]:
        return {}

    def _summary(self) -> dict:
        counts = masking.counts(self.masks)
        total = sum(weight.numel() for weight in prunable(self.model).values())
        kept = sum(kept for kept, _ in counts.values()) if counts else total
        seconds = sum(row["train_seconds"] for row in self.history)
        return {"model": self.recipe.model, "dataset": self.recipe.dataset, "density": self.recipe.density,
                "kept": kept, "prunable": total, "epochs": len(self.history),
                "test_accuracy": self.history[-1]["test_accuracy"], "best_accuracy": self.best_accuracy,
                "train_seconds": seconds, "images_per_second": sum(row["images"] for row in self.history) / seconds,
                "device": str(self.device)}


def _copied(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.detach().clone(memory_format=torch.contiguous_format) for name, tensor in state.items()}
