"""GraSP against the whole Hessian, FORCE against a loop that anybody would write, and ablations."""

import pytest
import torch
from torch.autograd.functional import hessian
from torch.func import functional_call
from torch.nn.functional import cross_entropy

from core import models
from core.compress import masks, snip
from core.compress.pruning.saliency import ScoringOptions
from core.compress.pruning.scoring_images import images_in_memory
from core.models.parameters import prunable_weights
from tests import toys


def method_scores(method, model, images, labels, batch_size=None, seed=0, **options):
    """The scores by any method, which takes all the images in every round."""
    steps = snip.scoring_steps(
        method,
        model,
        images_in_memory(images, labels, batch_size),
        options=ScoringOptions(seed=seed),
        **{"density": 0.1, **options},
    )
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value


# -- GraSP --


def two_layers():
    """A network of 27 weights, and images whose gradients are not small, in float64."""
    torch.manual_seed(4)
    model = torch.nn.Sequential(
        torch.nn.Flatten(), torch.nn.Linear(6, 3), torch.nn.Tanh(), torch.nn.Linear(3, 3)
    ).double()
    return model, 9 * torch.randn(7, 6, 1, 1).double(), torch.tensor([0, 1, 2, 0, 1, 2, 2])


def loss_function(model, images, labels):
    """The loss at a temperature of 200, as a function of all weights in one vector."""
    sizes = [weight.numel() for weight in prunable_weights(model).values()]

    def loss(vector):
        parts = zip(prunable_weights(model).items(), vector.split(sizes), strict=True)
        weights = {name: part.view(weight.shape) for (name, weight), part in parts}
        return cross_entropy(functional_call(model, weights, (images,)) / 200, labels)

    return loss


def flat(tensors):
    return torch.cat([tensor.detach().double().flatten() for tensor in tensors.values()])


@pytest.mark.parametrize("batch_size", [None, 3])
def test_grasp_is_the_weight_times_hessian_times_gradient(batch_size):
    """Also in batches: the gradient is that of all images."""
    model, images, labels = two_layers()
    loss, weights = loss_function(model, images, labels), flat(prunable_weights(model))
    gradient = torch.autograd.functional.jacobian(loss, weights)
    expected = weights * (hessian(loss, weights) @ gradient)
    found = flat(method_scores("grasp", model, images, labels, batch_size))
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5 * float(expected.abs().max()))
    assert expected.min() < 0 < expected.max()


def test_grasp_keeps_the_weights_whose_removal_shrinks_the_gradient_most():
    """Each weight is shrunk by a millionth, and the squared gradient is compared."""
    model, images, labels = two_layers()
    loss, weights = loss_function(model, images, labels), flat(prunable_weights(model))

    def squared_gradient(vector):
        return float(torch.autograd.functional.jacobian(loss, vector).square().sum())

    lost = []
    for index in range(len(weights)):
        smaller, larger = weights.clone(), weights.clone()
        smaller[index] *= 1 - 1e-6
        larger[index] *= 1 + 1e-6
        lost.append(squared_gradient(larger) - squared_gradient(smaller))
    kept = flat(masks.keep_top(method_scores("grasp", model, images, labels), 0.5)).bool()
    ranked = torch.tensor(lost).argsort(descending=True)
    assert set(kept.nonzero().flatten().tolist()) == set(ranked[: int(kept.sum())].tolist())


def test_attention_is_differentiated_twice():
    class Attention(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.attention = torch.nn.MultiheadAttention(8, 2, batch_first=True)
            self.head = torch.nn.Linear(8, 5)

        def forward(self, images):
            tokens = images.flatten(1, 2)
            return self.head(self.attention(tokens, tokens, tokens, need_weights=False)[0].mean(1))

    torch.manual_seed(0)
    scores = method_scores("grasp", Attention(), *toys.batch())
    assert all(score.any() and score.isfinite().all() for score in scores.values())


# -- FORCE --


def force(model, images, labels, density, rounds):
    """Progressive sparsification as in the paper; the masks of all rounds, each in one vector."""
    initial = {name: weight.detach() for name, weight in prunable_weights(model).items()}
    mask = torch.ones(sum(weight.numel() for weight in initial.values()))
    sizes = [weight.numel() for weight in initial.values()]
    all_masks = []
    for round_number in range(1, rounds + 1):
        parts = zip(initial.items(), mask.split(sizes), strict=True)
        pruned = {
            name: (weight * part.view(weight.shape)).requires_grad_()
            for (name, weight), part in parts
        }
        loss = cross_entropy(functional_call(model, pruned, (images,)), labels)
        gradients = torch.autograd.grad(loss, list(pruned.values()))
        saliency = torch.cat([gradient.flatten() for gradient in gradients]) * flat(initial)
        count = round(density ** (round_number / rounds) * len(mask))
        mask = torch.zeros_like(mask)
        mask[saliency.abs().topk(count).indices] = 1
        all_masks.append(mask.bool())
    return all_masks


@pytest.mark.parametrize("rounds", [1, 2, 5])
def test_force_is_the_papers_loop_and_lets_weights_recover(rounds):
    torch.manual_seed(0)
    model = torch.nn.Sequential(
        torch.nn.Flatten(), torch.nn.Linear(192, 20), torch.nn.ReLU(), torch.nn.Linear(20, 5)
    )
    images, labels = toys.batch(16)
    expected = force(model, images, labels, 0.05, rounds)
    scores = method_scores("force", model, images, labels, density=0.05, rounds=rounds)
    found = flat(masks.keep_top(scores, 0.05)).bool()
    assert torch.equal(found, expected[-1])
    recovered = found & ~expected[-2] if rounds > 1 else torch.zeros(1)
    assert bool(recovered.any()) is (rounds > 1)


def test_one_round_of_force_is_snip():
    model, (images, labels) = toys.Flat().eval(), toys.batch()
    scores = method_scores("force", model, images, labels, rounds=1)
    expected = snip.scores(model, images, labels)
    assert all(torch.equal(scores[name], expected[name]) for name in expected)


# -- ablations of SNIP --


@pytest.mark.parametrize("layerwise", [False, True])
@pytest.mark.parametrize("density", [0.01, 0.1, 0.5, 0.97])
def test_a_shuffled_mask_has_the_counts_of_snip_in_other_places(density, layerwise):
    torch.manual_seed(0)
    model = models.build("LeNet5", 10)
    images, labels = toys.batch(16, 32, 10)
    plain = masks.keep_top(snip.scores(model, images, labels), density, layerwise)
    shuffled, again, other = (
        masks.keep_top(
            method_scores("snip-shuffled", model, images, labels, seed=seed), density, layerwise
        )
        for seed in (3, 3, 4)
    )
    assert masks.counts(shuffled) == masks.counts(plain)
    assert all(torch.equal(shuffled[name], again[name]) for name in plain)
    assert not torch.equal(flat(shuffled), flat(plain))
    assert not torch.equal(flat(shuffled), flat(other))


def test_the_batches_are_shuffled_alike():
    torch.manual_seed(0)
    model, (images, labels) = toys.Flat(), toys.batch(7)
    whole = method_scores("snip-shuffled", model, images, labels)
    parts = method_scores("snip-shuffled", model, images, labels, batch_size=3)
    for name in whole:
        torch.testing.assert_close(parts[name], whole[name], rtol=1e-4, atol=1e-7)


def test_reinitialized_has_the_scores_of_snip():
    model, (images, labels) = toys.Flat(), toys.batch()
    scores = method_scores("snip-reinitialized", model, images, labels)
    expected = snip.scores(model, images, labels)
    assert all(torch.equal(scores[name], expected[name]) for name in expected)
