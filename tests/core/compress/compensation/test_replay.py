"""Shortened passes, against passes that compute everything."""

import copy

import pytest
import torch
from torch import Tensor, nn

from core.compress.compensation import replay as module
from core.compress.compensation.replay import Replay
from core.compress.kmeans import share_weights
from core.compress.rounding.network import round_network
from core.events import result_of
from core.models.parameters import prunable_weights


class Chain(nn.Module):
    """Three convolutions in a row. The ReLUs change their inputs in place."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 4, 3, padding=1)
        self.second = nn.Conv2d(4, 4, 3, padding=1)
        self.third = nn.Conv2d(4, 6, 1)
        self.relu = nn.ReLU(inplace=True)
        self.head = nn.Linear(6, 5)

    def forward(self, x: Tensor) -> Tensor:
        for layer in (self.first, self.second, self.third):
            x = self.relu(layer(x))
        answers: Tensor = self.head(x.mean((2, 3)))
        return answers


class Skip(Chain):
    """The output of the first convolution is added again after the second."""

    def forward(self, x: Tensor) -> Tensor:
        first = self.relu(self.first(x))
        second = self.second(first)
        answers: Tensor = self.head(self.third(self.relu(second + first)).mean((2, 3)))
        return answers


class Twice(Chain):
    """The second convolution is called before and after the third."""

    def __init__(self) -> None:
        super().__init__()
        self.third = nn.Conv2d(4, 4, 1)
        self.head = nn.Linear(4, 5)

    def forward(self, x: Tensor) -> Tensor:
        for layer in (self.first, self.second, self.third, self.second):
            x = self.relu(layer(x))
        answers: Tensor = self.head(x.mean((2, 3)))
        return answers


class Returning(Chain):
    """The first convolution is called again between two calls of the second."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(4, 4, 3, padding=1)
        self.head = nn.Linear(4, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.cat([x, x[:, :1]], 1)
        for layer in (self.first, self.second, self.first, self.second):
            x = self.relu(layer(x))
        answers: Tensor = self.head(x.mean((2, 3)))
        return answers


def rounded(network, batches):
    weights = {name: weight.detach() for name, weight in prunable_weights(network).items()}
    nearest = {name: share_weights(weight, 3) for name, weight in weights.items()}
    return result_of(round_network(network, nearest, list(weights), batches))


def batches_of(sizes=(6, 6, 3)):
    generator = torch.Generator().manual_seed(1)
    return [torch.randn(size, 3, 5, 5, generator=generator) for size in sizes]


@pytest.mark.parametrize("network", [Chain, Skip, Twice, Returning])
@pytest.mark.parametrize("most", [0, 3_000, 10**9])
def test_the_result_is_that_of_whole_passes_to_the_last_bit(monkeypatch, network, most):
    torch.manual_seed(0)
    model = network().eval()
    with monkeypatch.context() as whole:
        whole.setattr(Replay, "fix", lambda replay, layer: None)
        expected = rounded(model, batches_of())
    monkeypatch.setattr(module, "MOST_BYTES", most)
    found = rounded(model, batches_of())
    assert found.layers.keys() == expected.layers.keys()
    for name, layer in found.layers.items():
        assert torch.equal(layer.item.decode(), expected.layers[name].item.decode())
        assert layer.error == expected.layers[name].error
    assert "forward" not in vars(model.first)


def test_each_fixed_layer_is_computed_once_for_each_batch(monkeypatch):
    model = Chain().eval()
    computed: list[int] = []
    usual = model.first._conv_forward

    def compute(images, weight, bias):
        computed.append(len(images))
        return usual(images, weight, bias)

    monkeypatch.setattr(model.first, "_conv_forward", compute)
    replay = Replay(model, [model.first, model.second])
    replay.fix(model.first)
    batches = batches_of()
    answers = [model(images) for images in batches]
    computed.clear()
    for _ in range(3):
        for number, images in enumerate(batches):
            with replay.batch(number):
                assert torch.equal(model(images), answers[number])
    assert computed == [6, 6, 3]


def test_outputs_are_forgotten_when_nothing_depends_on_them():
    for network, is_forgotten in ((Chain, True), (Skip, False)):
        model = network().eval()
        replay = Replay(model, [model.first, model.second, model.third])
        replay.fix(model.first)
        batches = batches_of()
        for layer in (model.second, model.third):
            for number, images in enumerate(batches):
                with replay.batch(number):
                    model(images)
            replay.forget(batches[0])
            assert replay._fixed[model.first].is_needed or layer is model.third
            replay.fix(layer)
        assert replay._fixed[model.first].is_needed is not is_forgotten
        assert bool(replay._fixed[model.first].kept) is not is_forgotten


def test_a_pass_that_fails_leaves_the_network_as_it_was():
    model = Chain().eval()
    replay = Replay(model, [model.first, model.head])
    replay.fix(model.first)
    before = copy.copy(vars(model.first))
    with pytest.raises(RuntimeError), replay.batch(0):
        model(torch.zeros(2, 99, 5, 5))
    assert vars(model.first).keys() == before.keys()
    assert not model.head._forward_pre_hooks
