"""Divides the test images into two halves: one decides about a limit, the other only reports.

The halves follow from the images alone, so that every network of a data set has the same ones.
"""

import hashlib
from collections.abc import Generator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from core.data.batches import DeviceImages
from core.data.imageset import Dataset, ImageSet, Rows
from core.errors import UserError
from core.events import Progress
from core.inspect.behaviour.paired import PairedCounts, describe_loss
from core.training.evaluate import TEST_BATCH

Right = NDArray[np.bool_]
"""Whether a network answers each image of a half right, (N,)."""


def halve_by_content(images: ImageSet) -> tuple[Rows, Rows]:
    """Return the rows of half A and of half B, ascending; A has one image more if N is odd.

    The images are sorted by the SHA-256 of their bytes. So equal images lie next to each other, and
    no two of them are in different halves but those at the border.

    Raises UserError if a half would be empty.
    """
    if len(images.images) < 2:
        raise UserError(
            f"There are too few test images to halve ({len(images.images)}): one half decides and"
            " the other reports, so take a data set with at least 2."
        )
    hashes = [hashlib.sha256(image.tobytes()).digest() for image in images.images]
    in_order = np.array(sorted(range(len(hashes)), key=lambda row: (hashes[row], row)), np.int64)
    middle = (len(in_order) + 1) // 2
    return np.sort(in_order[:middle]), np.sort(in_order[middle:])


def half_images(dataset: Dataset, rows: Rows, device: torch.device) -> DeviceImages:
    """Return these of the test images, on the device."""
    return DeviceImages(dataset.test, dataset.mean, dataset.std, device, torch.channels_last, rows)


@torch.inference_mode()
def answers_right(
    network: nn.Module, images: DeviceImages, stage: str
) -> Generator[Progress, None, Right]:
    """Return which images the network answers right. It is in evaluation mode.

    Yields Progress of `stage` in images.
    """
    right = []
    for start in range(0, len(images), TEST_BATCH):
        batch, labels = images.batch(slice(start, start + TEST_BATCH))
        right.append((network(batch).argmax(1) == labels).cpu().numpy())
        yield Progress(stage, min(start + TEST_BATCH, len(images)), len(images), "images")
    return np.concatenate(right)


def paired_counts(before: Right, after: Right) -> PairedCounts:
    """Count the images by what two networks answered for them. There is at least one."""
    return PairedCounts(
        both_right=int((before & after).sum()),
        broken=int((before & ~after).sum()),
        fixed=int((~before & after).sum()),
        both_wrong=int((~before & ~after).sum()),
    )


def describe_half_b(counts: PairedCounts) -> str:
    """Say what a result loses on half B, whose images decided nothing."""
    return (
        f"On half B of the test images, {counts.images:,} which decided nothing, accuracy goes from"
        f" {counts.first_accuracy:.2%} to {counts.second_accuracy:.2%}: a loss of"
        f" {describe_loss(counts)}."
    )


class HalfCheck:
    """Compares networks with the float network on one half of the test images.

    images: number of images in the half.
    """

    def __init__(self, half: DeviceImages, before: Right):
        """before: which images the float network answers right."""
        self.images = len(half)
        self._half = half
        self._before = before

    def compare(self, network: nn.Module) -> Generator[Progress, None, PairedCounts]:
        """Return how many images each of the two networks answers right."""
        after = yield from answers_right(network, self._half, "Checking the limit on half A")
        return paired_counts(self._before, after)
