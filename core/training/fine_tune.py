"""Fine-tunes a pruned network, whose removed weights stay 0, while its density may still fall."""

from collections.abc import Iterator, Mapping
from typing import Any

from torch import Tensor, nn

from core.compress import masks as masking
from core.compress.pruning.gradual import pruning_steps
from core.config import Precision, PruneRecipe
from core.data.batches import DeviceImages
from core.events import Progress
from core.training.distill import Distiller
from core.training.epoch import EpochLoop
from core.training.random_state import random_state, restore_random_state
from core.training.step import Stepper, make_optimizer


class FineTuning:
    """The fine-tuning of `network`, which learns from a teacher or from labels.

    network: it is trained. loop: the epochs. masks: which weights are kept, by parameter name.
    prunings: how often the network was pruned during the fine-tuning. pruning_steps: after which
    steps of all epochs that happens; empty if it is pruned before the first step.
    """

    def __init__(
        self,
        recipe: PruneRecipe,
        network: nn.Module,
        teacher: nn.Module | None,
        images: DeviceImages,
        augment: bool,
        precision: Precision,
    ):
        """teacher: None to learn from the labels. precision: that of the steps."""
        self.network = network
        self.masks: dict[str, Tensor] = {}
        self.prunings = 0
        self._optimizer = make_optimizer(
            network, recipe.lr, recipe.momentum, recipe.weight_decay, nesterov=recipe.momentum > 0
        )
        self._applied: masking.AppliedMasks | None = None
        if teacher is not None:
            stepper: Stepper = Distiller(network, teacher, self._optimizer, precision)
        else:
            # A captured step would keep the first masks.
            stepper = Stepper(
                network, self._optimizer, capture=not recipe.gradual, precision=precision
            )
        self.loop = EpochLoop(recipe, stepper, images, augment, "Fine-tuning, epoch")
        self.pruning_steps: list[int] = []
        if recipe.gradual:
            steps = recipe.gradual * self.loop.batches_per_epoch
            self.pruning_steps = pruning_steps(steps, recipe.every)

    def apply_masks(self, masks: dict[str, Tensor]) -> None:
        """Set the weights outside these masks to 0, and keep them there."""
        if self._applied is not None:
            self._applied.remove()
        self.masks = masks
        self._applied = masking.apply_(self.network, masks, self._optimizer)

    @property
    def is_pruning_due(self) -> bool:
        """Whether the network is to be pruned before the next step."""
        if self.prunings == len(self.pruning_steps):
            return False
        return self.pruning_steps[self.prunings] == self._steps_before + self.loop.batches_done

    def train(self) -> Iterator[Progress]:
        """Take steps until a pruning is due, or to the end of the epoch."""
        until = None
        if self.prunings < len(self.pruning_steps):
            until = self.pruning_steps[self.prunings] - self._steps_before
        self.network.train()
        yield from self.loop.train_epoch(until)

    @property
    def _steps_before(self) -> int:
        """The steps of the epochs before the current one."""
        return (self.loop.epoch - 1) * self.loop.batches_per_epoch

    def checkpoint(self) -> dict[str, Any]:
        """Return all that `restore` needs. Raises UserError if the loss is NaN or infinite."""
        return {
            **self.loop.checkpoint(),
            "model": self.network.state_dict(),
            "masks": self.masks,
            "prunings": self.prunings,
            **random_state(self.loop.images.device),
        }

    def restore(self, saved: Mapping[str, Any]) -> None:
        """Continue from what `checkpoint` returned."""
        device = self.loop.images.device
        self.network.load_state_dict(saved["model"])
        self.prunings = saved["prunings"]
        self.apply_masks({name: mask.to(device) for name, mask in saved["masks"].items()})
        self.loop.restore(saved)
        restore_random_state(saved, device)
