"""Make batches on the device: pick, crop, flip and normalise uint8 images there."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import psutil
import torch
import torch.nn.functional as F
from torch import Tensor

from core.config import PerChannel
from core.data.imageset import ImageSet, Rows

_PADDING = 4  # pixels around an image before it is cropped
_COPIED_BYTES = 2**26


class Normaliser:
    """Turns uint8 pixels into what a network takes: (x / 255 - mean) / std, as x * scale + shift.

    mean, std: for pixels in [0, 1], a number for each channel. scale, shift: float32
    (1, C, 1, 1), on the device.
    """

    def __init__(
        self, mean: Sequence[float], std: Sequence[float], device: torch.device | str = "cpu"
    ):
        mean_values = torch.tensor(mean, dtype=torch.float64).view(1, -1, 1, 1)
        std_values = torch.tensor(std, dtype=torch.float64).view(1, -1, 1, 1)
        self.scale = (1 / (255 * std_values)).float().to(device)
        self.shift = (-mean_values / std_values).float().to(device)

    def __call__(
        self, images: Tensor, memory_format: torch.memory_format = torch.contiguous_format
    ) -> Tensor:
        """Return uint8 images (N, C, H, W) as normalised float32 in new memory."""
        floats = images.to(torch.float32, memory_format=memory_format, copy=True)
        return floats.mul_(self.scale).add_(self.shift)


def normalise(images: np.ndarray, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """Return uint8 images (N, C, H, W) as normalised float32 on the CPU; see `Normaliser`."""
    return Normaliser(mean, std)(torch.tensor(np.ascontiguousarray(images)))


@dataclass(frozen=True, eq=False)
class Augmentation:
    """The random crop and flip of every image of a set, for one epoch.

    Image i gets 4 black pixels around it, is cropped to its old size, and perhaps mirrored.

    dy: first row of the crop of each image, int64 (N,) in [0, 8].
    dx: first column of the crop of each image, int64 (N,) in [0, 8].
    flip: whether each image is mirrored left to right, bool (N,).
    """

    dy: Tensor
    dx: Tensor
    flip: Tensor

    @classmethod
    def draw(cls, n: int, generator: torch.Generator) -> "Augmentation":
        """Draw the crops and flips of `n` images.

        The distribution is that of torchvision's RandomCrop(side, padding=4) and
        RandomHorizontalFlip.
        """
        dy, dx = torch.randint(0, 2 * _PADDING + 1, (2, n), generator=generator)
        flip = torch.rand(n, generator=generator) < 0.5
        return cls(dy, dx, flip)

    def to(self, device: torch.device | str) -> "Augmentation":
        """Return the same on `device`. Moving once per epoch is faster than once per batch."""
        return Augmentation(self.dy.to(device), self.dx.to(device), self.flip.to(device))

    def __getitem__(self, rows: Tensor | slice) -> "Augmentation":
        if isinstance(rows, Tensor):
            rows = rows.to(self.dy.device)
        return Augmentation(self.dy[rows], self.dx[rows], self.flip[rows])


def epoch_plan(n: int, seed: int, epoch: int, augment: bool) -> tuple[Tensor, Augmentation | None]:
    """Return the order of `n` images in an epoch, int64 (n,) on the CPU, and their augmentation.

    The result depends on the arguments alone, so that a resumed run can continue at any batch of
    any epoch with the same images. The global random state is neither used nor changed.
    """
    words = np.random.SeedSequence([seed, epoch]).generate_state(1, np.uint64)
    # torch takes seeds of 63 bits.
    torch_seed = int(words[0] >> np.uint64(1))
    generator = torch.Generator().manual_seed(torch_seed)
    order = torch.randperm(n, generator=generator)
    augmentation = Augmentation.draw(n, generator) if augment else None
    return order, augmentation


def crop_and_flip(images: Tensor, augmentation: Augmentation) -> Tensor:
    """Return images (B, C, H, W) of any type, cropped and flipped by their B augmentations."""
    count, channels, height, width = images.shape
    rows = torch.arange(height, device=images.device) + augmentation.dy[:, None]
    columns = torch.arange(width, device=images.device)
    flipped_columns = width - 1 - columns
    columns = torch.where(augmentation.flip[:, None], flipped_columns, columns)
    columns = columns + augmentation.dx[:, None]
    # The index of every pixel of the result, among the flattened pixels of the padded image.
    padded_width = width + 2 * _PADDING
    pixels = rows[:, :, None] * padded_width + columns[:, None, :]
    pixels = pixels.view(count, 1, -1).expand(-1, channels, -1)
    padded = F.pad(images, (_PADDING,) * 4).flatten(2)
    return padded.gather(2, pixels).view_as(images)


class DeviceImages:
    """The images and labels of a set on the device that the network is on.

    On the CPU the memory map is used in place. Any other device gets its images at once, a part at
    a time, if twice their size is free there. Otherwise it gets each batch on its own, read from
    the map; for CUDA through pinned memory. So a set may be larger than the memory of the computer.

    resident: whether all images are on the device. memory_format: that of the batches.
    """

    def __init__(
        self,
        image_set: ImageSet,
        mean: PerChannel,
        std: PerChannel,
        device: torch.device | str,
        memory_format: torch.memory_format = torch.contiguous_format,
        rows: Rows | None = None,
    ):
        """rows: the images of the set that are used; None for all."""
        self.device = torch.device(device)
        self.memory_format = memory_format
        images = _share_memory(image_set.images)
        labels = _share_memory(image_set.labels)
        self._rows = None if rows is None else torch.from_numpy(rows)
        if self._rows is not None:
            labels = labels[self._rows]
        self.resident = _fits_on(self.device, len(labels) * images[:1].nbytes)
        if self.resident and self.device.type != "cpu":
            images = _copy_to(self.device, images, self._rows)
            self._rows = None
        self.images = images
        self.labels = labels.to(self.device)
        self._normalise = Normaliser(mean, std, self.device)

    def __len__(self) -> int:
        return len(self.labels)

    def batch(
        self, indices: Tensor | slice, augmentation: Augmentation | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return normalised images, float32 (B, 3, H, W), and labels, int64 (B,), at `indices`.

        indices: int64 (B,) or a slice. It is fastest with indices on this device; if the set is not
        resident, with indices on the CPU. augmentation: that of the whole set, not of the batch.
        """
        images = _pick(self.images, indices if self._rows is None else _pick(self._rows, indices))
        labels = _pick(self.labels, indices)
        if not self.resident:
            images = _send(images, self.device)
        if augmentation is not None:
            images = crop_and_flip(images, augmentation[indices].to(self.device))
        return self._normalise(images, self.memory_format), labels


def _fits_on(device: torch.device, image_bytes: int) -> bool:
    if device.type == "cpu":
        return True
    if device.type == "cuda":
        free_bytes, _ = torch.cuda.mem_get_info(device)
    else:
        # The other devices share the memory of the computer.
        free_bytes = psutil.virtual_memory().available
    return image_bytes <= free_bytes // 2


def _copy_to(device: torch.device, images: Tensor, rows: Tensor | None) -> Tensor:
    """Return these images on another device. They are never all in memory on this one."""
    count = len(images) if rows is None else len(rows)
    copies = torch.empty((count, *images.shape[1:]), dtype=images.dtype, device=device)
    step = max(1, _COPIED_BYTES // max(1, images[:1].nbytes))
    for start in range(0, count, step):
        part = slice(start, start + step)
        copies[part] = images[part] if rows is None else images[rows[part]]
    return copies


def _send(images: Tensor, device: torch.device) -> Tensor:
    """Return a batch on another device."""
    if device.type == "cuda":
        # From pinned memory the copy runs beside the computation.
        return images.pin_memory().to(device, non_blocking=True)
    return images.to(device)


def _pick(values: Tensor, indices: Tensor | slice) -> Tensor:
    if isinstance(indices, slice):
        return values[indices]
    return values.index_select(0, indices.to(values.device))


class _Writable:
    """The memory of a read-only array, described as writable.

    torch warns of read-only arrays, although nothing here writes to them.
    """

    def __init__(self, array: np.ndarray):
        self.owner = array
        self.__array_interface__ = {**array.__array_interface__, "data": (array.ctypes.data, False)}


def _share_memory(array: np.ndarray) -> Tensor:
    """Return the array as a tensor, on the same memory if the array is contiguous."""
    array = np.ascontiguousarray(array)
    if not array.flags.writeable:
        array = np.asarray(_Writable(array))
    return torch.from_numpy(array)
