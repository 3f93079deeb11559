"""Tunes a quantized network by distillation from the network before quantization.

Knowledge distillation (Hinton et al., arXiv:1503.02531, section 2) into latent weights with
codebooks or grids, see `core.compress.clustering.parametrize`.

Measured on ResNet20 with 5 clusters per layer, on CIFAR-10 (91.7% in float), from nearest rounding:
33.2% after clustering, 85.7% after re-estimating BatchNorm, and 90.4% after one epoch at the
defaults. In 50 steps a learning rate of 0.01 was better than 0.003 and 0.03, a temperature of 2 was
better than 4, and training BatchNorm was better than freezing it, which also diverged at 0.01.
Refitting the centroids after every step takes 2% of its time; refitting after every tenth step is
as accurate.
"""

import copy
from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from core.compress.affine import Affine, QuantizedWeight
from core.compress.clustering.parametrize import attach_, quantized_weights, refit_
from core.compress.kmeans import Codebook
from core.config import AffineRecipe, Precision, QuantizeRecipe
from core.data.batches import DeviceImages
from core.models.parameters import prunable_weights
from core.training.epoch import EpochLoop
from core.training.step import Stepper, make_optimizer

_MOMENTUM = 0.9  # Nesterov's
_TEMPERATURE = 2.0  # of the teacher's and the pupil's softmax


class Distiller(Stepper):
    """Takes steps on the Kullback-Leibler divergence from the teacher's predictions for a batch.

    The summed losses are plain cross entropies, so that they compare with the loss of a test.
    """

    def __init__(
        self,
        model: nn.Module,
        teacher: nn.Module,
        optimizer: torch.optim.Optimizer,
        precision: Precision | None = None,
    ):
        # `refit_` branches on data, which a captured graph cannot do.
        super().__init__(model, optimizer, capture=False, precision=precision)
        self.teacher = teacher

    def _step(self, images: Tensor, labels: Tensor) -> None:
        self.optimizer.zero_grad(set_to_none=True)
        with self._autocast():
            with torch.inference_mode():
                target = self.teacher(images)
            logits = self.model(images)
        divergence(logits.float(), target.float()).backward()
        self.optimizer.step()
        refit_(self.model)
        self.loss_sum += F.cross_entropy(logits.detach().float(), labels, reduction="sum")
        self.correct += (logits.argmax(1) == labels).sum()


def divergence(logits: Tensor, target: Tensor) -> Tensor:
    """Return the mean Kullback-Leibler divergence of two softened predictions, in nats.

    logits: the pupil's, (N, C).
    target: the teacher's logits, (N, C).

    The result is multiplied by the squared temperature, so that the size of the gradient does not
    depend on the temperature.
    """
    pupil = F.log_softmax(logits / _TEMPERATURE, 1)
    teacher = F.log_softmax(target / _TEMPERATURE, 1)
    divergence_in_nats = F.kl_div(pupil, teacher, reduction="batchmean", log_target=True)
    return _TEMPERATURE**2 * divergence_in_nats


class Tuning:
    """The tuning of a copy of `teacher` whose weights are quantized.

    model: the copy, which learns. Its biases, its BatchNorm and the weights with a codebook are
    trained; all other weights of convolutions and linear layers stay as they are.
    loop: the epochs.
    """

    def __init__(
        self,
        recipe: QuantizeRecipe,
        teacher: nn.Module,
        start: Mapping[str, QuantizedWeight],
        images: DeviceImages,
        augment: bool,
        tune_all: bool = False,
    ):
        """start: the quantized weights before tuning, by parameter name.

        A recipe of bits does not tune the codebooks that it rounded: their weights stay. tune_all:
        tune clusters and bits alike, for a network that has both.
        """
        self.model = copy.deepcopy(teacher)
        is_tuned: type[Affine] | type[Codebook] | tuple[type[Affine], type[Codebook]]
        is_tuned = Affine if isinstance(recipe, AffineRecipe) else Codebook
        if tune_all:
            is_tuned = (Affine, Codebook)
        self._fixed = {name: item for name, item in start.items() if not isinstance(item, is_tuned)}
        fixed_weights = {name: item.decode() for name, item in self._fixed.items()}
        self.model.load_state_dict(fixed_weights, strict=False)
        tuned = {name: item for name, item in start.items() if name not in self._fixed}
        for name, weight in prunable_weights(self.model).items():
            weight.requires_grad_(name in tuned)
        for name in self._fixed:
            self.model.get_parameter(name).requires_grad_(False)
        attach_(self.model, tuned, latent=True)
        _set_tuning_modes_(self.model)
        optimizer = make_optimizer(self.model, recipe.lr, _MOMENTUM, 0.0, nesterov=True)
        self._teacher = teacher
        distiller = Distiller(self.model, teacher, optimizer)
        self.loop = EpochLoop(recipe, distiller, images, augment, "Tuning, epoch")

    def network(self) -> tuple[nn.Module, dict[str, QuantizedWeight]]:
        """Return a copy of the network as it is now, and its quantized weights by parameter name.

        The copy has ordinary weights and is in evaluation mode.
        """
        network = copy.deepcopy(self._teacher)
        items = self._fixed | quantized_weights(self.model)
        tuned = self.model.state_dict()
        state = {name: tuned[name] for name in network.state_dict() if name in tuned}
        for name, item in items.items():
            state[name] = item.decode()
        network.load_state_dict(state)
        return network, items

    def checkpoint(self) -> dict[str, Any]:
        """Return all that `restore` needs. Raises UserError if the loss is NaN or infinite."""
        return {**self.loop.checkpoint(), "tuned": self.model.state_dict()}

    def restore(self, saved: Mapping[str, Any]) -> None:
        """Continue from what `checkpoint` returned, also in a version without offsets."""
        tuned: dict[str, Tensor] = saved["tuned"]
        for name, buffer in self.model.named_buffers():
            if name.endswith((".centroids", ".offsets")) and name in tuned:
                buffer.resize_(tuned[name].shape)  # compensated rounding may have used fewer
        self.model.load_state_dict(self.model.state_dict() | tuned)
        self.loop.restore(saved)


def _set_tuning_modes_(model: nn.Module) -> None:
    """Put BatchNorm into training mode, and all other modules into evaluation mode.

    BatchNorm then normalises by the batch, which adapts it. Dropout is off.
    """
    model.eval()
    for module in model.modules():
        if isinstance(module, _BatchNorm):
            module.train()
