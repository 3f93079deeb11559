"""Computes the answers of a network for a set of images, and keeps them in a file.

Importing this module needs no torch.
"""

import hashlib
from collections.abc import Generator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from core.data.imageset import Dataset, Labels
from core.errors import UserError
from core.events import Progress

if TYPE_CHECKING:
    from torch import Tensor, nn

    from core.data.batches import DeviceImages

_BATCH = 500  # images


@dataclass(frozen=True, eq=False)
class Answers:
    """The answers of one network for N images with C classes.

    logits: float32 (N, C), finite, with N >= 1 and C >= 2. Raises ValueError for others.
    """

    logits: NDArray[np.float32]

    def __post_init__(self) -> None:
        shape = self.logits.shape
        if self.logits.dtype != np.float32 or self.logits.ndim != 2:
            raise ValueError(f"logits must be float32 (N, C), got {self.logits.dtype} {shape}")
        if shape[0] < 1 or shape[1] < 2:
            raise ValueError(f"logits must have 1 image and 2 classes or more, got {shape}")
        if not np.isfinite(self.logits).all():
            raise ValueError("logits must be finite")

    def __len__(self) -> int:
        return len(self.logits)

    @property
    def class_count(self) -> int:
        """The number of classes."""
        return self.logits.shape[1]

    @cached_property
    def predicted(self) -> Labels:
        """The class with the greatest logit of each image, int64 (N,), the first of equal ones."""
        return self.logits.argmax(1).astype(np.int64)

    @cached_property
    def probabilities(self) -> NDArray[np.float64]:
        """The softmax of the logits, (N, C) in [0, 1].

        It is computed in float64, so that confidences near 1 keep their order.
        """
        logits = self.logits.astype(np.float64)
        powers = np.exp(logits - logits.max(1, keepdims=True))
        return powers / powers.sum(1, keepdims=True)

    @cached_property
    def confidence(self) -> NDArray[np.float64]:
        """The probability of the predicted class of each image, (N,) in [1 / C, 1]."""
        return self.probabilities.max(1)

    def right(self, labels: Labels) -> NDArray[np.bool_]:
        """Return whether the predicted class of each image is its label, (N,).

        labels: int64 (N,), in [0, C). Raises ValueError for others.
        """
        self.check_labels(labels)
        return self.predicted == labels

    def margin(self, labels: Labels) -> NDArray[np.float64]:
        """Return the probability of the true class minus the greatest other one, (N,) in [-1, 1].

        It is 0 or less for a wrong answer, and 0 or more for a right one. labels: as in `right`.
        """
        self.check_labels(labels)
        rows = np.arange(len(self))
        others = self.probabilities.copy()
        others[rows, labels] = -np.inf
        return self.probabilities[rows, labels] - others.max(1)

    def check_labels(self, labels: Labels) -> None:
        """Raise ValueError unless there is one label in [0, C) for each image."""
        if labels.shape != (len(self),):
            raise ValueError(f"labels must have the shape ({len(self)},), got {labels.shape}")
        if labels.min() < 0 or labels.max() >= self.class_count:
            raise ValueError(f"labels must be in [0, {self.class_count})")


def compute_answers(
    model: "nn.Module",
    images: "DeviceImages",
    stage: str,
    batches: list[NDArray[np.float32]] | None = None,
) -> Generator[Progress, None, Answers]:
    """Return the model's answers for all images, and yield Progress of `stage` after every batch.

    batches: the logits (B, C) of the first batches, to continue from. Those of each further batch
    are appended to it before its Progress, so that it can be kept and continued from again.

    The model runs in evaluation mode without gradients, and is as it was before at every yield,
    also after an exception. Raises UserError if a logit is infinite or NaN.
    """
    batches = [] if batches is None else batches
    for start in range(sum(map(len, batches)), len(images), _BATCH):
        batch, _ = images.batch(slice(start, start + _BATCH))
        batches.append(_logits_of(model, batch).numpy())
        yield Progress(stage, min(start + _BATCH, len(images)), len(images), "images")
    all_logits = np.concatenate(batches)
    spoilt = int((~np.isfinite(all_logits)).any(1).sum())
    if spoilt:
        raise UserError(
            f"The network's logits for {spoilt:,} of {len(images):,} images are infinite or NaN, so"
            " its answers cannot be compared: choose another network."
        )
    return Answers(all_logits)


def _logits_of(model: "nn.Module", batch: "Tensor") -> "Tensor":
    """Return the logits (B, C) of a batch (B, 3, H, W) as float32 on the CPU."""
    import torch  # Here, so that importing this module does not take seconds.

    from core.models.state import preserve_state

    with preserve_state(model), torch.inference_mode():
        model.eval()
        logits: Tensor = model(batch)
        return logits.float().cpu()


def hash_test_set(dataset: Dataset) -> str:
    """Return the SHA-256 of the class names, the test images and their labels."""
    digest = hashlib.sha256(repr(dataset.classes).encode())
    for array in (dataset.test.images, dataset.test.labels):
        digest.update(f"{array.dtype} {array.shape}".encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def answers_key(model_hash: str, dataset: str, test_set_hash: str) -> str:
    """Return the key of the answers of one network for one test set.

    model_hash: SHA-256 of the model file. dataset: its name. test_set_hash: of `hash_test_set`.
    """
    return f"{model_hash} {dataset} {test_set_hash}"


def answers_bytes(answers: Answers, key: str) -> bytes:
    """Return the answers as a safetensors file with the key in its metadata.

    key: says what the answers depend on, such as the hash of the model file and the data set.
    """
    from safetensors.numpy import save

    logits = np.ascontiguousarray(answers.logits)
    content: bytes = save({"logits": logits}, {"key": key, "sha256": _hash_of(logits)})
    return content


def load_answers(path: Path, key: str) -> Answers | None:
    """Return the answers in the file at `path`.

    None if there is no such file, it was saved with another key, or it is damaged.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "numpy") as file:
            metadata = file.metadata() or {}
            if metadata.get("key") != key:
                return None
            answers = Answers(file.get_tensor("logits"))
    except (OSError, SafetensorError, ValueError):
        return None
    return answers if metadata.get("sha256") == _hash_of(answers.logits) else None


def _hash_of(logits: NDArray[np.float32]) -> str:
    """Return the SHA-256 of the values, which safetensors does not check."""
    return hashlib.sha256(logits.tobytes()).hexdigest()
