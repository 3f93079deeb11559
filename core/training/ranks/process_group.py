"""Exchanges what the processes of one training have: its state, gradients and statistics.

A step gives what it gives in one process, except for rounding: losses are weighted by the number of
images, and gradients are added up. Rank 0 leads. It prepares, prunes, tests and writes alone, and
announces each step to the others.

Numbers about the training travel by gloo between the CPUs. Gradients travel by gloo or, between
GPUs, by NCCL.
"""

import io
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor, nn

from core.errors import RankLost
from core.training.device import choose_devices
from core.training.ranks.alone import Alone, Position
from core.training.ranks.batch_norm import join_batch_norms_

# While rank 0 tests or downloads, the others wait. If a process ends, the wait ends at once.
_PATIENCE = timedelta(days=7)
_END: Position = (0, 0)


def connect(device: torch.device, **options: Any) -> "ProcessGroup":
    """Connect this process with the others, which must all do so.

    options: where they meet and which one this is: arguments of `init_process_group`.
    """
    if device.type == "cuda":
        torch.cuda.set_device(device)
    backend = "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo"
    with _explained():
        dist.init_process_group(backend, timeout=_PATIENCE, **options)
    return ProcessGroup()


class ProcessGroup(Alone):
    """One of several connected processes. All methods may raise RankLost."""

    def __init__(self) -> None:
        self.rank = dist.get_rank()
        self.count = dist.get_world_size()
        # Of the current batch.
        self._weight = 1.0
        self._fraction = 1.0

    def device(self, name: str) -> torch.device:
        """Return the device of this process for the device of a recipe. Raises UserError."""
        return choose_devices(name, self.count)[self.rank]

    def join_(self, model: nn.Module) -> list[str]:
        """Let BatchNorm use the statistics of the whole batch; mutates the model.

        Returns the names of the layers that cannot, and use those of this process's images.
        """
        return join_batch_norms_(model, self.weighted_sum_)

    def share_state(self, state: Mapping[str, Any]) -> None:
        """Give the other processes the state that all begin with. Only for rank 0."""
        file = io.BytesIO()
        torch.save(dict(state), file)
        content = torch.frombuffer(file.getbuffer(), dtype=torch.uint8)
        self._tell((len(content), 0))
        with _explained():
            dist.broadcast(content, src=0)

    def receive_state(self) -> dict[str, Any] | None:
        """Wait for the state that rank 0 shares, and return it. None if rank 0 ended before."""
        length, _ = self._hear()
        if not length:
            return None
        content = torch.empty(length, dtype=torch.uint8)
        with _explained():
            dist.broadcast(content, src=0)
        file = io.BytesIO(content.numpy().tobytes())
        state: dict[str, Any] = torch.load(file, map_location="cpu", weights_only=True)
        return state

    def announce(self, position: Position) -> None:
        """Begin the step at a position, in all processes. Only for rank 0."""
        self._tell(position)

    def end(self) -> None:
        """Tell the other processes that there are no more steps. Only for rank 0."""
        self._tell(_END)

    def next_position(self, seed: int) -> Position | None:
        """Wait for the next step that rank 0 announces. None if there are no more.

        Dropout then draws from a generator whose seed follows from `seed`, the rank and the
        position, so that no two processes drop the same and a resumed run drops as it would have.
        """
        position = self._hear()
        if position == _END:
            return None
        words = np.random.SeedSequence([seed, self.rank, *position]).generate_state(1, np.uint64)
        torch.manual_seed(int(words[0] >> np.uint64(1)))
        return position

    def part_of(self, indices: Tensor) -> Tensor:
        """Return this process's part of the image indices of a batch.

        The parts differ by one image at most. If there are fewer images than processes, each takes
        the whole batch, with the weight 1 / count.
        """
        total = len(indices)
        if total < self.count:
            part = indices
            self._weight = 1 / self.count
        else:
            part = indices.tensor_split(self.count)[self.rank]
            self._weight = 1.0
        self._fraction = self._weight * len(part) / total
        return part

    def weighted(self, loss: Tensor) -> Tensor:
        """Turn the mean loss of the part into the summand of the mean loss of the batch."""
        return loss * self._fraction

    def weighted_sum_(self, tensor: Tensor) -> Tensor:
        """Add up a tensor over the processes, by the weights of their parts; mutates the tensor."""
        tensor.mul_(self._weight)
        with _explained():
            dist.all_reduce(tensor)
        return tensor

    def add_up_(self, model: nn.Module, loss_sum: Tensor, correct: Tensor) -> tuple[Tensor, Tensor]:
        """Add up the gradients and both figures over all processes; mutates the gradients."""
        gradients = [item.grad for item in model.parameters() if item.grad is not None]
        figures = torch.stack([loss_sum.float(), correct.float()]) * self._weight
        everything = torch.cat([*(gradient.reshape(-1) for gradient in gradients), figures])
        with _explained():
            dist.all_reduce(everything)
        *sums, loss_sum, correct = everything.split([*(item.numel() for item in gradients), 1, 1])
        for gradient, total in zip(gradients, sums, strict=True):
            gradient.copy_(total.view_as(gradient))
        return loss_sum[0], correct[0]

    def _tell(self, numbers: Position) -> None:
        with _explained():
            dist.broadcast(torch.tensor(numbers, dtype=torch.int64), src=0)

    def _hear(self) -> Position:
        numbers = torch.empty(2, dtype=torch.int64)
        with _explained():
            dist.broadcast(numbers, src=0)
        first, second = numbers.tolist()
        return first, second


@contextmanager
def _explained() -> Iterator[None]:
    """Turn the error of an exchange, which another process did not take part in, into RankLost."""
    try:
        yield
    except RuntimeError as error:
        raise RankLost(str(error)) from error
