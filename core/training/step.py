"""One optimiser step, as eager code everywhere and as a captured graph on CUDA."""

from collections.abc import Callable, Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn

EAGER_STEPS = 11  # before a capture: the optimiser, cuDNN and the allocator settle in the first ones


class Stepper:
    """Takes optimiser steps and keeps the sums that an epoch reports: no step waits for the device.

    On CUDA the step runs in bfloat16 autocast and, after `EAGER_STEPS` ordinary ones, as one captured graph: at
    small batches eager code spends its time on launching kernels. Where capturing fails, `capture_error` says why
    and training goes on eagerly. Without `capture` it is eager throughout.
    """

    def __init__(self, model: nn.Module, optimizer: torch.optim.Optimizer, label_smoothing: float = 0.0,
                 capture: bool = True):
        self.model, self.optimizer, self.label_smoothing = model, optimizer, label_smoothing
        device = next(model.parameters()).device
        self.loss_sum = torch.zeros((), device=device)
        self.correct = torch.zeros((), device=device)
        self.capture_error: str | None = None
        self._bfloat16 = device.type == "cuda" and torch.cuda.is_bf16_supported()
        self._steps = 0
        self._graph: tuple[torch.cuda.CUDAGraph, Tensor, Tensor] | None = None
        self._stream = torch.cuda.Stream(device) if device.type == "cuda" and capture else None

    def __call__(self, images: Tensor, labels: Tensor, lr: float) -> None:
        """One step on a normalised batch."""
        set_lr(self.optimizer, lr)
        if self._stream is None:
            self._step(images, labels)
            return
        if self._graph is None and self.capture_error is None and self._steps == EAGER_STEPS:
            self._capture(images, labels)
        if self._graph is not None and self._graph[1].shape == images.shape:
            graph, static_images, static_labels = self._graph
            static_images.copy_(images)
            static_labels.copy_(labels)
            graph.replay()
        else:
            self._on_side_stream(self._step, images, labels)
        self._steps += 1

    def _step(self, images: Tensor, labels: Tensor) -> None:
        self.optimizer.zero_grad(set_to_none=True)
        with torch.autocast(images.device.type, torch.bfloat16, enabled=self._bfloat16, cache_enabled=False):
            logits = self.model(images)
            loss = F.cross_entropy(logits.float(), labels, label_smoothing=self.label_smoothing)
        loss.backward()
        self.optimizer.step()
        self.loss_sum += loss.detach() * len(labels)
        self.correct += (logits.argmax(1) == labels).sum()

    def _on_side_stream(self, function: Callable, *tensors: Tensor) -> None:
        """Autograd remembers the stream of its first use: warm up on one that a capture may use, too."""
        self._stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(self._stream):
            function(*tensors)
        torch.cuda.current_stream().wait_stream(self._stream)

    def _capture(self, images: Tensor, labels: Tensor) -> None:
        """Record a step without running it. A network that synchronises or branches on data cannot be recorded."""
        static = images.clone(memory_format=torch.preserve_format), labels.clone()
        graph = torch.cuda.CUDAGraph()
        self.optimizer.zero_grad(set_to_none=True)
        try:
            with torch.cuda.graph(graph, stream=self._stream):
                self._step(*static)
            self._graph = (graph, *static)
        except RuntimeError as error:
            self.capture_error = str(error).splitlines()[0]
            torch.cuda.synchronize()

    def read(self) -> tuple[float, float]:
        """The sums of the losses and of the correct predictions since `reset`; waits for the device."""
        return self.loss_sum.item(), self.correct.item()

    def reset(self, loss_sum: float = 0.0, correct: float = 0.0) -> None:
        """Begin an epoch, or continue one."""
        self.loss_sum.fill_(loss_sum)
        self.correct.fill_(correct)


def make_optimizer(model: nn.Module, lr: float, momentum: float, weight_decay: float,
                   nesterov: bool = False) -> torch.optim.SGD:
    """Fused SGD whose learning rate is a tensor on the device, so that a captured step reads the one of its time."""
    device = next(model.parameters()).device
    rate = torch.tensor(lr, device=device) if device.type == "cuda" else lr
    return torch.optim.SGD(model.parameters(), lr=rate, momentum=momentum, weight_decay=weight_decay,
                           nesterov=nesterov, fused=device.type in ("cpu", "cuda"))


def set_lr(optimizer: torch.optim.Optimizer, lr: float) -> None:
    """Change the rate in place."""
    for group in optimizer.param_groups:
        if isinstance(group["lr"], Tensor):
            group["lr"].fill_(lr)
        else:
            group["lr"] = lr


def momentum_of(optimizer: torch.optim.Optimizer, model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """The momentum buffers by parameter name."""
    for name, parameter in model.named_parameters():
        buffer = optimizer.state.get(parameter, {}).get("momentum_buffer")
        if buffer is not None:
            yield name, buffer
