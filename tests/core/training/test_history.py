"""The record of finished epochs: the best weights, and the speed over all epochs."""

from dataclasses import asdict, replace

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


def test_validation_images_choose_the_best_epoch_and_the_test_images_only_report():
    history = History()
    rows = [(0.9, 0.5, 1.0), (0.6, 0.8, 2.0), (0.7, 0.8, 1.5), (0.8, 0.8, 1.5)]
    for epoch, (test_accuracy, validation_accuracy, validation_loss) in enumerate(rows, 1):
        end = replace(
            epoch_end(epoch, test_accuracy),
            validation_accuracy=validation_accuracy,
            validation_loss=validation_loss,
        )
        history.add(end, 40, {"weight": torch.full((2,), float(epoch))})
    assert history.best["weight"].tolist() == [3, 3]  # of equals, the first with the least loss
    assert (history.best_accuracy, history.best_by) == (0.7, "validation")


def test_the_least_divergence_chooses_the_best_epoch_of_tuning():
    history = History()
    for epoch, (test_accuracy, divergence) in enumerate([(0.9, 0.3), (0.8, 0.1), (0.7, 0.2)], 1):
        end = replace(
            epoch_end(epoch, test_accuracy),
            validation_accuracy=test_accuracy,
            validation_loss=1.0,
            divergence=divergence,
        )
        history.add(end, 40, {"weight": torch.full((2,), float(epoch))})
    assert history.best["weight"].tolist() == [2, 2]
    assert (history.best_accuracy, history.best_by) == (0.8, "divergence")


def test_the_checkpoint_of_an_older_version_goes_on():
    older = asdict(epoch_end(1, 0.5)) | {"images": 40}
    for name in ("validation_loss", "validation_accuracy", "divergence"):
        del older[name]
    history = History()
    history.restore({"history": [older], "best": {"weight": torch.ones(2)}, "best_accuracy": 0.5})
    history.add(epoch_end(2, 0.4), 40, {"weight": torch.zeros(2)})
    assert (history.best_accuracy, history.best_by) == (0.5, "test")
    assert history.best["weight"].tolist() == [1, 1]


def test_the_speed_is_that_of_all_epochs_together():
    history = History()
    history.add(epoch_end(1, 0.5, train_seconds=1.0), 40, {})
    history.add(epoch_end(2, 0.5, train_seconds=3.0), 40, {})
    assert history.train_seconds == 4.0
    assert history.images_per_second == pytest.approx(20.0)


def test_nothing_was_trained():
    history = History()
    assert (history.train_seconds, history.images_per_second) == (0.0, 0.0)
    assert (history.best, history.best_accuracy) == ({}, None)


def test_a_restored_history_goes_on():
    first = History()
    first.add(epoch_end(1, 0.5), 40, {"weight": torch.ones(2)})
    second = History()
    second.restore(first.checkpoint())
    second.add(epoch_end(2, 0.4), 40, {"weight": torch.zeros(2)})
    assert second.best_accuracy == 0.5
    assert second.best["weight"].tolist() == [1, 1]
    assert len(second.rows) == 2
