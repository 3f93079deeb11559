"""One of several real processes that train a network together, without a run."""

from pathlib import Path

import torch
import torch.distributed as dist
from torch import nn

from core.config import TrainRecipe
from core.jobs.train import TrainJob
from core.training import setup
from core.training.ranks.process_group import connect


def network_with_batch_norm(name: str, num_classes: int) -> nn.Module:
    """Build a tiny network for 3 x 32 x 32 images whose steps draw no random numbers."""
    return nn.Sequential(
        nn.Conv2d(3, 8, 5, stride=4, bias=False),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(8 * 7 * 7, num_classes),
    )


def run(folder: Path, data: Path, recipe: TrainRecipe, rank: int, count: int, toy: bool) -> None:
    """Train with the other ranks, and save this rank's weights in the folder.

    toy: every network is `network_with_batch_norm`.
    """
    torch.set_num_threads(1)
    if toy:
        setup.build = network_with_batch_norm
    meeting = f"file://{folder / 'meeting'}"
    group = connect(torch.device("cpu"), init_method=meeting, rank=rank, world_size=count)
    job = TrainJob(recipe, data, ranks=group)
    if rank == 0:
        list(job.events())
        group.end()
    else:
        job.follow(group)
    torch.save(job.result(), folder / f"{rank}.pt")
    dist.destroy_process_group()
