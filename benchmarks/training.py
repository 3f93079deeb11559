"""Compares the training speed with that of the plain loop that everyone writes.

    python -m benchmarks.training                      # ResNet20 and VGG16, batch 128, on CIFAR10
    # and the whole default job (70 epochs; meant for a GPU)
    python -m benchmarks.training --default-job

The plain loop: torchvision's transforms in a DataLoader, eager, NCHW, float32. Each loop runs in
its own process, so that neither inherits the other's allocator. They take turns in short bursts, so
that a machine that gets slower slows both. The medians of the bursts are compared.
"""

import argparse
import multiprocessing
import statistics
import time
from collections.abc import Callable, Generator, Iterator
from multiprocessing.queues import Queue
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from benchmarks.report import Row, write_report
from core import data, models
from core.compress import masks
from core.compress.snip import scores
from core.config import Prune, TrainRecipe, data_root
from core.data.batches import DeviceImages, epoch_plan
from core.events import Finished
from core.jobs.train import TrainJob
from core.training import setup
from core.training.device import prepare_process
from core.training.precision import choose_precision
from core.training.step import Stepper, make_optimizer

BATCH = 128

Value = TypeVar("Value")


class Pictures(Dataset[tuple[Tensor, int]]):
    """The training images, each one a Pillow image that passes through torchvision's transforms."""

    def __init__(self, source: data.Dataset):
        self.images = np.ascontiguousarray(source.train.images.transpose(0, 2, 3, 1))
        self.labels = source.train.labels.tolist()
        self.pipeline = transforms.Compose(
            [
                transforms.RandomCrop(32, padding=4),
                transforms.RandomHorizontalFlip(),
                transforms.ToTensor(),
                transforms.Normalize(source.mean, source.std),
            ]
        )

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.pipeline(Image.fromarray(self.images[index])), self.labels[index]


def plain_loop(
    model_name: str, root: Path, device: str, commands: "Queue[int | None]", results: "Queue[Any]"
) -> None:
    """Serve bursts of the loop that a thousand scripts have."""
    loader = DataLoader(
        Pictures(data.load("CIFAR10", root)),
        BATCH,
        shuffle=True,
        drop_last=True,
        num_workers=2,
        pin_memory=device != "cpu",
    )
    torch.manual_seed(0)
    model = models.build(model_name, 10).to(device).train()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=5e-4)
    batches = _endless_batches(loader)

    def step() -> None:
        images, labels = next(batches)
        images = images.to(device)
        labels = labels.to(device)
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(model(images), labels)
        loss.backward()
        optimizer.step()

    results.put("float32")
    _serve_bursts(step, device, commands, results)


def _endless_batches(loader: DataLoader[Any]) -> Iterator[tuple[Tensor, Tensor]]:
    while True:
        yield from loader


def our_loop(
    model_name: str, root: Path, device: str, commands: "Queue[int | None]", results: "Queue[Any]"
) -> None:
    """Serve bursts of the steps of a real, pruned training."""
    prepare_process()
    recipe = TrainRecipe(model=model_name, prune=Prune(density=0.05))
    source = data.load("CIFAR10", root)
    place = torch.device(device)
    model = setup.initial_network(recipe, source, place)
    images = setup.training_images(recipe, source, place)
    batch, labels = setup.scoring_images(recipe, source, images).load(0, recipe.batch_size)
    masks.apply_(model, masks.keep_top(scores(model, batch, labels), recipe.density))
    chosen = last_value(choose_precision(recipe, model, images))
    optimizer = make_optimizer(model, recipe.lr, recipe.momentum, recipe.weight_decay)
    stepper = Stepper(model.train(), optimizer, precision=chosen.precision)
    batches = _endless_augmented(images)

    def step() -> None:
        images, labels = next(batches)
        stepper(images, labels, recipe.lr)

    results.put(chosen.precision)
    _serve_bursts(step, device, commands, results)


def last_value(generator: Generator[Any, None, Value]) -> Value:
    """Return the value of a generator, and ignore what it yields."""
    while True:
        try:
            next(generator)
        except StopIteration as end:
            value: Value = end.value
            return value


def _endless_augmented(images: DeviceImages) -> Iterator[tuple[Tensor, Tensor]]:
    epoch = 0
    while True:
        order, augmentation = epoch_plan(len(images), 0, epoch, True)
        for indices in order.split(BATCH):
            if len(indices) == BATCH:
                yield images.batch(indices, augmentation)
        epoch += 1


def _serve_bursts(
    step: Callable[[], None],
    device: str,
    commands: "Queue[int | None]",
    results: "Queue[Any]",
) -> None:
    """Take as many steps as each command says, and answer with the images per second."""
    while True:
        steps = commands.get()
        if steps is None:
            return
        began = time.perf_counter()
        for _ in range(steps):
            step()
        if device.startswith("cuda"):
            torch.cuda.synchronize()
        results.put(steps * BATCH / (time.perf_counter() - began))


class LoopProcess:
    """A process that serves bursts of one of the loops. precision: that of its steps."""

    def __init__(self, loop: Callable[..., None], model: str, root: Path, device: str):
        context = multiprocessing.get_context("spawn")
        self.commands: Queue[int | None] = context.Queue()
        self.results: Queue[Any] = context.Queue()
        arguments = (model, root, device, self.commands, self.results)
        context.Process(target=loop, args=arguments).start()
        self.precision: str = self.results.get(timeout=900)

    def burst(self, steps: int) -> float:
        """Return the images per second of a burst."""
        self.commands.put(steps)
        speed: float = self.results.get(timeout=900)
        return speed

    def end(self) -> None:
        """End the process."""
        self.commands.put(None)


def compare_loops(model: str, root: Path, device: str, bursts: int, steps: int) -> Row:
    """Run bursts of the two loops in turn, and return a row of the table."""
    plain = LoopProcess(plain_loop, model, root, device)
    ours = LoopProcess(our_loop, model, root, device)
    warm_up_steps = max(2, min(steps, 20))
    plain.burst(warm_up_steps)
    ours.burst(warm_up_steps)
    plain_speeds = []
    our_speeds = []
    for _ in range(bursts):
        plain_speeds.append(plain.burst(steps))
        our_speeds.append(ours.burst(steps))
    plain.end()
    ours.end()
    plain_speed = statistics.median(plain_speeds)
    our_speed = statistics.median(our_speeds)
    return {
        "network": model,
        "device": device,
        "precision": ours.precision,
        "threads": torch.get_num_threads(),
        "batch": BATCH,
        "bursts": bursts,
        "steps per burst": steps,
        "plain images/s": round(plain_speed, 1),
        "Secateur images/s": round(our_speed, 1),
        "ratio": round(our_speed / plain_speed, 2),
    }


def time_default_job(root: Path, device: str) -> Row:
    """Run the default recipe from its data set to its result, and return a row of the table."""
    began = time.perf_counter()
    for event in TrainJob(TrainRecipe(device=device), root).events():
        if isinstance(event, Finished):
            seconds = time.perf_counter() - began
            return {"seconds": round(seconds, 1), **event.summary.to_dict()}
    raise AssertionError("a run ends with Finished")


def main() -> None:
    """Print the table and write results/training.json."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--models", nargs="+", default=["ResNet20", "VGG16"])
    parser.add_argument("--bursts", type=int, default=5)
    parser.add_argument(
        "--seconds",
        type=float,
        default=12,
        help="approximate length of a burst of the plain loop on a CPU",
    )
    parser.add_argument("--data-dir")
    parser.add_argument("--default-job", action="store_true")
    options = parser.parse_args()
    device = "cuda:0" if torch.cuda.is_available() else "cpu"
    root = data_root(options.data_dir)
    steps_per_second = {"VGG16": 0.5, "ResNet20": 2.5} if device == "cpu" else {}
    rows = []
    for model in options.models:
        steps = max(2, int(options.seconds * steps_per_second.get(model, 8)))
        rows.append(compare_loops(model, root, device, options.bursts, steps))
    notes = [] if device != "cpu" else ["No GPU here: measured on the CPU only."]
    write_report("training", rows, notes)
    if options.default_job:
        write_report("default_job", [time_default_job(root, device)], notes)


if __name__ == "__main__":
    main()
