"""Tuning a quantized network: the network as it was teaches it, and its shared weights adapt.

Knowledge distillation (Hinton et al., arXiv:1503.02531, section 2) into latent weights behind codebooks, see
`core.compress.tuning`. ResNet20 with 5 clusters a layer, CIFAR-10, 91.7% in float: 33.2% as clustered, 85.7% with
BatchNorm re-estimated, 90.4% after an epoch at the defaults. In 50 steps a rate of 0.01 got further than 0.003 and
0.03, a temperature of 2 than 4, and BatchNorm that learns than one that is frozen, which also diverged at 0.01.
Refitting the centroids after every step takes 2% of it; after every tenth does as well.
"""

import copy
import math
import time
from collections.abc import Iterator, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from core.compress.kmeans import Codebook
from core.compress.tuning import attach_, codebooks, refit_
from core.config import KMeansRecipe
from core.data.batches import DeviceImages, epoch_plan
from core.errors import UserError
from core.events import Progress
from core.models.parameters import prunable
from core.training.schedule import cosine
from core.training.setup import in_batches
from core.training.step import Stepper, make_optimizer, momentum_of

MOMENTUM = 0.9  # Nesterov's
TEMPERATURE = 2.0  # of the teacher's and the pupil's softmax
READ_SECONDS = 0.25  # between two readings of the running loss, each of which waits for the device


class Distiller(Stepper):
    """Steps on the Kullback-Leibler divergence from the teacher's predictions for the same batch.

    The sums that it keeps are those of the plain cross entropy, which can be compared with a test's.
    """

    def __init__(self, model: nn.Module, teacher: nn.Module, optimizer: torch.optim.Optimizer):
        super().__init__(model, optimizer, capture=False)  # refitting looks at the data, which no graph can
        self.teacher = teacher

    def _step(self, images: Tensor, labels: Tensor) -> None:
        self.optimizer.zero_grad(set_to_none=True)
        with torch.autocast(images.device.type, torch.bfloat16, enabled=self._bfloat16, cache_enabled=False):
            with torch.inference_mode():
                target = self.teacher(images)
            logits = self.model(images)
        divergence(logits.float(), target.float()).backward()
        self.optimizer.step()
        refit_(self.model)
        self.loss_sum += F.cross_entropy(logits.detach().float(), labels, reduction="sum")
        self.correct += (logits.argmax(1) == labels).sum()


def divergence(logits: Tensor, target: Tensor) -> Tensor:
    """Mean Kullback-Leibler divergence, in nats, of the softened `logits` from the softened `target`, (N, C) both.

    Times the temperature squared, so that the gradient's size does not depend on it.
    """
    soft = F.log_softmax(logits / TEMPERATURE, 1), F.log_softmax(target / TEMPERATURE, 1)
    return TEMPERATURE**2 * F.kl_div(*soft, reduction="batchmean", log_target=True)


class Tuning:
    """The tuning of a copy of `teacher` with codebooks behind its weights, an epoch at a time.

    Other weights of convolutions and linear layers stay as they are; biases and BatchNorm learn. `checkpoint()` may
    be called, and `restore` continue from it to the same bits, after any batch.
    """

    def __init__(self, recipe: KMeansRecipe, teacher: nn.Module, start: Mapping[str, Codebook],
                 images: DeviceImages, augment: bool):
        self.recipe, self._images, self._augment = recipe, images, augment
        self.model = copy.deepcopy(teacher)
        for name, weight in prunable(self.model).items():
            weight.requires_grad_(name in start)
        attach_(self.model, start, latent=True)
        _learn_(self.model)
        self._optimizer = make_optimizer(self.model, recipe.lr, MOMENTUM, 0.0, nesterov=True)
        self._stepper = Distiller(self.model, teacher, self._optimizer)
        self.batches = len(in_batches(torch.arange(len(images)), recipe.batch_size))
        self.position = (1, 0, 0.0)  # epoch, batches done in it, seconds spent on them

    def epoch(self) -> Iterator[Progress]:
        """The rest of the epoch of `position`, at whose end that stays. Raises UserError for a loss that is no number.
        """
        epoch, done, spent = self.position
        order, augmentation = epoch_plan(len(self._images), self.recipe.seed, epoch - 1, self._augment)
        batches = in_batches(order.to(self._images.device), self.recipe.batch_size)
        augmentation = augmentation and augmentation.to(self._images.device)
        if done == 0:
            self._stepper.reset()
        images, read = sum(map(len, batches[:done])), time.monotonic()
        for index in range(done, len(batches)):
            began = time.perf_counter()
            self._stepper(*self._images.batch(batches[index], augmentation), self.lr(epoch, index))
            images += len(batches[index])
            loss = None
            if time.monotonic() - read > READ_SECONDS or index + 1 == len(batches):
                loss, read = self._loss() / images, time.monotonic()
            spent += time.perf_counter() - began
            self.position = (epoch, index + 1, spent)
            yield Progress(f"Tuning, epoch {epoch} of {self.recipe.epochs}", index + 1, len(batches), loss=loss)

    def lr(self, epoch: int, index: int) -> float:
        """The learning rate of step `index` (from 0) of an epoch (from 1): a cosine to zero over all of them."""
        return cosine(self.recipe.lr, 0.0, ((epoch - 1) * self.batches + index) / (self.recipe.epochs * self.batches))

    def figures(self) -> tuple[float, float, int]:
        """Mean cross entropy and accuracy over the epoch's batches so far, and the number of their images."""
        images = min(self.position[1] * self.recipe.batch_size, len(self._images))
        loss_sum, correct = self._stepper.read()
        return loss_sum / images, correct / images, images

    def network(self) -> tuple[nn.Module, dict[str, Codebook]]:
        """A copy of the network as it is now, of ordinary weights in evaluation mode, and their codebooks."""
        network, found, state = copy.deepcopy(self._stepper.teacher), codebooks(self.model), self.model.state_dict()
        decoded = {name: codebook.decode() for name, codebook in found.items()}
        network.load_state_dict({name: decoded[name] if name in decoded else state[name]
                                 for name in network.state_dict()})
        return network, found

    def next_epoch(self) -> None:
        """Go on to the following epoch."""
        self.position = (self.position[0] + 1, 0, 0.0)

    def _loss(self) -> float:
        """The sum of the losses so far. Raises UserError as soon as it is no finite number."""
        loss = self._stepper.read()[0]
        if not math.isfinite(loss):
            raise UserError(f"The loss is no longer a number in epoch {self.position[0]} of tuning: lower the learning "
                            f"rate (it was {self.recipe.lr:g}) and start again.")
        return loss

    def checkpoint(self) -> dict:
        """All that `restore` needs. Raises UserError for a loss that is no number."""
        self._loss()
        return {"tuned": self.model.state_dict(), "momentum": dict(momentum_of(self._optimizer, self.model)),
                "position": list(self.position), "sums": list(self._stepper.read())}

    def restore(self, saved: dict) -> None:
        """Continue where `checkpoint` was called."""
        self.model.load_state_dict(saved["tuned"])
        for name, parameter in self.model.named_parameters():
            if name in saved["momentum"]:
                buffer = torch.empty_like(parameter).copy_(saved["momentum"][name])
                self._optimizer.state[parameter]["momentum_buffer"] = buffer
        epoch, done, spent = saved["position"]
        self.position = (epoch, done, spent)
        self._stepper.reset(*saved["sums"])


def _learn_(model: nn.Module) -> None:
    """BatchNorm normalises by the batch, which is what adapts; everything else, dropout too, as in evaluation."""
    model.eval()
    for module in model.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.train()
