"""Trains one epoch after another, and can stop and continue after any batch.

The order and augmentation of the images follow from (seed, epoch), and the learning rate from the
step. So the weights and `EpochLoop.checkpoint` are enough to continue to the same bits.
"""

import math
import time
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from core.config import CompressRecipe, TrainRecipe
from core.data.batches import Augmentation, DeviceImages, epoch_plan
from core.errors import UserError
from core.events import EpochEnd, Progress
from core.training.evaluate import Validation
from core.training.history import History
from core.training.ranks.process_group import ProcessGroup
from core.training.schedule import lr_at
from core.training.step import Stepper, momentum_buffers, restore_momentum_

# Seconds between two readings of the running loss. Each reading waits for the device.
_READ_SECONDS = 0.25


class EpochLoop:
    """The epochs of one training or tuning.

    epoch: the current epoch, from 1.
    batches_done: number of its batches that were trained on.
    seconds: time spent on these batches.
    history: the finished epochs.
    batches_per_epoch: number of batches in each epoch.
    """

    def __init__(
        self,
        recipe: TrainRecipe | CompressRecipe,
        stepper: Stepper,
        images: DeviceImages,
        augment: bool,
        stage: str,
    ):
        """stage: begins the stage of the progress; "Epoch" becomes "Epoch 3 of 70"."""
        self.recipe = recipe
        self.stepper = stepper
        self.images = images
        self.augment = augment
        self.history = History()
        self.epoch = 1
        self.batches_done = 0
        self.seconds = 0.0
        self.batches_per_epoch = len(in_batches(torch.arange(len(images)), recipe.batch_size))
        self._stage = stage

    @property
    def stage(self) -> str:
        """The current epoch in words, such as "Epoch 3 of 70"."""
        return f"{self._stage} {self.epoch} of {self.recipe.epochs}"

    @property
    def started(self) -> bool:
        """Whether any step was taken."""
        return self.epoch > 1 or self.batches_done > 0

    @property
    def finished(self) -> bool:
        """Whether all epochs are over."""
        return self.epoch > self.recipe.epochs

    @property
    def images_done(self) -> int:
        """Number of images that the current epoch has trained on."""
        return min(self.batches_done * self.recipe.batch_size, len(self.images))

    def train_epoch(self, until: int | None = None) -> Iterator[Progress]:
        """Take the steps that are left in the current epoch; call `end_epoch` afterwards.

        until: stop after so many batches of the epoch, to go on with another call.

        Yields Progress after every step. Raises UserError if the loss is NaN or infinite.
        """
        batches, augmentation = self._plan()
        if self.batches_done == 0:
            self.stepper.reset()
        read_at = time.monotonic()
        for indices in batches[self.batches_done : until]:
            began = time.perf_counter()
            self.stepper.ranks.announce((self.epoch, self.batches_done))
            self._step(indices, augmentation)
            loss = None
            is_last = self.batches_done == len(batches)
            if is_last or time.monotonic() - read_at > _READ_SECONDS:
                loss = self._checked_loss_sum() / self.images_done
                read_at = time.monotonic()
            self.seconds += time.perf_counter() - began
            yield Progress(self.stage, self.batches_done, len(batches), loss=loss)

    def follow(self, ranks: ProcessGroup) -> None:
        """Take this process's part of every step that rank 0 takes, until it ends."""
        planned_epoch = 0
        while position := ranks.next_position(self.recipe.seed):
            self.epoch, self.batches_done = position
            if self.epoch != planned_epoch:
                batches, augmentation = self._plan()
                planned_epoch = self.epoch
            self._step(batches[self.batches_done], augmentation)

    def _step(self, indices: Tensor, augmentation: Augmentation | None) -> None:
        """Take the step of the next batch, which has these image indices."""
        images, labels = self.images.batch(self.stepper.ranks.part_of(indices), augmentation)
        self.stepper(images, labels, self._lr(self.batches_done))
        self.batches_done += 1

    def _plan(self) -> tuple[list[Tensor], Augmentation | None]:
        """Return the image indices of each batch of the current epoch, and the augmentation."""
        order, augmentation = epoch_plan(
            len(self.images), self.recipe.seed, self.epoch - 1, self.augment
        )
        batches = in_batches(order.to(self.images.device), self.recipe.batch_size)
        if augmentation is not None:
            augmentation = augmentation.to(self.images.device)
        return batches, augmentation

    def _lr(self, batch: int) -> float:
        """The learning rate of a batch of the current epoch, counted from 0."""
        step = (self.epoch - 1) * self.batches_per_epoch + batch
        return lr_at(self.recipe, step, self.batches_per_epoch)

    def _checked_loss_sum(self) -> float:
        """Return the sum of the epoch's losses. Raises UserError if it is NaN or infinite."""
        loss_sum, _ = self.stepper.read()
        if not math.isfinite(loss_sum):
            raise UserError(
                f"{self.stage}: the loss is NaN or infinite. Lower the learning rate (it was"
                f" {self.recipe.lr:g}) and start again."
            )
        return loss_sum

    def end_epoch(
        self,
        test_loss: float,
        test_accuracy: float,
        test_seconds: float,
        state: Mapping[str, Tensor],
        validation: Validation | None = None,
        density: float | None = None,
    ) -> EpochEnd:
        """Record the current epoch in the history, and go on to the next one.

        test_seconds: time that the test and the validation of the epoch took.
        state: the state dict that was tested.
        validation: its figures on the images that were held back, None if there are none.
        density: the fraction of the prunable weights that is left, if it changes.
        """
        loss_sum, correct = self.stepper.read()
        end = EpochEnd(
            epoch=self.epoch,
            epochs=self.recipe.epochs,
            train_loss=loss_sum / self.images_done,
            train_accuracy=correct / self.images_done,
            test_loss=test_loss,
            test_accuracy=test_accuracy,
            lr=self._lr(self.batches_per_epoch - 1),
            images_per_second=self.images_done / self.seconds,
            train_seconds=self.seconds,
            seconds=self.seconds + test_seconds,
            validation_loss=validation.loss if validation else None,
            validation_accuracy=validation.accuracy if validation else None,
            divergence=validation.divergence if validation else None,
            density=density,
        )
        self.history.add(end, self.images_done, state)
        self.epoch += 1
        self.batches_done = 0
        self.seconds = 0.0
        return end

    def checkpoint(self) -> dict[str, Any]:
        """Return all that `restore` needs except the weights.

        Raises UserError if the loss is NaN or infinite.
        """
        self._checked_loss_sum()
        momentum = momentum_buffers(self.stepper.optimizer, self.stepper.model)
        return {
            "momentum": dict(momentum),
            "position": [self.epoch, self.batches_done, self.seconds],
            "sums": list(self.stepper.read()),
            **self.history.checkpoint(),
        }

    def restore(self, saved: Mapping[str, Any]) -> None:
        """Continue from what `checkpoint` returned."""
        restore_momentum_(self.stepper.optimizer, self.stepper.model, saved["momentum"])
        self.epoch, self.batches_done, self.seconds = saved["position"]
        loss_sum, correct = saved["sums"]
        self.stepper.reset(loss_sum, correct)
        self.history.restore(saved)


def in_batches(order: Tensor, size: int) -> list[Tensor]:
    """Split image indices into batches.

    A last batch of one image is left out, because BatchNorm cannot learn from it. A single batch is
    always kept.
    """
    batches = list(order.split(size))
    if len(batches) > 1 and len(batches[-1]) == 1:
        batches.pop()
    return batches
