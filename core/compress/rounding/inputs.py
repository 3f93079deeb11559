"""Measures the second moments of a layer's inputs, by which its output error is known.

A convolution is a matrix product with the patches of its input, so that each output position gives
one input vector of n values. With G groups there are G separate matrix products.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from core.compress.rounding.replay import Replay

_MOST_POSITIONS = 128
"""Output positions of an image that are used. Neighbours tell nearly the same."""

_PATCH_IMAGES = 32
"""Images whose patches are in memory at once."""


@dataclass(frozen=True, eq=False)
class InputMoments:
    """Second moments of a layer's inputs, averaged over images and output positions.

    own: (G, n, n) float64, of x x^T, with the inputs x in the network that is quantized so far.
    crossed: (G, n, n) float64, of r x^T, with the inputs r in the float network at the same place.
    output_square: the square of the float layer's outputs without bias, summed over its channels
    and averaged likewise.
    samples: the number of input vectors.
    """

    own: Tensor
    crossed: Tensor
    output_square: float
    samples: int

    @property
    def is_finite(self) -> bool:
        """Whether no activation was infinite or not a number."""
        sums = (self.own.sum(), self.crossed.sum(), torch.tensor(self.output_square))
        return all(bool(value.isfinite()) for value in sums)


class _Reached(Exception):
    """Ends a forward pass once the layer has had all its inputs."""


@torch.no_grad()
def layers_in_order(model: nn.Module, names: Iterable[str], images: Tensor) -> dict[str, int]:
    """Return how often the model calls the layers of these weights, in the order of first calls.

    A layer that the model never calls as a module is missing.
    """
    layers = {model.get_submodule(name.rpartition(".")[0]): name for name in names}
    calls: dict[str, int] = {}

    def count(layer: nn.Module, _: object) -> None:
        name = layers[layer]
        calls[name] = calls.get(name, 0) + 1

    hooks = [layer.register_forward_pre_hook(count) for layer in layers]
    try:
        model(images)
    finally:
        for hook in hooks:
            hook.remove()
    return calls


@torch.no_grad()
def measure_inputs(
    model: nn.Module,
    reference: nn.Module,
    name: str,
    calls: int,
    batches: Sequence[Tensor],
    replays: Sequence[Replay] = (),
) -> InputMoments:
    """Measure the inputs of the layer with the weight `name` in both models.

    model, reference: the network quantized so far, and in float; both in evaluation mode on the
    images' device. calls: how often a forward pass calls the layer; the inputs of all calls count.
    batches: normalised images. The same output positions are used in both models, at most 128 of
    each image, the same ones in every call of this function. replays: of both models, to compute
    nothing twice in several calls with the same batches.
    """
    path = name.rpartition(".")[0]
    layer = model.get_submodule(path)
    reference_layer = reference.get_submodule(path)
    sums = _Sums(reference.get_parameter(name))
    generator = torch.Generator()
    with _precise_products():
        for number, images in enumerate(batches):
            with ExitStack() as shortened:
                for replay in replays:
                    shortened.enter_context(replay.batch(number))
                inputs = _inputs_of(model, layer, calls, images)
                references = _inputs_of(reference, reference_layer, calls, images)
            for input_images, reference_images in zip(inputs, references, strict=True):
                generator.manual_seed(number)
                for x, r in _patches(layer, input_images, reference_images, generator):
                    sums.add(x, r)
    return sums.moments()


@contextmanager
def _precise_products() -> Iterator[None]:
    """Multiply matrices in full float32.

    The 10 bits of TF32 on a GPU would drown the output error of 8 bits.
    """
    precision = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(precision)


class _Sums:
    """Sums of products over input vectors, in float64."""

    def __init__(self, weight: Tensor) -> None:
        self._weight = weight.detach()
        self._own: Tensor | None = None
        self._crossed: Tensor | None = None
        self._output_square = 0.0
        self._samples = 0

    def add(self, x: Tensor, r: Tensor) -> None:
        """x, r: input vectors of the quantized and the float network, (G, n, samples)."""
        own = _in_float64(x @ x.mT)
        crossed = _in_float64(r @ x.mT)
        self._own = own if self._own is None else self._own.add_(own)
        self._crossed = crossed if self._crossed is None else self._crossed.add_(crossed)
        outputs = self._weight.reshape(len(r), -1, r.shape[1]) @ r
        self._output_square += float(outputs.square_().sum(dtype=torch.float32))
        self._samples += x.shape[2]

    def moments(self) -> InputMoments:
        """Return the averages."""
        assert self._own is not None, "there are no images"
        assert self._crossed is not None
        return InputMoments(
            self._own.div_(self._samples),
            self._crossed.div_(self._samples),
            self._output_square / self._samples,
            self._samples,
        )


def _in_float64(values: Tensor) -> Tensor:
    """Convert to float64, on the CPU for MPS, which has no float64."""
    return (values.cpu() if values.device.type == "mps" else values).double()


def _inputs_of(model: nn.Module, layer: nn.Module, calls: int, images: Tensor) -> list[Tensor]:
    """Run the model up to the layer's last call, and return its inputs."""
    inputs: list[Tensor] = []
    with _collecting(layer, calls, inputs), suppress(_Reached):
        model(images)
    return inputs


@contextmanager
def _collecting(layer: nn.Module, calls: int, inputs: list[Tensor]) -> Iterator[None]:
    def collect(_: nn.Module, arguments: tuple[Tensor, ...]) -> None:
        # The next operation may change the tensor in place, such as a ReLU after the layer.
        is_last = len(inputs) + 1 == calls
        inputs.append(arguments[0] if is_last else arguments[0].clone())
        if is_last:
            raise _Reached

    hook = layer.register_forward_pre_hook(collect)
    try:
        yield
    finally:
        hook.remove()


def _patches(
    layer: nn.Module, images: Tensor, references: Tensor, generator: torch.Generator
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield the input vectors in both models, each (G, n, samples), of a few images at a time."""
    if isinstance(layer, nn.Linear):
        yield _rows_of(images), _rows_of(references)
        return
    assert isinstance(layer, nn.Conv2d)
    positions: Tensor | None = None
    for start in range(0, len(images), _PATCH_IMAGES):
        part = slice(start, start + _PATCH_IMAGES)
        x = _unfold(layer, images[part])
        r = _unfold(layer, references[part])
        count = x.shape[2]
        if count > _MOST_POSITIONS:
            if positions is None:
                shuffled = torch.randperm(count, generator=generator)
                positions = shuffled[:_MOST_POSITIONS].to(x.device)
            x = x[:, :, positions]
            r = r[:, :, positions]
        yield _by_group(x, layer.groups), _by_group(r, layer.groups)


def _rows_of(inputs: Tensor) -> Tensor:
    """The input vectors of a linear layer, (1, n, samples)."""
    return inputs.reshape(-1, inputs.shape[-1]).T[None].float()


def _unfold(layer: nn.Conv2d, images: Tensor) -> Tensor:
    """The patches of a convolution, (N, C * height * width of the kernel, output positions)."""
    padded = _pad(layer, images.float())
    if layer.kernel_size == (1, 1):
        return padded[:, :, :: layer.stride[0], :: layer.stride[1]].flatten(2)
    return F.unfold(padded, layer.kernel_size, layer.dilation, padding=0, stride=layer.stride)


def _pad(layer: nn.Conv2d, images: Tensor) -> Tensor:
    """Pad as the layer does, which also knows padding="same" and other modes than zeros."""
    padding = layer._reversed_padding_repeated_twice
    mode = "constant" if layer.padding_mode == "zeros" else layer.padding_mode
    return F.pad(images, padding, mode=mode) if any(padding) else images


def _by_group(patches: Tensor, groups: int) -> Tensor:
    """Reorder (N, C, positions) to (G, n, N * positions)."""
    images, columns, positions = patches.shape
    grouped = patches.reshape(images, groups, columns // groups, positions)
    return grouped.permute(1, 2, 0, 3).reshape(groups, columns // groups, images * positions)
