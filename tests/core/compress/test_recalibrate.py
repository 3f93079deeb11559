"""BatchNorm's running statistics against averages taken by hand."""

import pytest
import torch
from torch import nn

from core import models
from core.compress.recalibrate import batchnorm_, set_blended_, statistics
from core.errors import UserError
from tests.toys import Flat, batch


def test_one_layer_by_hand():
    norm = nn.BatchNorm2d(1)
    batchnorm_(
        norm,
        [torch.tensor([1.0, 3.0]).view(2, 1, 1, 1), torch.tensor([6.0, 10.0]).view(2, 1, 1, 1)],
    )
    assert norm.get_buffer("running_mean").tolist() == [(2 + 8) / 2]
    # The variances are unbiased: ((1-2)^2 + (3-2)^2) / 1, then 8.
    assert norm.get_buffer("running_var").tolist() == [(2 + 8) / 2]


def test_only_running_statistics_change():
    torch.manual_seed(0)
    model = Flat(dropout=0.5)
    model.norm.momentum, model.norm.num_batches_tracked = 0.3, torch.tensor(7)
    model.norm.get_buffer("running_mean").fill_(5)
    model.drop.eval()
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    modes = [module.training for module in model.modules()]
    random_state = torch.random.get_rng_state()
    batchnorm_(model, [batch(seed=seed)[0] for seed in range(3)])
    changed = {
        name for name, tensor in model.state_dict().items() if not torch.equal(tensor, before[name])
    }
    assert changed == {"norm.running_mean", "norm.running_var"}
    assert modes == [module.training for module in model.modules()]
    assert model.norm.momentum == 0.3
    assert all(
        parameter.grad is not None and bool((parameter.grad == 1).all())
        for parameter in model.parameters()
    )
    assert torch.equal(random_state, torch.random.get_rng_state())


@pytest.mark.parametrize("training", [True, False])
def test_equals_the_average_over_batches_in_every_layer(training):
    torch.manual_seed(0)
    model = models.build("ResNet20", 10).train(training)
    batches = [batch(8, 16, seed=seed)[0] for seed in range(3)]
    inputs: dict[nn.BatchNorm2d, list[torch.Tensor]] = {}
    hooks = [
        module.register_forward_pre_hook(
            lambda module, args: inputs.setdefault(module, []).append(args[0])
        )
        for module in model.modules()
        if isinstance(module, nn.BatchNorm2d)
    ]
    batchnorm_(model, iter(batches))
    for hook in hooks:
        hook.remove()
    assert len(inputs) == 19
    for layer, seen in inputs.items():
        mean = torch.stack([x.double().mean((0, 2, 3)) for x in seen]).mean(0)
        variance = torch.stack([x.double().var((0, 2, 3)) for x in seen]).mean(0)
        assert torch.allclose(layer.get_buffer("running_mean").double(), mean, atol=1e-5)
        assert torch.allclose(layer.get_buffer("running_var").double(), variance, rtol=1e-4)


def test_layers_without_running_statistics_are_left_alone():
    model = nn.Sequential(nn.BatchNorm2d(3, track_running_stats=False), nn.BatchNorm2d(3))
    batchnorm_(model, [batch()[0]])
    assert model[0].running_mean is None
    assert model[1].running_mean.abs().max() < 1e-5


@pytest.mark.parametrize(
    "batches", [[], [torch.zeros(1, 3, 8, 8)], [torch.ones(4, 3, 8, 8), torch.ones(1, 3, 8, 8)]]
)
def test_too_few_images_change_nothing(batches):
    model = Flat()
    model.norm.get_buffer("running_mean").fill_(5)
    with pytest.raises(UserError, match="at least"):
        batchnorm_(model, batches)
    assert model.norm.get_buffer("running_mean").tolist() == [5] * 4
    assert model.norm.get_buffer("running_var").tolist() == [1] * 4
    assert model.norm.momentum == 0.1
    assert model.norm.training


def test_an_exception_on_the_way_changes_nothing():
    def batches():
        yield batch()[0]
        raise KeyboardInterrupt

    model = Flat()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with pytest.raises(KeyboardInterrupt):
        batchnorm_(model, batches())
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert model.training


def test_a_blend_by_hand():
    norm = nn.BatchNorm1d(2)
    old = {"running_mean": torch.tensor([0.0, 4.0]), "running_var": torch.tensor([1.0, 2.0])}
    new = {"running_mean": torch.tensor([8.0, 0.0]), "running_var": torch.tensor([3.0, 2.0])}
    set_blended_(norm, old, new, 0.25)
    assert norm.get_buffer("running_mean").tolist() == [2, 3]
    assert norm.get_buffer("running_var").tolist() == [1.5, 2]


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_a_blend_of_one_alone_is_that_one_bit_for_bit(share):
    model = models.build("ResNet20", 10)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    old = statistics(model)
    batchnorm_(model, [batch(8, 16)[0]])
    new = statistics(model)
    assert len(old) == len(new) == 2 * 19
    model.get_buffer("bn1.running_mean").fill_(7)  # a copy stays as it is
    set_blended_(model, old, new, share)
    expected = new if share else old
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, expected.get(name, before[name]))


def test_only_statistics_that_exist_are_blended():
    model = nn.Sequential(nn.BatchNorm2d(3, track_running_stats=False), nn.BatchNorm2d(3))
    old = statistics(model)
    assert list(old) == ["1.running_mean", "1.running_var"]
    set_blended_(model, old, {name: tensor + 1 for name, tensor in old.items()}, 1.0)
    assert model.get_buffer("1.running_mean").tolist() == [1] * 3
