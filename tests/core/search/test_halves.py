"""The two halves of the test images: fixed by their content, disjoint, and counted as pairs."""

import numpy as np
import pytest
import torch
from torch import nn

from core.data.imageset import Dataset, ImageSet
from core.errors import UserError
from core.events import result_of
from core.search.halves import answers_right, half_images, halve_by_content, paired_counts


def image_set(count, seed=0):
    draw = np.random.default_rng(seed)
    images = draw.integers(0, 256, (count, 3, 4, 4), dtype=np.uint8)
    return ImageSet(images, draw.integers(0, 2, count))


@pytest.mark.parametrize("count", [2, 3, 7, 100])
def test_the_halves_are_disjoint_complete_and_of_equal_size(count):
    first, second = halve_by_content(image_set(count))
    assert sorted([*first, *second]) == list(range(count))
    assert 0 <= len(first) - len(second) <= 1
    assert list(first) == sorted(first)


@pytest.mark.parametrize("count", [0, 1])
def test_images_that_leave_a_half_empty_are_refused(count):
    with pytest.raises(UserError, match=rf"too few test images to halve \({count}\)"):
        halve_by_content(image_set(count))


def test_the_halves_follow_the_images_wherever_they_are():
    images = image_set(50)
    order = np.random.default_rng(1).permutation(50)
    moved = ImageSet(images.images[order], images.labels[order])
    for half, half_of_moved in zip(halve_by_content(images), halve_by_content(moved), strict=True):
        assert set(order[half_of_moved]) == set(half)


def test_equal_images_are_in_the_same_half_unless_they_are_at_the_border():
    images = image_set(20)
    twice = ImageSet(np.repeat(images.images, 2, axis=0), np.repeat(images.labels, 2))
    first, _ = halve_by_content(twice)
    assert {row // 2 for row in first if row % 2} == {row // 2 for row in first if not row % 2}


def test_right_answers_of_a_half_by_hand():
    """The network says class 1 if the red value is bright."""

    class Bright(nn.Module):
        def forward(self, images):
            red = images[:, 0].mean((1, 2))
            return torch.stack([-red, red], 1)

    images = np.zeros((4, 3, 2, 2), np.uint8)
    images[2:, 0] = 255
    labels = np.array([0, 1, 1, 0])
    dataset = Dataset(
        "d",
        ImageSet(images, labels),
        ImageSet(images, labels),
        ("dark", "bright"),
        (0.5, 0.5, 0.5),
        (1.0, 1.0, 1.0),
        False,
    )
    half = half_images(dataset, np.array([0, 2, 3]), torch.device("cpu"))
    right = result_of(answers_right(Bright().eval(), half, "Testing"))
    assert right.tolist() == [True, True, False]


def test_answers_are_counted_in_pairs():
    before = np.array([True] * 6 + [False] * 4)
    after = np.array([True] * 4 + [False] * 5 + [True])
    counts = paired_counts(before, after)
    assert (counts.both_right, counts.broken, counts.fixed, counts.both_wrong) == (4, 2, 1, 3)
