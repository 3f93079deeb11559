"""Batches on the device against torchvision's and numpy's way of doing the same."""

import itertools
import warnings

import numpy as np
import pytest
import torch
from torchvision.transforms import functional

from core.data import ImageSet
from core.data.batches import Augmentation, DeviceImages, crop_and_flip, epoch_plan, normalise
from core.data.disk import open_dataset
from core.data.draft import Draft

MEAN, STD = (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)
NEEDS_CUDA = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
DEVICES = ["cpu", pytest.param("cuda", marks=NEEDS_CUDA)]


def plain_batch(images):
    """Images as `DeviceImages` normalises them, without augmentation."""
    labels = np.zeros(len(images), np.int64)
    return DeviceImages(ImageSet(images, labels), MEAN, STD, "cpu").batch(slice(None))[0]


def some_images(n=7, side=32, seed=0):
    generator = np.random.default_rng(seed)
    return ImageSet(
        generator.integers(0, 256, (n, 3, side, side), np.uint8), generator.integers(0, 10, n)
    )


@pytest.fixture
def mapped(tmp_path):
    """A set that is memory-mapped and read-only, as real ones are."""
    images = some_images(40)
    with Draft(tmp_path / "toy", 32) as draft:
        draft.add("train", images.images, images.labels)
        draft.add("test", images.images[:2], images.labels[:2])
        draft.commit([str(i) for i in range(10)], "a toy", augment=True)
    return open_dataset(tmp_path / "toy", "toy").train


@pytest.mark.parametrize("side", [32, 9])
def test_every_crop_and_flip_is_torchvisions(side):
    every = list(itertools.product(range(9), range(9), (False, True)))
    images = torch.from_numpy(some_images(len(every), side).images)
    found = crop_and_flip(
        images, Augmentation(*(torch.tensor(values) for values in zip(*every, strict=True)))
    )
    assert found.dtype == torch.uint8
    for image, result, (dy, dx, flip) in zip(images, found, every, strict=True):
        expected = functional.crop(functional.pad(image, [4]), dy, dx, side, side)
        assert torch.equal(result, functional.hflip(expected) if flip else expected)


def test_pixels_that_one_can_follow_by_hand():
    image = torch.tensor([[1, 2], [3, 4]]).expand(1, 3, 2, 2)
    how = [
        Augmentation(torch.tensor([dy]), torch.tensor([dx]), torch.tensor([flip]))
        for dy, dx, flip in [
            (4, 4, False),
            (4, 4, True),
            (5, 4, False),
            (4, 3, False),
            (4, 3, True),
            (0, 0, False),
        ]
    ]
    found = [crop_and_flip(image, one)[0, 0].tolist() for one in how]
    assert found == [
        [[1, 2], [3, 4]],
        [[2, 1], [4, 3]],
        [[3, 4], [0, 0]],
        [[0, 1], [0, 3]],
        [[1, 0], [3, 0]],
        [[0, 0], [0, 0]],
    ]


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_batches_are_pick_crop_flip_normalise(mapped, device, memory_format):
    images = DeviceImages(mapped, MEAN, STD, device, memory_format)
    order, augmentation = epoch_plan(len(mapped), seed=1, epoch=2, augment=True)
    rows = order[5:25]
    found, labels = images.batch(rows, augmentation)
    assert found.is_contiguous(memory_format=memory_format)
    assert (found.dtype, found.shape, labels.dtype) == (torch.float32, (20, 3, 32, 32), torch.int64)
    assert labels.tolist() == mapped.labels[rows.numpy()].tolist()
    for row, image in zip(rows.tolist(), found.cpu(), strict=True):
        dy, dx, flip = (getattr(augmentation, name)[row].item() for name in ("dy", "dx", "flip"))
        padded = np.pad(mapped.images[row], ((0, 0), (4, 4), (4, 4)))
        cropped = padded[None, :, dy : dy + 32, dx : dx + 32]
        expected = plain_batch(cropped[:, :, :, ::-1] if flip else cropped)
        assert torch.equal(image, expected[0]) or (
            device != "cpu" and torch.allclose(image, expected[0], atol=1e-6)
        )


@pytest.mark.parametrize("device", DEVICES)
def test_moving_everything_first_changes_nothing(mapped, device):
    images = DeviceImages(mapped, MEAN, STD, device)
    order, augmentation = epoch_plan(len(mapped), 0, 0, augment=True)
    assert augmentation is not None
    one = images.batch(order[:10], augmentation)
    other = images.batch(order.to(device)[:10], augmentation.to(device))
    for a, b in zip(one, other, strict=True):
        assert torch.equal(a, b)


@NEEDS_CUDA
def test_a_set_that_does_not_fit_stays_on_the_host(mapped, monkeypatch):
    whole = DeviceImages(mapped, MEAN, STD, "cuda")
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (1000, 1000))
    parts = DeviceImages(mapped, MEAN, STD, "cuda")
    assert (whole.resident, parts.resident, parts.images.device.type) == (True, False, "cpu")
    order, augmentation = epoch_plan(len(mapped), 0, 0, augment=True)
    for a, b in zip(
        whole.batch(order[:9], augmentation), parts.batch(order[:9], augmentation), strict=True
    ):
        assert torch.equal(a, b)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("fits", [True, False])
def test_some_rows_are_the_same_as_a_set_of_them(mapped, device, fits, monkeypatch):
    rows = np.array([1, 2, 5, 11, 30, 39])
    if not fits:
        monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (1000, 1000))
    alone = ImageSet(mapped.images[rows], mapped.labels[rows])
    expected = DeviceImages(alone, MEAN, STD, device)
    some = DeviceImages(mapped, MEAN, STD, device, rows=rows)
    assert len(some) == 6
    for indices in (slice(1, 4), torch.tensor([5, 0, 3])):
        for a, b in zip(some.batch(indices), expected.batch(indices), strict=True):
            assert torch.equal(a, b)


def test_slices_are_the_same_as_indices(mapped):
    images = DeviceImages(mapped, MEAN, STD, "cpu")
    _, augmentation = epoch_plan(len(mapped), 0, 0, augment=True)
    for how in (None, augmentation):
        for a, b in zip(
            images.batch(slice(30, 50), how), images.batch(torch.arange(30, 40), how), strict=True
        ):
            assert torch.equal(a, b)


@pytest.mark.parametrize("function", [plain_batch, lambda images: normalise(images, MEAN, STD)])
@pytest.mark.parametrize("values", ["array", "map", "strided"])
def test_normalise_is_the_textbook_formula(mapped, values, function):
    array = np.asarray(mapped.images)
    given = {
        "array": array.copy(),
        "map": mapped.images,
        "strided": array[::2, :, ::-1],
    }[values]
    expected = (np.asarray(given, np.float64) / 255 - np.reshape(MEAN, (3, 1, 1))) / np.reshape(
        STD, (3, 1, 1)
    )
    found = function(given)
    assert found.dtype == torch.float32
    np.testing.assert_allclose(found, expected, atol=2e-6)


def test_the_map_is_used_in_place_without_a_warning_and_never_written(mapped):
    before = np.array(mapped.images)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        images = DeviceImages(mapped, MEAN, STD, "cpu")
        images.batch(slice(0, 40))
        images.batch(torch.arange(40), epoch_plan(40, 0, 0, True)[1])
        normalise(mapped.images, MEAN, STD)
    assert images.images.data_ptr() == mapped.images.ctypes.data
    np.testing.assert_array_equal(mapped.images, before)


def test_the_tensor_keeps_the_map_alive(mapped):
    expected = int(np.asarray(mapped.images).sum(dtype=np.int64))
    images = DeviceImages(ImageSet(mapped.images[:], mapped.labels[:]), MEAN, STD, "cpu").images
    assert int(images.sum(dtype=torch.int64)) == expected


def test_an_epoch_plan_is_a_function_of_its_arguments():
    def flat(plan):
        return [
            plan[0].tolist(),
            *(getattr(plan[1], name).tolist() for name in ("dy", "dx", "flip")),
        ]

    state = torch.get_rng_state()
    one = flat(epoch_plan(500, seed=3, epoch=7, augment=True))
    assert torch.equal(torch.get_rng_state(), state)
    torch.rand(5)
    assert flat(epoch_plan(500, seed=3, epoch=7, augment=True)) == one
    assert sorted(one[0]) == list(range(500))
    for seed, epoch in [(3, 8), (4, 7), (7, 3), (3, 6), (2**63 - 1, 7)]:
        other = flat(epoch_plan(500, seed=seed, epoch=epoch, augment=True))
        assert all(a != b for a, b in zip(one, other, strict=True))
    assert epoch_plan(500, seed=3, epoch=7, augment=False)[0].tolist() == one[0]
    assert epoch_plan(500, seed=3, epoch=7, augment=False)[1] is None


def test_offsets_and_flips_are_uniform_and_independent():
    drawn = Augmentation.draw(81 * 2 * 1000, torch.Generator().manual_seed(0))
    cells = torch.bincount((drawn.dy * 9 + drawn.dx) * 2 + drawn.flip, minlength=162)
    assert len(cells) == 162
    assert (
        (cells - 1000).square() / 1000
    ).sum() < 250  # chi-square of 161 degrees: 250 has a chance of 1e-5
