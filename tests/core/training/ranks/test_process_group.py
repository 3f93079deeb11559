"""Several real processes, against one process with the same total batches."""

import pytest
import torch

from core.config import Prune, TrainRecipe
from core.jobs.train import TrainJob
from core.training import setup
from tests import rank_process

RECIPE = TrainRecipe(
    model="LeNet5",
    dataset="Digits",
    device="cpu",
    prune=Prune(density=0.2, batches=1),
    epochs=1,
    batch_size=16,
    train_images=320,
    lr=0.05,
    augment=True,
)


@pytest.mark.parametrize(
    ("count", "images", "toy"),
    # 50 images are batches of 16, 16 and 16, of which 3 processes take 6, 5 and 5, and one of 2,
    # which is fewer than the processes.
    [(2, 320, False), (3, 50, True)],
    ids=["20 steps", "remainders and BatchNorm"],
)
def test_several_processes_end_in_the_weights_of_one(
    forks, digits, tmp_path, monkeypatch, count, images, toy
):
    recipe = RECIPE.model_copy(update={"train_images": images, "devices": count})
    arguments = [(tmp_path, digits, recipe, rank, count, toy) for rank in range(count)]
    processes = [forks.Process(target=rank_process.run, args=words) for words in arguments]
    for process in processes:
        process.start()
    if toy:
        monkeypatch.setattr(setup, "build", rank_process.network_with_batch_norm)
    torch.set_num_threads(1)
    alone = TrainJob(recipe, digits)
    list(alone.events())
    expected = alone.result()
    for process in processes:
        process.join()
    first, *others = [
        torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in range(count)
    ]
    assert first.keys() == expected.keys()
    for name, mask in expected["masks"].items():
        assert torch.equal(first["masks"][name], mask)
    assert first["model"].keys() == expected["model"].keys()
    for name, weight in expected["model"].items():
        torch.testing.assert_close(first["model"][name], weight, rtol=1e-5, atol=1e-5)
    for other in others:
        for name, weight in first["model"].items():
            assert torch.equal(other["model"][name], weight)
