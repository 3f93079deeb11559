"""Takes one optimizer step: as eager code everywhere, and as a captured graph on CUDA."""

from collections.abc import Callable, Iterator, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from core.config import Precision
from core.training.device import usual_precision
from core.training.ranks.alone import Alone

# Steps before a capture. The optimizer, cuDNN and the allocator settle in the first ones.
EAGER_STEPS = 11


class Stepper:
    """Takes optimizer steps, and sums the losses and correct predictions of an epoch.

    No step waits for the device. On CUDA a step runs, after `EAGER_STEPS` ordinary steps, as one
    captured graph: at small batches eager code spends its time on launching kernels. If capturing
    fails, `capture_error` gives the reason and training goes on eagerly. With `capture=False` every
    step is eager.

    precision: bfloat16 runs the forward pass in autocast; the weights stay float32. None takes the
    usual precision of the device. ranks: the processes that take the steps together; with several
    of them every step is eager.
    """

    def __init__(
        self,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        label_smoothing: float = 0.0,
        capture: bool = True,
        precision: Precision | None = None,
        ranks: Alone | None = None,
    ):
        self.model = model
        self.ranks = ranks or Alone()
        self.optimizer = optimizer
        self.label_smoothing = label_smoothing
        device = next(model.parameters()).device
        self.loss_sum = torch.zeros((), device=device)
        self.correct = torch.zeros((), device=device)
        self.capture_error: str | None = None
        self._device_type = device.type
        self.precision = precision or usual_precision(device)
        self._steps = 0
        self._graph: tuple[torch.cuda.CUDAGraph, Tensor, Tensor] | None = None
        self._stream: torch.cuda.Stream | None = None
        if device.type == "cuda" and capture and self.ranks.count == 1:
            self._stream = torch.cuda.Stream(device)

    def __call__(self, images: Tensor, labels: Tensor, lr: float) -> None:
        """Take one step on a batch of normalised images, or on this process's part of it."""
        set_lr(self.optimizer, lr)
        if self._stream is None:
            self._step(images, labels)
        else:
            self._step_on(self._stream, images, labels)
            self._steps += 1

    def _step_on(self, stream: torch.cuda.Stream, images: Tensor, labels: Tensor) -> None:
        """Replay the captured graph, or take an eager step where the graph does not fit."""
        if self._graph is None and self.capture_error is None and self._steps == EAGER_STEPS:
            self._capture(stream, images, labels)
        if self._graph is not None and self._graph[1].shape == images.shape:
            graph, static_images, static_labels = self._graph
            static_images.copy_(images)
            static_labels.copy_(labels)
            graph.replay()
        else:
            _run_on(stream, self._step, images, labels)

    def _step(self, images: Tensor, labels: Tensor) -> None:
        self.optimizer.zero_grad(set_to_none=True)
        with self._autocast():
            logits = self.model(images)
            loss = F.cross_entropy(logits.float(), labels, label_smoothing=self.label_smoothing)
        self.ranks.weighted(loss).backward()
        correct = (logits.argmax(1) == labels).sum()
        loss_sum, correct = self.ranks.add_up_(self.model, loss.detach() * len(labels), correct)
        self.optimizer.step()
        self.loss_sum += loss_sum
        self.correct += correct

    def _autocast(self) -> torch.autocast:
        return torch.autocast(
            self._device_type,
            torch.bfloat16,
            enabled=self.precision == "bfloat16",
            cache_enabled=False,
        )

    def _capture(self, stream: torch.cuda.Stream, images: Tensor, labels: Tensor) -> None:
        """Record a step without running it.

        A network that synchronises or branches on data cannot be recorded.
        """
        static_images = images.clone(memory_format=torch.preserve_format)
        static_labels = labels.clone()
        graph = torch.cuda.CUDAGraph()
        self.optimizer.zero_grad(set_to_none=True)
        try:
            with torch.cuda.graph(graph, stream=stream):
                self._step(static_images, static_labels)
            self._graph = (graph, static_images, static_labels)
        except RuntimeError as error:
            self.capture_error = str(error).splitlines()[0]
            torch.cuda.synchronize()

    def read(self) -> tuple[float, float]:
        """Return the sums of the losses and of the correct predictions since `reset`.

        Waits for the device.
        """
        return self.loss_sum.item(), self.correct.item()

    def reset(self, loss_sum: float = 0.0, correct: float = 0.0) -> None:
        """Start an epoch with sums of zero, or continue one with its sums."""
        self.loss_sum.fill_(loss_sum)
        self.correct.fill_(correct)


def _run_on(stream: torch.cuda.Stream, function: Callable[..., None], *tensors: Tensor) -> None:
    """Call the function on another stream, in order with the current stream.

    Autograd remembers the stream of its first use, so the first steps must run on the stream that
    the capture uses.
    """
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        function(*tensors)
    torch.cuda.current_stream().wait_stream(stream)


def make_optimizer(
    model: nn.Module, lr: float, momentum: float, weight_decay: float, nesterov: bool = False
) -> torch.optim.SGD:
    """Return SGD for all parameters of the model, fused on the CPU and on CUDA.

    On CUDA the learning rate is a tensor, so that a captured step reads its current value.
    """
    device = next(model.parameters()).device
    rate = torch.tensor(lr, device=device) if device.type == "cuda" else lr
    return torch.optim.SGD(
        model.parameters(),
        lr=rate,
        momentum=momentum,
        weight_decay=weight_decay,
        nesterov=nesterov,
        fused=device.type in ("cpu", "cuda"),
    )


def set_lr(optimizer: torch.optim.Optimizer, lr: float) -> None:
    """Set the learning rate of all parameters; a tensor is changed in place."""
    for group in optimizer.param_groups:
        if isinstance(group["lr"], Tensor):
            group["lr"].fill_(lr)
        else:
            group["lr"] = lr


def momentum_buffers(
    optimizer: torch.optim.Optimizer, model: nn.Module
) -> Iterator[tuple[str, Tensor]]:
    """Yield the name of each parameter that has a momentum buffer, and the buffer."""
    for name, parameter in model.named_parameters():
        buffer = optimizer.state.get(parameter, {}).get("momentum_buffer")
        if buffer is not None:
            yield name, buffer


def restore_momentum_(
    optimizer: torch.optim.Optimizer, model: nn.Module, buffers: Mapping[str, Tensor]
) -> None:
    """Give the optimizer copies of momentum buffers, by parameter name; mutates the optimizer."""
    for name, parameter in model.named_parameters():
        if name in buffers:
            buffer = torch.empty_like(parameter).copy_(buffers[name])
            optimizer.state[parameter]["momentum_buffer"] = buffer
