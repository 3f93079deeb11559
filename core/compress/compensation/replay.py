"""Runs a network again and again without computing anew what does not change any more.

Compensated rounding goes through the layers in order, and measures the inputs of each on the same
images. The outputs of the layers before it stay the same. They are kept as long as anything still
depends on them, so that a pass computes about one layer instead of all that lie before.
"""

import functools
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

MOST_BYTES = 600_000_000
"""Memory for the outputs that are kept. Outputs beyond it are computed in every pass."""

_PROBED_IMAGES = 2


class Replay:
    """The outputs of layers whose weights do not change any more, batch by batch.

    model: in evaluation mode. changing: the layers whose weights will still change. Only the
    forward passes inside `batch` are shortened, and their results are the same to the last bit.
    """

    def __init__(self, model: nn.Module, changing: Iterable[nn.Module]):
        self._model = model
        self._changing = dict.fromkeys(changing)
        self._fixed: dict[nn.Module, _Outputs] = {}
        self._bytes = 0

    def fix(self, layer: nn.Module) -> None:
        """From now on the weights of this layer stay as they are."""
        self._changing.pop(layer, None)
        self._fixed[layer] = _Outputs()

    @contextmanager
    def batch(self, number: int) -> Iterator[None]:
        """Inside the block, forward passes on the batch of this number are shortened.

        An output is kept only while all layers before it are fixed.
        """
        is_settled = [True]

        def unsettle(*_: object) -> None:
            is_settled[0] = False

        hooks = [layer.register_forward_pre_hook(unsettle) for layer in self._changing]
        try:
            with self._replaced(lambda outputs: _Pass(self, outputs, number, is_settled)):
                yield
        finally:
            for hook in hooks:
                hook.remove()

    @torch.no_grad()
    def forget(self, images: Tensor) -> None:
        """Forget the outputs that no changing layer and no answer depends on any more.

        images: those of batch 0. An output matters if a NaN in its place changes anything.
        """
        usual = self._probe(images, without=None)
        for layer, outputs in self._fixed.items():
            if not outputs.is_needed or 0 not in outputs.shapes:
                continue
            changed = self._probe(images, without=layer)
            if all(torch.equal(one, other) for one, other in zip(usual, changed, strict=True)):
                outputs.is_needed = False
                self._bytes -= outputs.clear()

    def keep(self, outputs: "_Outputs", number: int, output: Tensor) -> None:
        """Keep one more output of a batch, if there is room."""
        size = output.numel() * output.element_size()
        if self._bytes + size <= MOST_BYTES:
            outputs.kept.setdefault(number, []).append(output.clone())
            self._bytes += size

    def _probe(self, images: Tensor, without: nn.Module | None) -> list[Tensor]:
        """Run the whole network on a few images, and return what changing layers and readers see.

        without: a fixed layer whose outputs are replaced by NaN.
        """
        seen: list[Tensor] = []

        def see(_: nn.Module, arguments: tuple[Tensor, ...]) -> None:
            seen.append(arguments[0].clone())

        hooks = [layer.register_forward_pre_hook(see) for layer in self._changing]
        try:
            missing = None if without is None else self._fixed[without]
            with self._replaced(lambda outputs: _Probe(outputs, outputs is missing)):
                answers = self._model(images[:_PROBED_IMAGES])
        finally:
            for hook in hooks:
                hook.remove()
        return [*seen, answers]

    @contextmanager
    def _replaced(
        self, make: "Callable[[_Outputs], Callable[[_Forward, Tensor], Tensor]]"
    ) -> Iterator[None]:
        """Replace the forward method of each fixed layer inside the block."""
        for layer, outputs in self._fixed.items():
            layer.forward = functools.partial(make(outputs), layer.forward)
        try:
            yield
        finally:
            for layer in self._fixed:
                del layer.forward


_Forward = Callable[[Tensor], Tensor]


class _Outputs:
    """The outputs of a fixed layer, by the number of the batch, one for each call.

    shapes: those of all calls so far. is_needed: whether anything depends on them.
    """

    def __init__(self) -> None:
        self.kept: dict[int, list[Tensor]] = {}
        self.shapes: dict[int, list[torch.Size]] = {}
        self.is_needed = True

    def clear(self) -> int:
        """Drop the outputs, and return the number of bytes that this freed."""
        freed = sum(
            output.numel() * output.element_size()
            for outputs in self.kept.values()
            for output in outputs
        )
        self.kept.clear()
        return freed


class _Pass:
    """The calls of a fixed layer in one pass."""

    def __init__(self, replay: Replay, outputs: _Outputs, number: int, is_settled: list[bool]):
        self._replay = replay
        self._outputs = outputs
        self._number = number
        self._is_settled = is_settled
        self._call = 0

    def __call__(self, forward: _Forward, inputs: Tensor) -> Tensor:
        call = self._call
        self._call += 1
        shapes = self._outputs.shapes.setdefault(self._number, [])
        if not self._outputs.is_needed and call < len(shapes):
            return inputs.new_zeros(shapes[call])
        kept = self._outputs.kept.get(self._number, [])
        if call < len(kept):
            return kept[call].clone()  # a ReLU may change it in place
        output = forward(inputs)
        if self._is_settled[0]:
            if call == len(shapes):
                shapes.append(output.shape)
            if call == len(kept) and self._outputs.is_needed:
                self._replay.keep(self._outputs, self._number, output)
        return output


class _Probe:
    """The calls of a fixed layer on the first images of batch 0."""

    def __init__(self, outputs: _Outputs, is_missing: bool):
        self._outputs = outputs
        self._is_missing = is_missing
        self._call = 0

    def __call__(self, forward: _Forward, inputs: Tensor) -> Tensor:
        call = self._call
        self._call += 1
        kept = self._outputs.kept.get(0, [])
        output = kept[call][: len(inputs)].clone() if call < len(kept) else forward(inputs)
        return output.fill_(torch.nan) if self._is_missing else output
