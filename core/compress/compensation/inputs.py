"""Runs networks to measure the inputs of a layer, by which its output error is known.

A convolution is a matrix product with the patches of its input, so that each output position gives
one input vector of n values. With G groups there are G separate matrix products, each with R output
channels.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from core.compress.compensation.moments import InputMoments, MomentSums
from core.compress.compensation.replay import Replay

_MOST_POSITIONS = 128
"""Output positions of an image that are used. Neighbours tell nearly the same."""

_PATCH_VALUES = 2**24
"""Values of the patches in memory at once, in float32."""


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
    """Measure the layer with the weight `name`: its inputs in a model, and its outputs in another.

    model, reference: the network quantized so far, and in float; both in evaluation mode on the
    images' device. calls: how often a forward pass calls the layer; all calls count. batches:
    normalised images. The same output positions are used in both models, at most 128 of each image,
    the same ones in every call of this function. replays: of both models, to compute nothing twice
    in several calls with the same batches.
    """
    path = name.rpartition(".")[0]
    layer = model.get_submodule(path)
    reference_layer = reference.get_submodule(path)
    sums = MomentSums()
    generator = torch.Generator()
    with _precise_products():
        for number, images in enumerate(batches):
            with ExitStack() as shortened:
                for replay in replays:
                    shortened.enter_context(replay.batch(number))
                inputs = _inputs_of(model, layer, calls, images)
                outputs = _outputs_of(reference, reference_layer, calls, images)
            for input_images, output_images in zip(inputs, outputs, strict=True):
                generator.manual_seed(number)
                for x, y in _vectors(layer, input_images, output_images, generator):
                    sums.add(x, y)
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


class _Calls:
    """What the calls of a layer in one forward pass take or return."""

    def __init__(self, count: int) -> None:
        self._count = count
        self.values: list[Tensor] = []

    def add(self, value: Tensor) -> None:
        """Add the value of the next call. Raises _Reached after the last one."""
        is_last = len(self.values) + 1 == self._count
        # The next operation may change the tensor in place, such as a ReLU after the layer.
        self.values.append(value if is_last else value.clone())
        if is_last:
            raise _Reached


def _inputs_of(model: nn.Module, layer: nn.Module, calls: int, images: Tensor) -> list[Tensor]:
    """Run the model up to the layer's last call, and return its inputs."""
    inputs = _Calls(calls)
    hook = layer.register_forward_pre_hook(lambda _, arguments: inputs.add(arguments[0]))
    _run(model, images, hook)
    return inputs.values


def _outputs_of(model: nn.Module, layer: nn.Module, calls: int, images: Tensor) -> list[Tensor]:
    """Run the model up to the layer's last call, and return its outputs without bias."""
    outputs = _Calls(calls)
    hook = layer.register_forward_hook(lambda _, __, output: outputs.add(output))
    _run(model, images, hook)
    assert isinstance(layer, nn.Conv2d | nn.Linear)
    if layer.bias is None:
        return outputs.values
    bias = layer.bias if isinstance(layer, nn.Linear) else layer.bias[:, None, None]
    return [output - bias for output in outputs.values]


def _run(model: nn.Module, images: Tensor, hook: RemovableHandle) -> None:
    """Run the model until a hook has seen enough, and remove the hook."""
    try:
        with suppress(_Reached):
            model(images)
    finally:
        hook.remove()


def _vectors(
    layer: nn.Module, inputs: Tensor, outputs: Tensor, generator: torch.Generator
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield inputs and outputs of a few images at a time, (G, n, samples) and (G, R, samples)."""
    if isinstance(layer, nn.Linear):
        yield _rows_of(inputs), _rows_of(outputs)
        return
    assert isinstance(layer, nn.Conv2d)
    outputs = outputs.flatten(2)
    count = outputs.shape[2]
    chosen: Tensor | slice = slice(None)
    if count > _MOST_POSITIONS:
        chosen = torch.randperm(count, generator=generator)[:_MOST_POSITIONS].to(outputs.device)
    values_of_an_image = layer.weight[0].numel() * layer.groups * count
    images = max(1, _PATCH_VALUES // values_of_an_image)
    for start in range(0, len(inputs), images):
        part = slice(start, start + images)
        x = _unfold(layer, inputs[part])[:, :, chosen]
        y = outputs[part].float()[:, :, chosen]
        yield _by_group(x, layer.groups), _by_group(y, layer.groups)


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
