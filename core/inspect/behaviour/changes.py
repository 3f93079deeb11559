"""Finds the images whose answers change from one model to another.

An image is broken if the first model is right and the second is wrong, and fixed if it is the other
way round. Importing this module needs no torch.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from core.data.imageset import Labels
from core.errors import UserError
from core.inspect.behaviour.answers import Answers
from core.inspect.behaviour.paired import PairedCounts

ImageOrder = NDArray[np.int64]
"""Positions of images in the test set, in the order to show them."""


@dataclass(frozen=True, eq=False)
class Changes:
    """The answers of two models for the same N images.

    labels: the true classes, int64 (N,), in [0, C).

    Raises ValueError if the answers and labels are not those of the same images and classes.
    """

    first: Answers
    second: Answers
    labels: Labels

    def __post_init__(self) -> None:
        if self.first.logits.shape != self.second.logits.shape:
            raise ValueError(
                "both models must answer the same images with the same classes, got logits"
                f" {self.first.logits.shape} and {self.second.logits.shape}"
            )
        self.first.check_labels(self.labels)

    @cached_property
    def broken(self) -> NDArray[np.bool_]:
        """Whether the first model alone gets an image right, (N,)."""
        return self.first.right(self.labels) & ~self.second.right(self.labels)

    @cached_property
    def fixed(self) -> NDArray[np.bool_]:
        """Whether the second model alone gets an image right, (N,)."""
        return self.second.right(self.labels) & ~self.first.right(self.labels)

    @cached_property
    def both_right(self) -> NDArray[np.bool_]:
        """Whether both models get an image right, (N,)."""
        return self.first.right(self.labels) & self.second.right(self.labels)

    @cached_property
    def both_wrong(self) -> NDArray[np.bool_]:
        """Whether both models get an image wrong, (N,), perhaps in different ways."""
        return ~self.first.right(self.labels) & ~self.second.right(self.labels)

    @property
    def counts(self) -> PairedCounts:
        """The numbers of broken, fixed and other images."""
        return self._count(np.ones(len(self.labels), np.bool_))

    @property
    def counts_by_class(self) -> dict[int, PairedCounts]:
        """The same for the images of each class, by label in ascending order.

        Classes without images are left out. Of 100 intervals of 95%, about 5 miss the true value
        by chance: one class that seems to change is weak evidence.
        """
        return {int(label): self._count(self.labels == label) for label in np.unique(self.labels)}

    def _count(self, chosen: NDArray[np.bool_]) -> PairedCounts:
        both_right = int((self.both_right & chosen).sum())
        broken = int((self.broken & chosen).sum())
        fixed = int((self.fixed & chosen).sum())
        both_wrong = int(chosen.sum()) - both_right - broken - fixed
        return PairedCounts(both_right, broken, fixed, both_wrong)


def compare_with_first(answers: Mapping[str, Answers], labels: Labels) -> dict[str, Changes]:
    """Compare every model but the first with the first, by the model's name.

    Raises ValueError as `Changes` does.
    """
    first, *others = answers
    return {name: Changes(answers[first], answers[name], labels) for name in others}


def check_same_classes(classes: Mapping[str, Sequence[str]]) -> None:
    """Raise UserError unless all models, by name, have the same classes in the same order."""
    first, *others = classes
    for other in others:
        if list(classes[other]) != list(classes[first]):
            difference = _describe_difference(first, classes[first], other, classes[other])
            raise UserError(
                f"The answers of {first} and {other} cannot be compared, because {difference}:"
                " choose models of the same classes."
            )


def _describe_difference(
    first: str, first_classes: Sequence[str], other: str, other_classes: Sequence[str]
) -> str:
    """Say how two different lists of classes differ first."""
    if len(first_classes) != len(other_classes):
        return f"{first} has {len(first_classes)} classes and {other} has {len(other_classes)}"
    pairs = enumerate(zip(first_classes, other_classes, strict=True))
    label, names = next((label, names) for label, names in pairs if names[0] != names[1])
    return f"class {label} is {names[0]!r} in {first} and {names[1]!r} in {other}"


def broken_images(
    changes: Changes, label: int | None = None, answer: int | None = None
) -> ImageOrder:
    """Return the positions of the broken images, the most confident wrong answer first.

    label: only images of this true class. answer: only images that the second model takes for this
    class. Both together are a cell beside the diagonal of the second model's confusion matrix.
    """
    return _choose(changes.broken, changes.second, changes.labels, label, answer)


def fixed_images(
    changes: Changes, label: int | None = None, answer: int | None = None
) -> ImageOrder:
    """Return the positions of the fixed images, the most confident wrong answer first.

    The wrong answer is that of the first model. label, answer: as in `broken_images`, with the
    first model's confusion matrix.
    """
    return _choose(changes.fixed, changes.first, changes.labels, label, answer)


def both_wrong_images(
    changes: Changes, wrong: Answers, label: int | None = None, answer: int | None = None
) -> ImageOrder:
    """Return the positions of the images that both models get wrong.

    label: only images of this true class. answer: only images that the model of `wrong`, one of the
    two, takes for this class.
    """
    return _choose(changes.both_wrong, wrong, changes.labels, label, answer)


def _choose(
    changed: NDArray[np.bool_],
    wrong: Answers,
    labels: Labels,
    label: int | None,
    answer: int | None,
) -> ImageOrder:
    """Return the rows of the changed images, by the confidence of the model that is wrong.

    Equally confident ones stay in the order of the test set.
    """
    chosen = changed.copy()
    if label is not None:
        chosen &= labels == label
    if answer is not None:
        chosen &= wrong.predicted == answer
    rows = np.flatnonzero(chosen)
    return rows[np.argsort(-wrong.confidence[rows], kind="stable")]
