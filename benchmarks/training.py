"""Training speed, side by side in one run with the plain loop that everyone writes.

    python -m benchmarks.training                      # ResNet20 and VGG16, batch 128, on CIFAR10
    python -m benchmarks.training --default-job        # and the whole default job (70 epochs; meant for a GPU)

The plain loop: torchvision's transforms in a DataLoader, eager, NCHW, float32. The two take turns in short bursts, each
in a process of its own, so that neither inherits the other's allocator and a drifting machine hits both; medians are
compared.
"""

import argparse
import multiprocessing
import statistics
import time

import numpy as np
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from benchmarks import report
from core import data, models
from core.compress import masks
from core.compress.snip import scores
from core.config import Prune, TrainRecipe, data_root
from core.data.batches import epoch_plan
from core.events import Finished
from core.training import setup
from core.training.device import prepare_process
from core.training.loop import Training
from core.training.step import Stepper, make_optimizer

BATCH = 128


class Pictures(Dataset):
    """The training images as everybody reads them: a Pillow image each, through torchvision's transforms."""

    def __init__(self, source: data.Dataset):
        self.images = np.ascontiguousarray(source.train.images.transpose(0, 2, 3, 1))
        self.labels = source.train.labels.tolist()
        self.pipeline = transforms.Compose([
            transforms.RandomCrop(32, padding=4), transforms.RandomHorizontalFlip(), transforms.ToTensor(),
            transforms.Normalize(source.mean, source.std)])

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int):
        return self.pipeline(Image.fromarray(self.images[index])), self.labels[index]


def plain_loop(model_name: str, root, device: str, commands, results) -> None:
    """The loop of a thousand scripts; answers each burst of n steps with its images a second."""
    pictures = Pictures(data.load("CIFAR10", root))

    def endless():
        while True:
            yield from DataLoader(pictures, BATCH, shuffle=True, drop_last=True, num_workers=2,
                                  pin_memory=device != "cpu")

    torch.manual_seed(0)
    model = models.build(model_name, 10).to(device).train()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=5e-4)
    batches = endless()

    def step():
        images, labels = next(batches)
        images, labels = images.to(device), labels.to(device)
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(model(images), labels)
        loss.backward()
        optimizer.step()

    _serve(step, device, commands, results)


def our_loop(model_name: str, root, device: str, commands, results) -> None:
    """The steps of a real, pruned training."""
    prepare_process()
    recipe = TrainRecipe(model=model_name, prune=Prune(density=0.05))
    source, place = data.load("CIFAR10", root), torch.device(device)
    model = setup.network(recipe, source, place)
    images = setup.training_images(recipe, source, place)
    batch, labels, _ = setup.scoring_batch(recipe, source, images)
    masks.apply_(model, masks.keep_top(scores(model, batch, labels), recipe.density))
    stepper = Stepper(model.train(), make_optimizer(model, recipe.lr, recipe.momentum, recipe.weight_decay))

    def endless():
        epoch = 0
        while True:
            order, augmentation = epoch_plan(len(images), 0, epoch, True)
            yield from (images.batch(indices, augmentation) for indices in order.split(BATCH) if len(indices) == BATCH)
            epoch += 1

    batches = endless()
    _serve(lambda: stepper(*next(batches), recipe.lr), device, commands, results)


def _serve(step, device: str, commands, results) -> None:
    wait = torch.cuda.synchronize if device.startswith("cuda") else lambda: None
    while (steps := commands.get()) is not None:
        began = time.perf_counter()
        for _ in range(steps):
            step()
        wait()
        results.put(steps * BATCH / (time.perf_counter() - began))


def compare(model: str, root, device: str, bursts: int, steps: int) -> dict:
    """Bursts of the two loops in turn."""
    context = multiprocessing.get_context("spawn")
    ends = []
    for loop in (plain_loop, our_loop):
        commands, results = context.Queue(), context.Queue()
        context.Process(target=loop, args=(model, root, device, commands, results)).start()
        ends.append((commands, results))
    speeds = [[], []]
    for burst in range(bursts + 1):
        for side, (commands, results) in enumerate(ends):
            commands.put(steps if burst else max(2, min(steps, 20)))
            speed = results.get(timeout=900)
            if burst:
                speeds[side].append(speed)
    for commands, _ in ends:
        commands.put(None)
    plain, ours = (statistics.median(side) for side in speeds)
    return {"network": model, "device": device, "batch": BATCH, "bursts": bursts, "steps per burst": steps,
            "plain images/s": round(plain, 1), "Secateur images/s": round(ours, 1), "ratio": round(ours / plain, 2)}


def default_job(root, device: str) -> dict:
    """The default recipe from its data set to its result, in seconds."""
    began = time.perf_counter()
    for event in Training(TrainRecipe(device=device), root).events():
        if isinstance(event, Finished):
            return {"seconds": round(time.perf_counter() - began, 1), **event.summary}
    raise AssertionError("a run ends with Finished")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", default=["ResNet20", "VGG16"])
    parser.add_argument("--bursts", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=12, help="aimed length of a burst of the plain loop on a CPU")
    parser.add_argument("--data-dir")
    parser.add_argument("--default-job", action="store_true")
    options = parser.parse_args()
    device, root = ("cuda:0" if torch.cuda.is_available() else "cpu"), data_root(options.data_dir)
    pace = {"VGG16": 0.5, "ResNet20": 2.5} if device == "cpu" else {}
    rows = [compare(model, root, device, options.bursts, max(2, int(options.seconds * pace.get(model, 8))))
            for model in options.models]
    notes = [] if device != "cpu" else ["No GPU here: measured on the CPU only."]
    report.write("training", rows, notes=notes)
    if options.default_job:
        report.write("default_job", [default_job(root, device)], notes=notes)


if __name__ == "__main__":
    main()
