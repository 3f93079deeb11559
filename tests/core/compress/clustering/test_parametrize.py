"""Centroids and latent weights trained by an ordinary loop, with gradients added up by hand."""

import copy

import pytest
import torch
from torch import nn

from core.compress.clustering.parametrize import attach_, codebooks, detach_, refit_
from core.compress.kmeans import Codebook, share_model, share_weights
from core.errors import UserError
from tests.toys import Flat, Tied, batch, scalar


def pruned_flat():
    torch.manual_seed(0)
    model = Flat()
    model.conv.weight.data[model.conv.weight.abs() < 0.1] = 0
    return model


def train_(model, steps=4, lr=0.05):
    """Plain momentum SGD with weight decay on whatever the model says its parameters are."""
    optimizer = torch.optim.SGD(model.parameters(), lr, momentum=0.9, weight_decay=1e-2)
    for step in range(steps):
        images, labels = batch(seed=step)
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(images), labels).backward()
        optimizer.step()
        refit_(model)


def test_centroid_gradient_is_the_sum_over_its_cluster():
    model = nn.Linear(3, 2, bias=False)
    model.weight.data = torch.tensor([[1.0, 1.0, 4.0], [0.0, 4.0, 1.0]])
    attach_(model, {"weight": share_weights(model.weight, 2)})
    assert model.weight.tolist() == [[1, 1, 4], [0, 4, 1]]
    (centroids,) = model.parameters()
    assert centroids.tolist() == [1, 4]
    model(torch.tensor([[10.0, 100.0, 1000.0]])).sum().backward()
    # dL/dw is [[10, 100, 1000], [10, 100, 1000]]; 1.0 sits at the first two and the last, 4.0 at
    # the other two, and the 10 of the pinned zero belongs to nobody.
    assert centroids.grad is not None
    assert centroids.grad.tolist() == [10 + 100 + 1000, 1000 + 100]


def test_centroid_gradient_is_right_to_second_opinion():
    model = pruned_flat().double()
    books = share_model(model, 3)
    attach_(model, books)
    images, labels = batch()
    nn.functional.cross_entropy(model(images.double()), labels).backward()
    plain = pruned_flat().double()
    for name, book in books.items():
        plain.get_parameter(name).data = book.decode().double()
    nn.functional.cross_entropy(plain(images.double()), labels).backward()
    for name, book in books.items():
        module = model.get_submodule(name.removesuffix(".weight"))
        expected = [
            float(plain.get_parameter(name).grad[(book.indices == i) & (book.decode() != 0)].sum())
            for i in range(len(book.centroids))
        ]
        assert module.parametrizations.weight.original.grad.tolist() == pytest.approx(expected)


@pytest.mark.parametrize("latent", [False, True])
def test_training_keeps_zeros_and_the_number_of_values(latent):
    model = pruned_flat()
    zeros = model.conv.weight == 0
    before = share_model(model, 3)
    attach_(model, before, latent)
    train_(model)
    after = detach_(model)
    assert list(after) == ["conv.weight", "head.weight"]
    assert torch.equal(model.conv.weight == 0, zeros)
    assert len(model.head.weight.unique()) <= 3
    for name, book in after.items():
        assert torch.equal(model.get_parameter(name), book.decode())
        assert not torch.equal(book.centroids, before[name].centroids)


def test_assignments_stay_when_centroids_are_trained():
    model = pruned_flat()
    before = share_model(model, 4)
    attach_(model, before)
    train_(model)
    for name, book in detach_(model).items():
        cells = {
            (int(old), int(new))
            for old, new in zip(before[name].indices.flatten(), book.indices.flatten(), strict=True)
        }
        assert len({old for old, _ in cells}) == 4
        assert len(cells) == 4, "a cluster was split or joined"


def test_centroids_that_cross_are_sorted_again():
    model = nn.Linear(4, 1, bias=False)
    model.weight.data = torch.tensor([[1.0, 2.0, 0.0, 3.0]])
    attach_(model, {"weight": share_weights(model.weight, 3)})
    next(model.parameters()).data = torch.tensor([5.0, 3.0, 3.0])
    book = detach_(model)["weight"]
    assert book.centroids.tolist() == [3.0, 5.0]
    assert book.decode().tolist() == model.weight.tolist() == [[5.0, 3.0, 0.0, 3.0]]


def test_latent_weights_get_the_gradient_straight_through():
    model = scalar()
    attach_(
        model,
        {
            "weight": Codebook(
                torch.tensor([-2.0, 2.0]),
                torch.tensor([[1, 0], [1, 0]], dtype=torch.uint8),
                torch.tensor([[True, True], [True, False]]),
            )
        },
        latent=True,
    )
    assert model.weight.tolist() == [[2, -2], [2, 0]]
    (latent,) = model.parameters()
    assert latent.tolist() == [[1, -2], [3, 0]]
    model(torch.tensor([[10.0, 100.0]])).sum().backward()
    assert latent.grad is not None
    assert latent.grad.tolist() == [[10, 100], [10, 0]]


def test_latent_weights_may_change_cluster_and_centroids_follow():
    model = nn.Linear(4, 1, bias=False)
    model.weight.data = torch.tensor([[1.0, 2.0, 10.0, 11.0]])
    attach_(model, {"weight": share_weights(model.weight, 2)}, latent=True)
    assert model.weight.tolist() == [[1.5, 1.5, 10.5, 10.5]]
    next(model.parameters()).data[0, 1] = 9.0
    assert model.weight.tolist() == [[1.5, 10.5, 10.5, 10.5]]
    refit_(model)
    assert model.weight.tolist() == [[1, 10, 10, 10]]
    assert detach_(model)["weight"].centroids.tolist() == [1, 10]


def test_refit_leaves_the_centroid_of_an_empty_cluster_and_detach_drops_it():
    model = nn.Linear(3, 1, bias=False)
    model.weight.data = torch.tensor([[1.0, 5.0, 9.0]])
    attach_(model, {"weight": share_weights(model.weight, 3)}, latent=True)
    next(model.parameters()).data[0, 1] = 8.0
    refit_(model)
    assert model.get_buffer("parametrizations.weight.0.centroids").tolist() == [1, 5, 8.5]
    assert detach_(model)["weight"].centroids.tolist() == [1, 8.5]


@pytest.mark.parametrize("latent", [False, True])
def test_detach_gives_back_an_ordinary_model(latent):
    model = pruned_flat()
    names, kind = set(model.state_dict()), type(model.conv)
    attach_(model, share_model(model, 4, batchnorm=True), latent)
    images, _ = batch()
    tuned = copy.deepcopy(model).eval()(images)
    detach_(model)
    assert set(model.state_dict()) == names
    assert type(model.conv) is kind
    assert all(
        type(parameter) is nn.Parameter and parameter.grad is None
        for parameter in model.parameters()
    )
    assert torch.equal(model.eval()(images), tuned)
    train_(model, steps=1)
    assert len(model.head.weight.unique()) > 4, "the weights are free again"


@pytest.mark.parametrize("latent", [False, True])
def test_attached_state_travels_through_a_state_dict(latent):
    first, second = pruned_flat(), pruned_flat()
    books = share_model(first, 3)
    attach_(first, books, latent)
    attach_(second, books, latent)
    train_(first)
    second.load_state_dict(first.state_dict())
    images, _ = batch()
    assert torch.equal(first.eval()(images), second.eval()(images))


@pytest.mark.parametrize("latent", [False, True])
def test_a_layer_without_any_weight_left(latent):
    model = pruned_flat()
    model.conv.weight.data.zero_()
    attach_(model, share_model(model, 3), latent)
    train_(model, steps=2)
    assert detach_(model)["conv.weight"].centroids.numel() == 0
    assert not model.conv.weight.any()


def test_a_weight_of_two_layers_is_refused_before_anything_changes():
    model = Tied()
    with pytest.raises(UserError, match=r"first\.weight belongs to several layers"):
        attach_(model, share_model(model, 2))
    assert type(model.first) is nn.Linear


def test_tuning_lowers_the_loss():
    torch.manual_seed(0)
    model = Flat().eval()
    images, labels = batch(64)
    attach_(model, share_model(model, 4))
    optimizer, losses = torch.optim.Adam(model.parameters(), 1e-2), []
    for _ in range(20):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(images), labels)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] - 0.01


@pytest.mark.parametrize("latent", [False, True])
def test_codebooks_can_be_read_while_they_are_trained(latent):
    model = pruned_flat()
    attach_(model, share_model(model, 3), latent)
    train_(model)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    read = codebooks(model)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert torch.equal(read["conv.weight"].decode(), model.conv.weight)
    taken = detach_(model)
    assert read.keys() == taken.keys() == {"conv.weight", "head.weight"}
    for name, codebook in taken.items():
        assert torch.equal(read[name].centroids, codebook.centroids)
        assert torch.equal(read[name].indices, codebook.indices)
    assert codebooks(model) == {}
