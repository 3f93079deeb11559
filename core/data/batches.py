"""Batches made on the device: uint8 images are kept whole, and gathered, cropped, flipped and normalised there."""

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F

from core.data.imageset import ImageSet

PADDING = 4


@dataclass(frozen=True, eq=False)
class Augmentation:
    """The random crop and flip of every image of a set, for one epoch.

    Image i, with 4 black pixels around it, is cropped from row `dy[i]` and column `dx[i]` on (int64 (N,) in [0, 8]),
    then mirrored left to right if `flip[i]` (bool (N,)).
    """

    dy: torch.Tensor
    dx: torch.Tensor
    flip: torch.Tensor

    @classmethod
    def draw(cls, n: int, generator: torch.Generator) -> "Augmentation":
        """For `n` images; the distribution of torchvision's RandomCrop(side, padding=4) and RandomHorizontalFlip."""
        dy, dx = torch.randint(0, 2 * PADDING + 1, (2, n), generator=generator)
        return cls(dy, dx, torch.rand(n, generator=generator) < 0.5)

    def to(self, device: torch.device | str) -> "Augmentation":
        """The same on `device`: move it once an epoch, not once a batch."""
        return Augmentation(self.dy.to(device), self.dx.to(device), self.flip.to(device))

    def __getitem__(self, rows: torch.Tensor | slice) -> "Augmentation":
        if isinstance(rows, torch.Tensor):
            rows = rows.to(self.dy.device)
        return Augmentation(self.dy[rows], self.dx[rows], self.flip[rows])


def epoch_plan(n: int, seed: int, epoch: int, augment: bool) -> tuple[torch.Tensor, Augmentation | None]:
    """The order of `n` images (int64 (n,), on the CPU) and their augmentation in an epoch.

    A function of its arguments alone: a resumed run can go on at any batch of any epoch with the same images. Touches
    no global random state.
    """
    state = np.random.SeedSequence([seed, epoch]).generate_state(1, np.uint64)[0] >> np.uint64(1)
    generator = torch.Generator().manual_seed(int(state))
    order = torch.randperm(n, generator=generator)
    return order, Augmentation.draw(n, generator) if augment else None


def crop_and_flip(images: torch.Tensor, how: Augmentation) -> torch.Tensor:
    """Images (B, C, H, W) of any type and their B crops and flips -> images of the same shape and type."""
    count, channels, height, width = images.shape
    columns = torch.arange(width, device=images.device)
    rows = torch.arange(height, device=images.device) + how.dy[:, None]
    columns = torch.where(how.flip[:, None], width - 1 - columns, columns) + how.dx[:, None]
    pixels = rows[:, :, None] * (width + 2 * PADDING) + columns[:, None, :]
    padded = F.pad(images, (PADDING,) * 4).flatten(2)
    return padded.gather(2, pixels.view(count, 1, -1).expand(-1, channels, -1)).view_as(images)


def normalise(images: np.ndarray | torch.Tensor, mean: tuple, std: tuple, device: torch.device | str = "cpu",
              memory_format: torch.memory_format = torch.contiguous_format) -> torch.Tensor:
    """uint8 (N, 3, H, W) -> float32 (images / 255 - mean) / std on `device`; mean and std are in [0, 1] units."""
    images = _shared(images) if isinstance(images, np.ndarray) else images
    return _scaled(images.to(device), *_scale_and_shift(mean, std, device), memory_format)


def _scale_and_shift(mean: tuple, std: tuple, device: torch.device | str) -> tuple[torch.Tensor, torch.Tensor]:
    """(1, 3, 1, 1) each, so that uint8 values x are normalised as x * scale + shift."""
    mean, std = (torch.tensor(values, dtype=torch.float64).view(1, -1, 1, 1) for values in (mean, std))
    return (1 / (255 * std)).float().to(device), (-mean / std).float().to(device)


def _scaled(images: torch.Tensor, scale: torch.Tensor, shift: torch.Tensor,
            memory_format: torch.memory_format) -> torch.Tensor:
    return images.to(torch.float32, memory_format=memory_format, copy=True).mul_(scale).add_(shift)


class _Writable:
    """Lends a read-only array's memory to torch, which warns of such arrays; nobody here writes to it."""

    def __init__(self, array: np.ndarray):
        self.owner = array
        self.__array_interface__ = {**array.__array_interface__, "data": (array.ctypes.data, False)}


def _shared(array: np.ndarray) -> torch.Tensor:
    """The array as a tensor on the same memory, where it is contiguous."""
    array = np.ascontiguousarray(array)
    return torch.from_numpy(array if array.flags.writeable else np.asarray(_Writable(array)))


class DeviceImages:
    """A set's images and labels where the network is.

    On the CPU the memory map is used in place. Another device gets all images at once; a CUDA device whose free
    memory is less than twice their size gets every batch by itself, through pinned memory (`resident` is False then).
    `memory_format` is that of the batches.
    """

    def __init__(self, image_set: ImageSet, mean: tuple, std: tuple, device: torch.device | str,
                 memory_format: torch.memory_format = torch.contiguous_format):
        self.device, self.memory_format = torch.device(device), memory_format
        images = _shared(image_set.images)
        self.resident = self.device.type != "cuda" or images.nbytes <= torch.cuda.mem_get_info(self.device)[0] // 2
        self.images = images.to(self.device) if self.resident else images
        self.labels = _shared(image_set.labels).to(self.device)
        self.scale, self.shift = _scale_and_shift(mean, std, self.device)

    def __len__(self) -> int:
        return len(self.labels)

    def batch(self, indices: torch.Tensor | slice,
              augmentation: Augmentation | None = None) -> tuple[torch.Tensor, torch.Tensor]:
        """Images float32 (B, 3, H, W), normalised, and labels int64 (B,) at `indices`: int64 (B,) or a slice.

        `augmentation` describes the whole set, of which the images' own parts are taken. Fastest with both on this
        device already; indices on the CPU where the set is not resident.
        """
        images, labels = self._pick(self.images, indices), self._pick(self.labels, indices)
        if not self.resident:
            images = images.pin_memory().to(self.device, non_blocking=True)
        if augmentation is not None:
            images = crop_and_flip(images, augmentation[indices].to(self.device))
        return _scaled(images, self.scale, self.shift, self.memory_format), labels

    @staticmethod
    def _pick(values: torch.Tensor, indices: torch.Tensor | slice) -> torch.Tensor:
        if isinstance(indices, slice):
            return values[indices]
        return values.index_select(0, indices.to(values.device))
