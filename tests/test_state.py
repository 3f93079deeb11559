"""What happens inside `preserved` leaves no trace."""

import pytest
import torch

from core.models.state import preserved
from tests import toys


def disturb(model):
    assert model.head.weight.grad is None
    model.train()(toys.batch()[0]).sum().backward()
    model.norm.running_mean.fill_(float("inf"))
    model.norm.running_var = None
    model.norm.num_batches_tracked = model.norm.num_batches_tracked.double()
    model.requires_grad_(False)
    raise KeyError


def test_everything_but_the_weights_is_put_back():
    model = toys.Flat(dropout=0.5)
    model.head.weight.grad = torch.full((5, 4), float("nan"))
    model.norm.eval()
    buffers, gradient, random = dict(model.norm.named_buffers()), model.head.weight.grad, torch.get_rng_state()
    with pytest.raises(KeyError), preserved(model):
        disturb(model)
    assert all(model.norm._buffers[name] is buffer for name, buffer in buffers.items())
    assert model.norm.running_mean.tolist() == [0, 0, 0, 0]
    assert model.norm.running_var.tolist() == [1, 1, 1, 1]
    assert model.norm.num_batches_tracked == 0
    assert model.norm.num_batches_tracked.dtype == torch.int64
    assert model.head.weight.grad is gradient
    assert gradient.isnan().all()
    assert model.conv.weight.grad is None
    assert all(parameter.requires_grad for parameter in model.parameters())
    assert [module.training for module in (model, model.norm, model.drop)] == [True, False, True]
    assert torch.equal(torch.get_rng_state(), random)


def test_a_shared_buffer_stays_shared_inside():
    model = torch.nn.Module()
    model.one, model.two = torch.nn.Module(), torch.nn.Module()
    model.one.register_buffer("count", torch.zeros(1))
    model.two.register_buffer("count", model.one.count)
    model.two.register_buffer("nothing", None)
    with preserved(model):
        model.one.count += 1
        assert model.two.count == 1
    assert model.one.count is model.two.count
    assert model.two.count == 0
    assert model.two.nothing is None
