"""Optimiser steps, by hand and against the arithmetic written out."""

import math

import pytest
import torch
from torch import nn

from core.training.step import Stepper, make_optimizer, momentum_buffers, set_lr
from tests.toys import Flat, batch, scalar

X = torch.tensor([[1.0, 0.0]])


def stepper(model, lr=0.1, momentum=0.0, decay=0.0, smoothing=0.0):
    return Stepper(model, make_optimizer(model, lr, momentum, decay), smoothing)


def test_one_step_by_hand():
    """W = [[1, -2], [3, 0]] and x = (1, 0) give logits (1, 3) and p = (1, e^2) / (1 + e^2)."""
    model = scalar()
    step = stepper(model)
    step(X, torch.tensor([0]), lr=0.5)
    p1 = math.exp(2) / (1 + math.exp(2))
    assert step.read() == (pytest.approx(-math.log(1 - p1)), 0.0)
    assert model.weight.tolist() == [
        pytest.approx([1 + 0.5 * p1, -2]),
        pytest.approx([3 - 0.5 * p1, 0]),
    ]


def test_label_smoothing_by_hand():
    """A tenth of the mass is spread over both classes: targets 0.95 and 0.05."""
    step = stepper(scalar(), smoothing=0.1)
    step(X, torch.tensor([0]), lr=0.5)
    p1 = math.exp(2) / (1 + math.exp(2))
    assert step.read()[0] == pytest.approx(-0.95 * math.log(1 - p1) - 0.05 * math.log(p1))


def test_sgd_as_written_in_the_textbook():
    """g = dL/dw + decay * w; v = momentum * v + g; w = w - lr * v, for every parameter."""
    torch.manual_seed(0)
    model = Flat()
    twin = Flat()
    twin.load_state_dict(model.state_dict())
    step = stepper(model, momentum=0.9, decay=0.01)
    velocity: dict[str, torch.Tensor] = {}
    for index, lr in enumerate((0.1, 0.1, 0.03, 0.5)):
        images, labels = batch(seed=index)
        step(images, labels, lr)
        nn.functional.cross_entropy(twin(images), labels).backward()
        with torch.no_grad():
            for name, p in twin.named_parameters():
                assert p.grad is not None
                gradient = p.grad + 0.01 * p
                velocity[name] = 0.9 * velocity[name] + gradient if name in velocity else gradient
                p.sub_(lr * velocity[name])
                p.grad = None
    for name, p in model.named_parameters():
        torch.testing.assert_close(p, twin.get_parameter(name), rtol=1e-4, atol=1e-6)
    buffers = dict(momentum_buffers(step.optimizer, model))
    assert buffers.keys() == velocity.keys()
    for name, buffer in buffers.items():
        torch.testing.assert_close(buffer, velocity[name], rtol=1e-3, atol=1e-5)


def test_sums_grow_and_reset():
    step = stepper(scalar(), lr=0.1)
    step(X.repeat(3, 1), torch.tensor([1, 1, 0]), lr=0.0)
    loss, correct = step.read()
    p1 = math.exp(2) / (1 + math.exp(2))
    assert correct == 2
    assert loss == pytest.approx(-2 * math.log(p1) - math.log(1 - p1), rel=1e-5)
    step(X, torch.tensor([1]), lr=0.0)
    assert step.read() == (pytest.approx(loss - math.log(p1), rel=1e-5), 3.0)
    step.reset(1.5, 2.0)
    assert step.read() == (1.5, 2.0)
    step.reset()
    assert step.read() == (0.0, 0.0)


def test_the_rate_changes_in_place_whatever_it_is_kept_in():
    weight = nn.Parameter(torch.zeros(2))
    for rate in (0.1, torch.tensor(0.1)):
        optimizer = torch.optim.SGD([weight], lr=rate)
        set_lr(optimizer, 0.025)
        assert float(optimizer.param_groups[0]["lr"]) == pytest.approx(0.025)
        assert type(optimizer.param_groups[0]["lr"]) is type(rate)


def test_no_momentum_has_no_buffers():
    model = scalar()
    step = stepper(model)
    step(X, torch.tensor([0]), 0.1)
    assert dict(momentum_buffers(step.optimizer, model)) == {}
