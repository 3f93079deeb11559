"""Scores against an explicit mask that is multiplied in and differentiated, and models that come
back untouched.
"""

import copy
import re
from typing import get_args

import pytest
import torch
from torch.func import functional_call
from torch.nn.functional import cross_entropy

from core import config, models
from core.compress import masks, snip
from core.compress.pruning.methods import PRUNING_METHODS
from core.compress.pruning.saliency import FIRST_PASSES, SALIENCIES, ScoringOptions
from core.compress.pruning.scoring_images import images_in_memory
from core.errors import UserError
from core.models.parameters import prunable_weights
from tests import toys


def by_explicit_mask(model, images, labels, batches=None, mode="eval"):
    """|dL/dm| at m = 1 with weights m * w: SNIP's definition, on a copy. `batches` are slices that
    pass separately.
    """
    model = copy.deepcopy(model).train(mode == "train")
    weights = {name: weight.detach() for name, weight in prunable_weights(model).items()}
    ones = {name: torch.ones_like(weight, requires_grad=True) for name, weight in weights.items()}
    masked = {name: ones[name] * weight for name, weight in weights.items()}
    losses = []
    for part in batches or [slice(None)]:
        logits = functional_call(model, masked, (images[part],))
        losses.append(cross_entropy(logits, labels[part], reduction="sum"))
    loss = torch.stack(losses).sum() / len(images)
    gradients = torch.autograd.grad(loss, list(ones.values()))
    return {name: gradient.abs() for name, gradient in zip(ones, gradients, strict=True)}


def everything_of(model):
    """All that scoring must leave alone, and the tensors' identities: a copy would break an
    optimiser's hold.
    """
    tensors = dict([*model.named_parameters(), *model.named_buffers()])
    values = [
        tensor.detach().clone().view(torch.uint8).tolist()
        for tensor in tensors.values()
        if tensor.ndim
    ]
    counters = [tensor.item() for tensor in tensors.values() if not tensor.ndim]
    gradients = [
        (p.requires_grad, id(p.grad), None if p.grad is None else p.grad.tolist())
        for p in model.parameters()
    ]
    return (
        [*map(id, tensors.values())],
        values,
        counters,
        [m.training for m in model.modules()],
        gradients,
        torch.get_rng_state().tolist(),
    )


def finished(generator):
    """What a scoring generator returns, and the events that it yielded."""
    events = []
    while True:
        try:
            events.append(next(generator))
        except StopIteration as stop:
            return stop.value, events


def method_steps(method, model, images, labels, batch_size=None, seed=0, **options):
    """The steps of any method, which takes all the images in every round."""
    scoring_images = images_in_memory(images, labels, batch_size)
    return snip.scoring_steps(
        method, model, scoring_images, options=ScoringOptions(seed=seed), **options
    )


def method_scores(method, model, images, labels, **options):
    """The scores by any method."""
    scores, _ = finished(method_steps(method, model, images, labels, **options))
    return scores


def used_model():
    """A network in the middle of a training: mixed modes, a frozen weight, and some gradients."""
    torch.manual_seed(0)
    model = toys.Flat(dropout=0.5)
    images, labels = toys.batch()
    cross_entropy(model(images), labels).backward()
    model.norm.eval()
    model.conv.weight.requires_grad_(False)
    model.head.bias.grad = None
    return model, images, labels


def test_by_hand():
    # x = (1, 1), W = [[1, -2], [3, 0]]: logits (-1, 3); softmax p0 = 1 / (1 + e^4) = 0.0179862
    # label 0: dL/dlogits = (p0 - 1, 1 - p0) = (-0.9820138, 0.9820138); times x and W: (-.982,
    # 1.964), (2.946, 0)
    scores = snip.scores(toys.scalar(), torch.tensor([[1.0, 1.0]]), torch.tensor([0]))
    expected = torch.tensor([[0.9820138, 1.9640276], [2.9460414, 0.0]])
    torch.testing.assert_close(scores["weight"], expected)


@pytest.mark.parametrize("mode", get_args(config.ScoreMode))
@pytest.mark.parametrize("name", ["LeNet5", "ResNet20"])
def test_equals_the_gradient_of_an_explicit_mask(name, mode):
    torch.manual_seed(1)
    model = models.build(name, 5).double()  # in float64, so that only a wrong formula can differ
    images, labels = toys.batch(8, 32)
    found, expected = (
        snip.scores(model, images.double(), labels, mode),
        by_explicit_mask(model, images.double(), labels, mode=mode),
    )
    assert list(found) == list(expected)
    for layer in found:
        torch.testing.assert_close(found[layer].double(), expected[layer], rtol=1e-6, atol=1e-12)


def test_scores_are_float32_under_autocast():
    images, labels = toys.batch()
    model = toys.Flat()
    plain = snip.scores(model, images, labels)
    with torch.autocast("cpu", torch.bfloat16):
        inside = snip.scores(model, images, labels)
    assert all(
        torch.equal(plain[name], inside[name]) and inside[name].dtype == torch.float32
        for name in plain
    )


def test_chunks_add_up_to_the_gradient_of_the_mean():
    torch.manual_seed(0)
    model = torch.nn.Sequential(
        torch.nn.Flatten(), torch.nn.Linear(192, 5)
    )  # no BatchNorm: chunks change nothing
    images, labels = toys.batch(7)
    whole, parts = (
        snip.scores(model, images, labels),
        snip.scores(model, images, labels, batch_size=3),
    )
    torch.testing.assert_close(whole["1.weight"], parts["1.weight"], rtol=1e-4, atol=1e-7)


def test_in_training_mode_every_batch_has_its_own_statistics():
    torch.manual_seed(0)
    model, (images, labels) = toys.Flat(), toys.batch(8)
    found = snip.scores(model, images, labels, "train", batch_size=3)
    batches = [slice(0, 3), slice(3, 6), slice(6, 8)]
    expected = by_explicit_mask(model, images, labels, batches, "train")
    for layer in expected:
        torch.testing.assert_close(found[layer], expected[layer], rtol=1e-4, atol=1e-7)
    in_one_batch = by_explicit_mask(model, images, labels, mode="train")
    assert not torch.allclose(found["conv.weight"], in_one_batch["conv.weight"], rtol=1e-3)


def test_a_single_last_image_joins_the_batch_before_it():
    model, (images, labels) = toys.Flat(), toys.batch(7)
    found = snip.scores(model, images, labels, "train", batch_size=3)
    expected = by_explicit_mask(model, images, labels, [slice(0, 3), slice(3, 7)], "train")
    torch.testing.assert_close(found["conv.weight"], expected["conv.weight"], rtol=1e-4, atol=1e-7)


def test_batchnorm_cannot_score_images_one_by_one_in_training_mode():
    model = torch.nn.Sequential(
        torch.nn.Flatten(), torch.nn.Linear(192, 5), torch.nn.BatchNorm1d(5)
    )
    before = everything_of(model)
    with pytest.raises(UserError, match="at least 2 images, got 1"):
        snip.scores(model, *toys.batch(4), "train", batch_size=1)
    assert everything_of(model) == before
    snip.scores(model, *toys.batch(4), "eval", batch_size=1)


def test_dropout_draws_from_the_global_state_and_gives_it_back():
    torch.manual_seed(5)
    model, (images, labels) = toys.Flat(dropout=0.5), toys.batch()
    state = torch.get_rng_state()
    expected = by_explicit_mask(model, images, labels, mode="train")
    torch.set_rng_state(state)
    found = snip.scores(model, images, labels, "train")
    for layer in expected:
        torch.testing.assert_close(found[layer], expected[layer], rtol=1e-4, atol=1e-7)
    assert torch.equal(torch.get_rng_state(), state)


def test_scoring_works_without_autograd_outside():
    model, (images, labels) = toys.Flat(), toys.batch()
    plain = snip.scores(model, images, labels)
    with torch.no_grad():
        assert torch.equal(snip.scores(model, images, labels)["conv.weight"], plain["conv.weight"])


def test_a_weight_that_the_loss_does_not_see_scores_zero():
    model = toys.Flat()
    model.spare = torch.nn.Linear(2, 2)
    assert snip.scores(model, *toys.batch())["spare.weight"].tolist() == [[0, 0], [0, 0]]


@pytest.mark.parametrize("method", PRUNING_METHODS)
def test_the_model_is_as_it_was_at_every_yield_and_in_the_end(method):
    model, images, labels = used_model()
    before = everything_of(model)
    steps = method_steps(method, model, images, labels, density=0.3, rounds=3, batch_size=2)
    for _ in steps:
        assert everything_of(model) == before
    assert everything_of(model) == before


@pytest.mark.parametrize("method", ["snip", "force", "grasp", "synflow"])
def test_the_model_comes_back_after_an_exception(method):
    model, images, labels = used_model()

    def fail(*_):
        raise RuntimeError("out of something")

    failing = model.head.register_forward_hook(
        fail
    )  # after BatchNorm and dropout have done their work
    before = everything_of(model)
    with pytest.raises(RuntimeError, match="out of something"):
        method_scores(method, model, images, labels, density=0.3)
    failing.remove()
    assert everything_of(model) == before


@pytest.mark.parametrize(("images", "labels"), [(0, 0), (3, 2)])
def test_images_and_labels_must_match(images, labels):
    with pytest.raises(UserError, match=f"got {images} and {labels}"):
        snip.scores(
            toys.Flat(), torch.zeros(images, 3, 8, 8), torch.zeros(labels, dtype=torch.int64)
        )


def test_a_network_without_weights_is_refused():
    with pytest.raises(UserError, match="no prunable weights"):
        snip.scores(torch.nn.Flatten(), *toys.batch())


def test_a_shared_weight_is_scored_once():
    scores = snip.scores(toys.Tied(), torch.randn(4, 3), torch.tensor([0, 1, 2, 0]))
    assert list(scores) == ["first.weight"]


def test_overflow_is_refused_by_name():
    model = toys.scalar()
    with pytest.raises(UserError, match="weight"):
        snip.scores(model, torch.full((1, 2), float("inf")), torch.tensor([0]))


@pytest.mark.parametrize("method", PRUNING_METHODS)
@pytest.mark.parametrize("layerwise", [False, True])
def test_every_method_gives_exact_masks(method, layerwise):
    if layerwise and PRUNING_METHODS[method].sets_layer_densities:
        pytest.skip("sets the layer densities itself")
    torch.manual_seed(0)
    model = models.build("LeNet5", 10)
    images, labels = toys.batch(16, 32, 10)
    scores, events = finished(
        method_steps(method, model, images, labels, density=0.1, layerwise=layerwise, rounds=5)
    )
    rounds = 5 if PRUNING_METHODS[method].iterative else 1
    passes = 2 * rounds if method in FIRST_PASSES else rounds
    assert [(event.done, event.total) for event in events] == [
        (k, passes) for k in range(1, passes + 1)
    ]
    found = masks.keep_top(scores, 0.1, layerwise)
    total = sum(score.numel() for score in scores.values())
    expected = (
        sum(max(1, round(0.1 * s.numel())) for s in scores.values())
        if layerwise
        else round(0.1 * total)
    )
    assert sum(kept for kept, _ in masks.counts(found).values()) == expected


def test_magnitude_is_the_absolute_weight_and_random_follows_its_seed():
    model = toys.Flat()
    images, labels = toys.batch()

    def head(method, seed):
        return method_scores(method, model, images, labels, density=0.5, seed=seed)["head.weight"]

    assert torch.equal(head("magnitude", 0), model.head.weight.detach().abs())
    assert torch.equal(head("random", 1), head("random", 1))
    assert not torch.equal(head("random", 1), head("random", 2))


def test_synflow_of_a_linear_chain_by_hand():
    # y = B A x with x = 1: R = sum |B||A|1; the score of A[i, j] is |A[i, j]| * sum_k |B[k, i]|
    model = torch.nn.Sequential(
        torch.nn.Flatten(), torch.nn.Linear(3, 2, bias=False), torch.nn.Linear(2, 1, bias=False)
    )
    model[1].weight.data = torch.tensor([[1.0, -2.0, 3.0], [0.5, 0.0, -1.0]])
    model[2].weight.data = torch.tensor([[2.0, -4.0]])
    images, labels = torch.randn(2, 3, 1, 1), torch.tensor([0, 0])
    scores = method_scores("synflow", model, images, labels, density=0.5, rounds=1)
    assert scores["1.weight"].tolist() == [[2.0, 4.0, 6.0], [2.0, 0.0, 4.0]]
    assert scores["2.weight"].tolist() == [[12.0, 6.0]]


def test_iterative_snip_never_revives_and_the_last_round_scores_the_masked_network():
    torch.manual_seed(3)
    model = models.build("LeNet5", 10)
    images, labels = toys.batch(16, 32, 10)
    scores = method_scores("iterative-snip", model, images, labels, density=0.04, rounds=2)
    first = masks.keep_top(snip.scores(model, images, labels), 0.2)
    with torch.no_grad():
        for name, weight in prunable_weights(model).items():
            weight.mul_(first[name])
    second = snip.scores(model, images, labels)
    for name in scores:
        assert (scores[name][~first[name]] == -1).all()
        torch.testing.assert_close(scores[name][first[name]], second[name][first[name]])


def test_synflow_keeps_a_deep_network_alive_where_magnitudes_overflow_float32():
    torch.manual_seed(0)
    model = models.build("ResNet56", 10)
    images, labels = toys.batch(2, 32, 10)
    scores = method_scores("synflow", model, images, labels, density=0.05, rounds=4)
    assert not masks.dead_layers(masks.keep_top(scores, 0.05))
    assert all(p.dtype == torch.float32 for p in model.parameters())


def test_an_unknown_method_is_refused_with_the_known_ones():
    with pytest.raises(UserError, match="iterative-snip"):
        method_scores("oracle", toys.Flat(), *toys.batch(), density=0.5)


@pytest.mark.parametrize("method", PRUNING_METHODS)
def test_the_registry_is_the_recipes(method):
    assert set(PRUNING_METHODS) == set(SALIENCIES) == set(get_args(config.Method))
    assert PRUNING_METHODS[method].iterative == (method in ("iterative-snip", "force", "synflow"))


def test_the_help_text_of_the_recipe_names_the_rounds_of_the_registry():
    text = config.Prune.model_fields["rounds"].description or ""
    for name, method in PRUNING_METHODS.items():
        assert (f"{method.default_rounds} for {name}" in text) == method.iterative


@pytest.mark.parametrize("method", ["iterative-snip", "synflow"])
def test_rounds_cut_on_an_exponential_schedule_and_for_good(method):
    """Of 100 weights 10% stay in two rounds: 32 after the first, of which 10 after the second."""
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(20, 5, bias=False))
    images, labels = torch.randn(8, 20, 1, 1), torch.randint(5, (8,))
    scores = method_scores(method, model, images, labels, density=0.1, rounds=2)["1.weight"]
    assert int((scores >= 0).sum()) == 32
    assert (scores[scores < 0] == -1).all()


def test_synflow_is_blind_to_the_data_and_to_signs():
    torch.manual_seed(0)
    model, (images, labels) = toys.Flat(), toys.batch()
    found = method_scores("synflow", model, images, labels, density=0.2, rounds=5)
    with torch.no_grad():
        model.conv.weight.neg_()
    again = method_scores("synflow", model, images * 9, labels, density=0.2, rounds=5)
    assert all(torch.equal(found[name], again[name]) for name in found)


@pytest.mark.parametrize("method", ["erk", "uniform+"])
def test_a_method_that_sets_layer_densities_cannot_be_layerwise(method):
    sentence = f"^layerwise must be False with method {re.escape(method)}, which sets .*, got True$"
    with pytest.raises(UserError, match=sentence):
        method_scores(method, toys.Flat(), *toys.batch(), density=0.5, layerwise=True)


def test_a_wrong_density_is_refused_before_anything_is_computed():
    with pytest.raises(UserError, match="density"):
        next(method_steps("iterative-snip", toys.Flat(), *toys.batch(), density=5))


@pytest.mark.parametrize("method", ["snip", "synflow"])
def test_a_network_that_ignores_its_weights_is_refused(method):
    model = toys.Flat()
    torch.nn.init.zeros_(model.head.weight)  # as the heads of some transformers start
    with pytest.raises(UserError, match="All scores are zero"):
        method_scores(method, model, *toys.batch(), density=0.5)


# -- modes, rounds and batches --


def test_evaluation_mode_keeps_alive_what_training_mode_disconnects():
    """Deep layers of a VGG, whose BatchNorm divides by the statistics of the batch, die first."""
    torch.manual_seed(0)
    model = models.build("VGG16", 10)
    images, labels = toys.batch(16, 32, 10)
    dead = {
        mode: masks.dead_layers(masks.keep_top(snip.scores(model, images, labels, mode), 0.01))
        for mode in get_args(config.ScoreMode)
    }
    assert dead["train"]
    assert not dead["eval"]


def test_the_default_is_evaluation_mode():
    torch.manual_seed(0)
    model, (images, labels) = toys.Flat(dropout=0.5), toys.batch()
    found = snip.scores(model, images, labels)
    expected = by_explicit_mask(model, images, labels, mode="eval")
    torch.testing.assert_close(found["conv.weight"], expected["conv.weight"])


def test_every_round_has_images_of_its_own_until_there_are_no_others():
    images, labels = toys.batch(7)
    scoring_images = images_in_memory(images, labels, batch_size=2, per_round=3)
    positions = []
    for round_number in (1, 2, 3):
        batches = list(scoring_images.batches(round_number))
        assert sum(batch.share for batch in batches) == pytest.approx(1)
        seen = torch.cat([batch.images for batch in batches])
        positions.append([int((images == image).flatten(1).all(1).nonzero()) for image in seen])
    assert positions == [[0, 1, 2], [3, 4, 5], [0, 1, 2]]  # one image is too few for a round


def test_a_later_round_scores_the_masked_network_on_the_next_images():
    torch.manual_seed(3)
    model = models.build("LeNet5", 10)
    images, labels = toys.batch(16, 32, 10)
    steps = snip.scoring_steps(
        "iterative-snip",
        model,
        images_in_memory(images, labels, per_round=8),
        density=0.04,
        rounds=2,
    )
    scores, _ = finished(steps)
    first = masks.keep_top(snip.scores(model, images[:8], labels[:8]), 0.2)
    with torch.no_grad():
        for name, weight in prunable_weights(model).items():
            weight.mul_(first[name])
    second = snip.scores(model, images[8:], labels[8:])
    for name in scores:
        torch.testing.assert_close(scores[name][first[name]], second[name][first[name]])


def test_sums_of_batches_are_rounded_once(monkeypatch):
    """1e8 + 1 - 1e8 is 0 in float32."""
    parts = iter([1e8, 1.0, -1e8])
    monkeypatch.setitem(
        SALIENCIES, "snip", lambda *arguments: {"weight": torch.full((2, 2), next(parts))}
    )
    scores = method_scores("snip", toys.scalar(), *toys.batch(3), density=1.0, batch_size=1)
    assert scores["weight"].tolist() == [[1, 1], [1, 1]]
    assert scores["weight"].dtype == torch.float32
