"""A worker that saves a checkpoint after every event, so that a kill can fall between any two. A
stand-in for `python -m core.runs.worker` that can also be slow, or work on a network that costs next to nothing."""

import sys
import time

from core.runs import worker


def network(classes: int):
    """Convolution, BatchNorm, ReLU, dropout, linear, on 3 x 32 x 32 images: cheap, and every kind of state."""
    from torch import nn

    return nn.Sequential(nn.Conv2d(3, 8, 5, stride=4, bias=False), nn.BatchNorm2d(8), nn.ReLU(), nn.Dropout(0.3),
                         nn.Flatten(), nn.Linear(8 * 7 * 7, classes))


def main(folder: str, data: str, toy: bool = False, save: bool = True, slow: float = 0.0) -> int:
    """Work on the run; with `toy` every network is `network`, without `save` no checkpoint is saved until it is
    stopped, and every step takes `slow` seconds more."""
    import torch

    from core.training import setup, step

    torch.set_num_threads(1)
    seconds = 0 if save else 1e9
    worker.EPOCH_SAVE_SECONDS = worker.BATCH_SAVE_SECONDS = worker.SAVING_SHARE = seconds
    if toy:
        setup.build = lambda name, classes: network(classes)
    if slow:
        eager = step.Stepper._step
        step.Stepper._step = lambda *arguments: (eager(*arguments), time.sleep(slow))
    return worker.main([folder, "--data-dir", data])


def run(folder: str, data: str, **options) -> None:
    """`main` as the target of a process."""
    sys.exit(main(folder, data, **options))
