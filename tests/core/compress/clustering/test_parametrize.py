"""Centroids and latent weights trained by an ordinary loop, with gradients added up by hand."""

import copy
import math
from dataclasses import replace
from itertools import pairwise

import pytest
import torch
from torch import nn

from core.compress.affine import Affine, quantize
from core.compress.clustering.parametrize import attach_, detach_, quantized_weights, refit_
from core.compress.clustering.trained import LatentWeights
from core.compress.kmeans import Codebook, share_model, share_weights
from core.errors import UserError
from tests.toys import Flat, Tied, batch, scalar


def only_codebooks(items):
    assert all(isinstance(item, Codebook) for item in items.values())
    return {name: item for name, item in items.items() if isinstance(item, Codebook)}


def detached_codebooks(model):
    return only_codebooks(detach_(model))


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
    after = detached_codebooks(model)
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
    for name, book in detached_codebooks(model).items():
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
    book = detached_codebooks(model)["weight"]
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
    assert detached_codebooks(model)["weight"].centroids.tolist() == [1, 10]


def test_refit_leaves_the_centroid_of_an_empty_cluster_and_detach_drops_it():
    model = nn.Linear(3, 1, bias=False)
    model.weight.data = torch.tensor([[1.0, 5.0, 9.0]])
    attach_(model, {"weight": share_weights(model.weight, 3)}, latent=True)
    next(model.parameters()).data[0, 1] = 8.0
    refit_(model)
    assert model.get_buffer("parametrizations.weight.0.centroids").tolist() == [1, 5, 8.5]
    assert detached_codebooks(model)["weight"].centroids.tolist() == [1, 8.5]


@pytest.mark.parametrize("latent", [False, True])
def test_detach_gives_back_an_ordinary_model(latent):
    model = pruned_flat()
    names, kind = set(model.state_dict()), type(model.conv)
    attach_(model, share_model(model, 4, batchnorm=True), latent)
    images, _ = batch()
    tuned = copy.deepcopy(model).eval()(images)
    detached_codebooks(model)
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
    assert detached_codebooks(model)["conv.weight"].centroids.numel() == 0
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
    read = only_codebooks(quantized_weights(model))
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert torch.equal(read["conv.weight"].decode(), model.conv.weight)
    taken = detached_codebooks(model)
    assert read.keys() == taken.keys() == {"conv.weight", "head.weight"}
    for name, codebook in taken.items():
        assert torch.equal(read[name].centroids, codebook.centroids)
        assert torch.equal(read[name].indices, codebook.indices)
    assert quantized_weights(model) == {}


# -- a grid --


def grid(weight, bits=2, axis=0):
    return quantize(weight, bits, axis, range_method="mse")


@pytest.mark.parametrize("axis", [None, 0])
@pytest.mark.parametrize("symmetric", [False, True])
def test_a_grid_that_is_not_trained_comes_back(axis, symmetric):
    model = pruned_flat()
    before = {"conv.weight": quantize(model.conv.weight, 3, axis, symmetric)}
    attach_(model, before)
    assert torch.equal(model.conv.weight, before["conv.weight"].decode())
    after = detach_(model)["conv.weight"]
    assert isinstance(after, Affine)
    assert torch.equal(after.values, before["conv.weight"].values)
    assert torch.equal(after.scale, before["conv.weight"].scale)


def test_a_rounding_that_is_not_nearest_is_the_start():
    model = nn.Linear(3, 1, bias=False)
    model.weight.data = torch.tensor([[0.2, 1.9, 3.0]])
    item = replace(grid(model.weight), values=torch.tensor([[1, 1, 3]], dtype=torch.uint8))
    attach_(model, {"weight": item})
    assert model.weight.tolist() == item.decode().tolist()


def test_a_trained_grid_keeps_zeros_and_levels():
    model = pruned_flat()
    zeros = model.conv.weight == 0
    before = {name: grid(model.get_parameter(name)) for name in ("conv.weight", "head.weight")}
    attach_(model, before)
    train_(model)
    after = detach_(model)
    for name, item in after.items():
        assert isinstance(item, Affine)
        weight = model.get_parameter(name)
        assert torch.equal(weight, item.decode())
        assert all(len(channel.unique()) <= 4 for channel in weight)
        assert not torch.equal(item.scale, before[name].scale)
        assert torch.equal(item.zero_point, before[name].zero_point)
    assert torch.equal(model.conv.weight[zeros], torch.zeros(int(zeros.sum())))


def test_the_gradient_of_a_scale_by_hand():
    """Levels -1, 0, 1 of 1.0. The gradient is round(v) - v inside, and the end level outside."""
    weight = torch.tensor([[0.25, -0.5625, 1.75, 0.9375]])
    item = Affine(
        torch.tensor([[0, -1, 1, 1]], dtype=torch.int8),
        torch.ones(1),
        torch.zeros(1, dtype=torch.int32),
        bits=2,
        axis=0,
    )
    model = nn.Linear(4, 1, bias=False)
    model.weight.data = weight
    attach_(model, {"weight": item})
    upstream = torch.tensor([[1.0, 2.0, 4.0, 8.0]])
    (model.weight * upstream).sum().backward()
    parameters = {name.rpartition(".")[2]: value for name, value in model.named_parameters()}
    by_hand = 1 * (0 - 0.25) + 2 * (-1 + 0.5625) + 4 * 1 + 8 * (1 - 0.9375)
    expected = torch.tensor([by_hand / math.sqrt(4 * 1)])
    torch.testing.assert_close(parameters["scale"].grad, expected)
    beyond_the_grid = torch.tensor([[1.0, 2.0, 0.0, 8.0]])
    torch.testing.assert_close(parameters["original"].grad, beyond_the_grid)


def test_a_scale_stays_positive():
    model = pruned_flat()
    attach_(model, {"conv.weight": grid(model.conv.weight)})
    for name, parameter in model.named_parameters():
        if name.endswith(".scale"):
            parameter.data.fill_(-1.0)
    refit_(model)
    item = detach_(model)["conv.weight"]
    assert isinstance(item, Affine)
    assert (item.scale > 0).all()


# -- codebooks that are not those of the nearest centroids, as after compensated rounding --


def moved(book, seed=0):
    """The codebook with a third of its kept weights in other clusters."""
    generator = torch.Generator().manual_seed(seed)
    moves = torch.rand(book.indices.shape, generator=generator) < 1 / 3
    if book.mask is not None:
        moves &= book.mask
    indices = (book.indices + moves.to(torch.uint8)) % len(book.centroids)
    return Codebook(book.centroids, indices, book.mask)


def test_latent_weights_start_from_the_float_weights_if_these_decode_to_the_codebook():
    model = pruned_flat()
    before = model.conv.weight.detach().clone()
    attach_(model, share_model(model, 3), latent=True)
    assert torch.equal(model.get_parameter("conv.parametrizations.weight.original"), before)


def test_latent_weights_start_half_way_if_the_float_weights_do_not_decode_to_the_codebook():
    """Between the centroid and the float weight, or the border of the centroid's cell.

    They keep the codebook, also when the centroids follow the means of their clusters.
    """
    model = pruned_flat()
    books = {name: moved(book) for name, book in share_model(model, 3).items()}
    expected = {name: book.decode() for name, book in books.items()}
    before = {name: model.get_parameter(name).detach().clone() for name in books}
    assert not torch.equal(
        books["conv.weight"].indices, share_model(model, 3)["conv.weight"].indices
    )
    attach_(model, books, latent=True)
    for name in ("conv", "head"):
        latent = model.get_parameter(f"{name}.parametrizations.weight.original")
        weight = before[f"{name}.weight"]
        centroids = books[f"{name}.weight"].centroids.tolist()
        borders = [-math.inf, *((a + b) / 2 for a, b in pairwise(centroids)), math.inf]
        for value, start, found in zip(
            weight.flatten().tolist(),
            expected[f"{name}.weight"].flatten().tolist(),
            latent.flatten().tolist(),
            strict=True,
        ):
            if value:  # a pruned weight has no centroid
                cell = centroids.index(start)
                inside = min(max(value, borders[cell]), borders[cell + 1])
                assert found == pytest.approx((start + inside) / 2, abs=1e-6)
        assert torch.equal(model.get_submodule(name).weight, expected[f"{name}.weight"])
    refit_(model)
    for name in ("conv", "head"):
        torch.testing.assert_close(model.get_submodule(name).weight, expected[f"{name}.weight"])


def test_centroids_keep_their_offset_from_the_mean_and_their_order():
    start = Codebook(torch.tensor([-1.0, 1.5]), torch.tensor([0, 0, 1, 1], dtype=torch.uint8))
    latent_weights = LatentWeights(start)
    latent = latent_weights.right_inverse(torch.tensor([-2.0, 0.75, 1.0, 0.0]))
    assert latent.tolist() == [-1.5, -0.375, 1.25, 0.875]  # 0.75 and 0.0 are beyond the border 0.25
    assert latent_weights.offsets.tolist() == [-0.0625, 0.4375]
    latent_weights.refit_(latent + 0.125)
    assert latent_weights.centroids.tolist() == [-0.875, 1.625]
    latent_weights.offsets.copy_(torch.tensor([5.0, 0.0]))
    latent_weights.refit_(latent)
    assert latent_weights.centroids.tolist() == [4.0625, 4.0625]


def test_a_refit_does_not_move_the_codebook_that_latent_weights_start_from():
    model = pruned_flat()
    books = {name: moved(book) for name, book in share_model(model, 3).items()}
    attach_(model, books, latent=True)
    for _ in range(3):
        refit_(model)
    for name, book in detach_(model).items():
        assert torch.equal(book.decode(), books[name].decode())
        assert torch.equal(model.get_parameter(name), books[name].decode())


def test_training_from_such_a_codebook_keeps_zeros_and_changes_the_rest():
    model = pruned_flat()
    zeros = model.conv.weight == 0
    books = {name: moved(book) for name, book in share_model(model, 3).items()}
    attach_(model, books, latent=True)
    train_(model)
    detach_(model)
    assert torch.equal(model.conv.weight == 0, zeros)
    assert not torch.equal(model.conv.weight, books["conv.weight"].decode())
