"""`preserve_state` restores everything that happens to a model inside it."""

import pytest
import torch

from core.models.state import preserve_state
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
    buffers = dict(model.norm.named_buffers())
    gradient = model.head.weight.grad
    random_state = torch.get_rng_state()
    with pytest.raises(KeyError), preserve_state(model):
        disturb(model)
    assert all(model.norm._buffers[name] is buffer for name, buffer in buffers.items())
    assert buffers["running_mean"].tolist() == [0, 0, 0, 0]
    assert buffers["running_var"].tolist() == [1, 1, 1, 1]
    assert model.norm.num_batches_tracked == 0
    assert model.norm.num_batches_tracked.dtype == torch.int64
    assert model.head.weight.grad is gradient
    assert gradient.isnan().all()
    assert model.conv.weight.grad is None
    assert all(parameter.requires_grad for parameter in model.parameters())
    assert [module.training for module in (model, model.norm, model.drop)] == [True, False, True]
    assert torch.equal(torch.get_rng_state(), random_state)


class Counter(torch.nn.Module):
    """Holds a tensor as a buffer."""

    count: torch.Tensor

    def __init__(self, count):
        super().__init__()
        self.register_buffer("count", count)
        self.register_buffer("nothing", None)


def test_a_shared_buffer_stays_shared_inside():
    count = torch.zeros(1)
    one, two = Counter(count), Counter(count)
    with preserve_state(torch.nn.ModuleList([one, two])):
        one.count += 1
        assert two.count == 1
    assert one.count is two.count
    assert two.count == 0
    assert two.nothing is None
