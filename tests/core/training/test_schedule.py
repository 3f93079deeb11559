"""Learning rates against torch's own schedulers."""

import pytest
import torch

from core.config import TrainRecipe
from core.training.schedule import lr_at


def stepped(recipe, scheduler, steps, every=1):
    """The learning rates of `steps` steps, if torch's scheduler steps after `every` of them."""
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=recipe.lr)
    schedule, rates = scheduler(optimizer), []
    for step in range(1, steps + 1):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        if step % every == 0 and step < steps:
            schedule.step()
    return rates


def ours(recipe, per_epoch):
    return [lr_at(recipe, step, per_epoch) for step in range(recipe.epochs * per_epoch)]


SHAPES = [(1, 1), (1, 2), (3, 1), (1, 4), (7, 3), (10, 12), (70, 5)]


@pytest.mark.parametrize(("epochs", "per_epoch"), SHAPES)
@pytest.mark.parametrize(("step", "gamma"), [(20, 0.1), (1, 0.5), (3, 1.0)])
def test_step_is_steplr(epochs, per_epoch, step, gamma):
    recipe = TrainRecipe(epochs=epochs, step=step, gamma=gamma, lr=0.3)
    theirs = stepped(
        recipe,
        lambda o: torch.optim.lr_scheduler.StepLR(o, step, gamma),
        epochs * per_epoch,
        per_epoch,
    )
    assert ours(recipe, per_epoch) == pytest.approx(theirs, rel=1e-9)


@pytest.mark.parametrize(("epochs", "per_epoch"), SHAPES)
def test_cosine_is_cosine_annealing_per_step(epochs, per_epoch):
    recipe, total = TrainRecipe(epochs=epochs, schedule="cosine", lr=0.3), epochs * per_epoch
    theirs = stepped(recipe, lambda o: torch.optim.lr_scheduler.CosineAnnealingLR(o, total), total)
    assert ours(recipe, per_epoch) == pytest.approx(theirs, rel=1e-6, abs=1e-9)


@pytest.mark.parametrize(("epochs", "per_epoch"), SHAPES)
def test_onecycle_is_onecycle(epochs, per_epoch):
    recipe, total = TrainRecipe(epochs=epochs, schedule="onecycle", lr=0.3), epochs * per_epoch
    theirs = stepped(
        recipe,
        lambda o: torch.optim.lr_scheduler.OneCycleLR(
            o, max_lr=recipe.lr, total_steps=total, cycle_momentum=False
        ),
        total,
    )
    assert ours(recipe, per_epoch) == pytest.approx(theirs, rel=1e-6, abs=1e-9)


def test_the_originals_drops_by_hand():
    recipe = TrainRecipe()
    assert [lr_at(recipe, epoch * 391, 391) for epoch in (0, 19, 20, 40, 60, 69)] == pytest.approx(
        [0.1, 0.1, 0.01, 0.001, 0.0001, 0.0001]
    )
    assert lr_at(recipe, 20 * 391 - 1, 391) == pytest.approx(0.1)


def test_onecycle_peaks_once_and_ends_near_zero():
    rates = ours(TrainRecipe(epochs=10, schedule="onecycle", lr=1.0), 10)
    assert rates[0] == pytest.approx(1 / 25)
    assert rates.index(max(rates)) == 29
    assert max(rates) == pytest.approx(1.0)
    assert rates[-1] == pytest.approx(1 / 25 / 1e4)
