"""The choice of a device, on machines that are simulated."""

import pytest
import torch

from core.errors import UserError
from core.training.device import choose_device


def machine(monkeypatch, gpus=0, mps=False):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpus > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)


@pytest.mark.parametrize(
    ("name", "gpus", "mps", "device"),
    [
        ("auto", 0, False, "cpu"),
        ("auto", 1, True, "cuda:0"),
        ("auto", 0, True, "mps"),
        ("cpu", 2, True, "cpu"),
        ("cuda", 1, False, "cuda:0"),
        ("cuda:1", 2, False, "cuda:1"),
        ("mps", 0, True, "mps"),
    ],
)
def test_the_device_that_is_requested(monkeypatch, name, gpus, mps, device):
    machine(monkeypatch, gpus, mps)
    assert str(choose_device(name)) == device


@pytest.mark.parametrize(
    ("name", "gpus", "sentence"),
    [
        ("cuda", 0, "cuda was requested, but torch finds no CUDA GPU here"),
        ("cuda:0", 0, "no CUDA GPU"),
        ("cuda:2", 2, "there are only 2 GPUs"),
        ("mps", 1, "no Apple GPU"),
    ],
)
def test_a_missing_device_is_refused(monkeypatch, name, gpus, sentence):
    machine(monkeypatch, gpus)
    with pytest.raises(UserError, match=sentence):
        choose_device(name)
