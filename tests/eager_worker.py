"""A worker that saves a checkpoint after every event, so that a kill can fall between any two.

It replaces `python -m core.runs.worker` in tests. It can also be slow, or work on a tiny network.
"""

import sys
import time
from typing import TYPE_CHECKING, Any

from core.runs import worker

if TYPE_CHECKING:
    from torch import Tensor, nn


def network(classes: int, channels: int = 4) -> "nn.Sequential":
    """Build a tiny network for 3 x 32 x 32 images that has every kind of state.

    Convolution, BatchNorm, ReLU, dropout and linear. channels: of the convolution.
    """
    from torch import nn

    return nn.Sequential(
        nn.Conv2d(3, channels, 5, stride=4, bias=False),
        nn.BatchNorm2d(channels),
        nn.ReLU(),
        nn.Dropout(0.3),
        nn.Flatten(),
        nn.Linear(channels * 7 * 7, classes),
    )


def main(
    folder: str,
    data: str,
    toy: bool = False,
    save: bool = True,
    slow: float = 0.0,
    job: str = "",
) -> int:
    """Work on a run.

    toy: every network is `network`. save: whether checkpoints are saved before the run is stopped.
    slow: seconds that every step takes longer. job: id of the Ray job that this process is.
    """
    import torch

    from core.training import setup, step

    torch.set_num_threads(1)
    seconds = 0 if save else 1e9
    worker.EPOCH_SAVE_SECONDS = seconds
    worker.BATCH_SAVE_SECONDS = seconds
    worker.SAVING_SHARE = seconds
    if toy:

        def build_toy(name: str, num_classes: int) -> "nn.Module":
            return network(num_classes)

        setup.build = build_toy
    if slow:
        usual_step = step.Stepper._step

        def slow_step(self: step.Stepper, images: "Tensor", labels: "Tensor") -> None:
            usual_step(self, images, labels)
            time.sleep(slow)

        step.Stepper._step = slow_step  # type: ignore[method-assign]  # slows every step down
    return worker.main([folder, "--data-dir", data, "--job", job])


def run(folder: str, data: str, **options: Any) -> None:
    """Call `main` as the target of a process."""
    sys.exit(main(folder, data, **options))
