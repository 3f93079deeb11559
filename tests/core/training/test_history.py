"""The record of finished epochs: the best weights, and the speed over all epochs."""

import pytest
import torch

from core.events import EpochEnd
from core.training.history import History


def epoch_end(epoch, test_accuracy, train_seconds=2.0):
    return EpochEnd(
        epoch=epoch,
        epochs=3,
        train_loss=1.0,
        train_accuracy=0.5,
        test_loss=1.0,
        test_accuracy=test_accuracy,
        lr=0.1,
        images_per_second=20.0,
        train_seconds=train_seconds,
        seconds=train_seconds,
    )


def test_the_first_of_the_best_epochs_is_kept_as_a_copy():
    history = History()
    weight = torch.zeros(2)
    for epoch, accuracy in enumerate((0.5, 0.7, 0.7), 1):
        weight.fill_(epoch)
        history.add(epoch_end(epoch, accuracy), 40, {"weight": weight})
    assert history.best_accuracy == 0.7
    assert history.best["weight"].tolist() == [2, 2]
    assert [row["epoch"] for row in history.rows] == [1, 2, 3]


def test_the_speed_is_that_of_all_epochs_together():
    history = History()
    history.add(epoch_end(1, 0.5, train_seconds=1.0), 40, {})
    history.add(epoch_end(2, 0.5, train_seconds=3.0), 40, {})
    assert history.train_seconds == 4.0
    assert history.images_per_second == pytest.approx(20.0)


def test_nothing_was_trained():
    history = History()
    assert (history.train_seconds, history.images_per_second) == (0.0, 0.0)
    assert (history.best, history.best_accuracy) == ({}, -1.0)


def test_a_restored_history_goes_on():
    first = History()
    first.add(epoch_end(1, 0.5), 40, {"weight": torch.ones(2)})
    second = History()
    second.restore(first.checkpoint())
    second.add(epoch_end(2, 0.4), 40, {"weight": torch.zeros(2)})
    assert second.best_accuracy == 0.5
    assert second.best["weight"].tolist() == [1, 1]
    assert len(second.rows) == 2
