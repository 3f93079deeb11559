"""Exact selection, and zeros that stay zeros."""

import pytest
import torch
from torch.nn.functional import cross_entropy

from core.compress import masks
from core.compress.pruning import selection
from core.errors import UserError
from tests import toys

OPTIMIZERS = {
    "sgd": lambda p: torch.optim.SGD(p, 0.1),
    "momentum and weight decay": lambda p: torch.optim.SGD(p, 0.1, momentum=0.9, weight_decay=0.1),
    "nesterov": lambda p: torch.optim.SGD(p, 0.1, momentum=0.9, weight_decay=0.1, nesterov=True),
    "fused": lambda p: torch.optim.SGD(p, 0.1, momentum=0.9, weight_decay=0.1, fused=True),
    "adam": lambda p: torch.optim.Adam(p, 0.1, weight_decay=0.1),
    "adamw": lambda p: torch.optim.AdamW(p, 0.1),
}


def test_global_selection_by_hand():
    found = masks.keep_top({"a": torch.tensor([0.1, 0.9]), "b": torch.tensor([[0.5], [0.2]])}, 0.5)
    assert found["a"].tolist() == [False, True]
    assert found["b"].tolist() == [[True], [False]]


def test_layerwise_selection_keeps_at_least_one():
    found = masks.keep_top({"a": torch.arange(10.0), "b": torch.tensor([3.0])}, 0.1, layerwise=True)
    assert masks.counts(found) == {"a": (1, 10), "b": (1, 1)}
    assert found["a"][9]


def test_ties_go_to_the_earlier_layer_then_to_the_lower_index():
    found = masks.keep_top({"a": torch.zeros(3), "b": torch.tensor([1.0, 0.0, 0.0])}, 0.5)
    assert found["a"].tolist() == [True, True, False]
    assert found["b"].tolist() == [True, False, False]


def test_a_pattern_by_hand():
    scores = {"a": torch.tensor([[1.0, 4.0, 3.0, 2.0, 7.0, 7.0, 7.0, 7.0]]), "b": torch.ones(2, 3)}
    found = masks.keep_top(scores, 1.0, pattern="2:4")
    assert found["a"].tolist() == [[False, True, True, False, True, True, False, False]]
    assert found["b"].all()  # three inputs have no group of four
    assert masks.keep_top(scores, 1.0, pattern="1:4")["a"].int().tolist() == [
        [0, 1, 0, 0, 1, 0, 0, 0]
    ]


@pytest.mark.parametrize("pattern", ["2:4", "1:4"])
@pytest.mark.parametrize("shape", [(3, 8), (5, 4, 3, 3), (2, 12, 1, 1), (4, 8, 5)])
@pytest.mark.parametrize("seed", range(5))
def test_a_pattern_keeps_the_best_of_each_four_input_channels(seed, shape, pattern):
    generator = torch.Generator().manual_seed(seed)
    score = torch.randint(-3, 3, shape, generator=generator).float()
    found = masks.keep_top({"w": score}, 0.5, pattern=pattern)["w"]
    count = int(pattern[0])
    expected = torch.zeros_like(found)
    flat_score = score.view(*shape[:2], -1)
    flat_expected = expected.view(*shape[:2], -1)
    for output in range(shape[0]):
        for place in range(flat_score.shape[2]):
            for first in range(0, shape[1], 4):
                four = flat_score[output, first : first + 4, place].tolist()
                best = sorted(range(4), key=lambda i: (-four[i], i))[:count]
                for channel in best:
                    flat_expected[output, first + channel, place] = True
    assert torch.equal(found, expected)
    assert found.is_contiguous()
    assert found.movedim(1, -1).reshape(-1, 4).sum(1).eq(count).all()


@pytest.mark.parametrize("shape", [(6, 3, 5, 5), (8, 1, 3, 3), (4, 6), (8,)])
def test_layers_without_groups_of_four_stay_dense(shape):
    assert masks.keep_top({"w": torch.randn(shape)}, 0.5, pattern="2:4")["w"].all()


def test_a_pattern_refuses_nan_by_the_layers_name():
    for shape in ((2, 4), (2, 3)):
        with pytest.raises(UserError, match="The scores of w contain NaN"):
            masks.keep_top({"w": torch.full(shape, torch.nan)}, 0.5, pattern="2:4")


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("layerwise", [False, True])
def test_counts_are_exact_and_the_order_is_that_of_a_stable_sort(seed, layerwise):
    generator = torch.Generator().manual_seed(seed)
    scores = {
        str(i): torch.randint(4, (int(n),), generator=generator).float()
        for i, n in enumerate(torch.randint(1, 60, (5,), generator=generator))
    }
    density = float(torch.rand((), generator=generator)) or 1.0
    found = masks.keep_top(scores, density, layerwise)
    groups = [[name] for name in scores] if layerwise else [list(scores)]
    for names in groups:
        flat = torch.cat([scores[name] for name in names])
        count = max(round(density * len(flat)), int(layerwise))
        expected = torch.zeros(len(flat), dtype=torch.bool)
        expected[torch.sort(flat, descending=True, stable=True).indices[:count]] = True
        assert torch.equal(torch.cat([found[name] for name in names]), expected)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("seed", range(5))
def test_the_order_is_that_of_the_numbers(dtype, seed):
    """Signs, both zeros, infinities and tiny numbers, against Python's own sorting."""
    generator = torch.Generator().manual_seed(seed)
    pool = torch.tensor(
        [0.0, -0.0, 1.0, -1.0, 1e-30, 6e-8, -6e-8, 3.5, -3.5, float("inf"), float("-inf")]
    )
    scores = {
        name: pool[torch.randint(len(pool), shape, generator=generator)].to(dtype)
        for name, shape in (("a", (4, 5)), ("b", (3, 2, 2)))
    }
    before = {name: score.clone() for name, score in scores.items()}
    ranked = sorted(
        (-value, name, index)
        for name, score in scores.items()
        for index, value in enumerate(score.flatten().tolist())
    )
    for count in range(1, 33):
        found = masks.keep_top(scores, count / 32)
        kept = {
            (name, index)
            for name, mask in found.items()
            for index in mask.flatten().nonzero().flatten().tolist()
        }
        assert kept == {(name, index) for _, name, index in ranked[:count]}
    assert all(torch.equal(scores[name], before[name]) for name in scores)


@pytest.mark.parametrize("dtype", [torch.int32, torch.int64])
@pytest.mark.parametrize("seed", range(12))
def test_the_kth_highest_key_is_that_of_sorting(dtype, seed, monkeypatch):
    """Keys of few and of many digits, in layers of several chunks, one of them empty."""
    monkeypatch.setattr(selection, "_CHUNK", 7)
    generator = torch.Generator().manual_seed(seed)
    limits = torch.iinfo(dtype)
    spread = (3, 70_000, 2**24, 2**31 - 2)[seed % 4]
    layers = [
        torch.randint(-spread, spread, (size,), generator=generator, dtype=dtype)
        for size in (20, 0, 33)
    ]
    layers.append(torch.tensor([limits.min, limits.max, 0, -1, limits.max - 1], dtype=dtype))
    flat = torch.cat(layers)
    ranked = flat.sort(descending=True).values.tolist()
    for k in range(1, len(flat) + 1):
        threshold = ranked[k - 1]
        higher = sum(key > threshold for key in ranked)
        assert selection._kth_highest(layers, k) == (threshold, higher, ranked.count(threshold))
        kept = torch.cat(selection.highest_keys(layers, k))
        expected = torch.zeros(len(flat), dtype=torch.bool)
        expected[flat.sort(descending=True, stable=True).indices[:k]] = True
        assert torch.equal(kept, expected)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_infinite_scores_are_no_nan_and_negative_nan_is(dtype):
    ends = torch.tensor([float("inf"), float("-inf"), 0.0], dtype=dtype)
    assert masks.keep_top({"a": ends, "b": torch.ones(0, dtype=dtype)}, 1 / 3)["a"].tolist() == [
        True,
        False,
        False,
    ]
    with pytest.raises(UserError, match=r"scores of b contain NaN"):
        masks.keep_top({"a": ends, "b": -torch.full((2,), float("nan"), dtype=dtype)}, 0.5)


def test_flat_indices_are_logical_in_every_memory_format():
    scores = torch.randint(3, (4, 3, 5, 5), generator=torch.Generator().manual_seed(0)).float()
    plain = masks.keep_top({"a": scores}, 0.37)["a"]
    found = masks.keep_top({"a": scores.to(memory_format=torch.channels_last)}, 0.37)["a"]
    assert torch.equal(found, plain)


def test_a_float64_threshold_between_two_float32():
    scores = {
        "a": torch.tensor([1.0]),
        "b": torch.tensor([1 + 1e-12, 1 - 1e-12], dtype=torch.float64),
    }
    assert masks.counts(masks.keep_top(scores, 1 / 3)) == {"a": (0, 1), "b": (1, 2)}
    assert masks.counts(masks.keep_top(scores, 2 / 3)) == {"a": (1, 1), "b": (1, 2)}


def test_the_count_is_pythons_round():
    assert masks.counts(masks.keep_top({"a": torch.rand(5)}, 0.5)) == {"a": (2, 5)}  # half to even
    assert masks.counts(masks.keep_top({"a": torch.rand(7)}, 0.5)) == {"a": (4, 7)}
    assert masks.counts(masks.keep_top({"a": torch.rand(7)}, 1.0)) == {"a": (7, 7)}
    assert masks.counts(masks.keep_top({"a": torch.rand(7)}, 1e-9)) == {"a": (0, 7)}


@pytest.mark.parametrize("density", [0, -0.1, 1.01, float("nan")])
def test_a_density_outside_its_range_is_refused(density):
    with pytest.raises(UserError, match=r"density must be in \(0, 1\]"):
        masks.keep_top({"a": torch.ones(3)}, density)


def test_nan_scores_are_refused_by_name():
    with pytest.raises(UserError, match="layer7"):
        masks.keep_top({"ok": torch.ones(3), "layer7": torch.tensor([1.0, float("nan")])}, 0.5)


def test_dead_layers_are_named():
    found = masks.keep_top({"strong": torch.ones(10), "weak": torch.zeros(10)}, 0.5)
    assert masks.dead_layers(found) == ["weak"]


@pytest.mark.parametrize("make", OPTIMIZERS.values(), ids=OPTIMIZERS.keys())
@pytest.mark.parametrize("late", [False, True])
def test_pruned_weights_are_positive_zero_after_every_step(make, late):
    torch.manual_seed(0)
    model = toys.Flat().to(memory_format=torch.channels_last)
    optimizer = make(model.parameters())
    images, labels = toys.batch()

    def step():
        optimizer.zero_grad()
        cross_entropy(model(images), labels).backward()
        optimizer.step()

    if late:  # momentum is there already, and would revive what only a gradient mask holds down
        step()
        step()
    chosen = {"conv.weight": torch.rand(4, 3, 3, 3) > 0.7, "head.weight": torch.rand(5, 4) > 0.5}
    masks.apply_(model, chosen, optimizer if late else None)
    parameters = dict(model.named_parameters())
    before = {name: parameters[name].detach().clone() for name in chosen}
    for _ in range(4):
        for name, mask in chosen.items():
            pruned = parameters[name].detach()[~mask]
            assert torch.equal(pruned.view(torch.int32), torch.zeros_like(pruned).view(torch.int32))
        step()
    assert all((parameters[name] != before[name])[mask].any() for name, mask in chosen.items())


def revived(optimizer_is_known: bool) -> bool:
    """Whether a pruned weight moves again, after dense steps that left momentum behind."""
    torch.manual_seed(0)
    model, (images, labels) = toys.Flat(), toys.batch()
    optimizer = torch.optim.SGD(model.parameters(), 0.1, momentum=0.9)
    cross_entropy(model(images), labels).backward()
    optimizer.step()
    masks.apply_(
        model,
        {"head.weight": torch.zeros(5, 4, dtype=torch.bool)},
        optimizer if optimizer_is_known else None,
    )
    optimizer.zero_grad()
    cross_entropy(model(images), labels).backward()
    optimizer.step()
    return bool(model.head.weight.any())


def test_old_momentum_revives_weights_unless_the_optimizer_is_handed_in():
    assert revived(optimizer_is_known=False)
    assert not revived(optimizer_is_known=True)


@pytest.mark.parametrize("handed_in", [False, True])
def test_nan_and_negative_gradients_leave_positive_zeros(handed_in):
    model = toys.scalar()
    optimizer = torch.optim.SGD(model.parameters(), 0.1, momentum=0.9, maximize=True)
    masks.apply_(
        model,
        {"weight": torch.tensor([[True, False], [False, False]])},
        optimizer if handed_in else None,
    )
    (model.weight * torch.tensor([[1.0, float("nan")], [-1.0, float("inf")]])).sum().backward()
    assert model.weight.grad is not None
    assert model.weight.grad.tolist() == [[1, 0], [0, 0]]
    optimizer.step()
    assert model.weight.tolist() == [[pytest.approx(1.1), 0], [0, 0]]
    assert not model.weight.signbit().any()


def test_a_compiled_model_keeps_its_zeros():
    torch.manual_seed(0)
    model, (images, labels) = toys.Flat(), toys.batch()
    compiled = torch.compile(model, backend="aot_eager")
    optimizer = torch.optim.SGD(model.parameters(), 0.1, momentum=0.9, weight_decay=0.1)
    mask = torch.rand(4, 3, 3, 3) > 0.7
    masks.apply_(model, {"conv.weight": mask})
    for _ in range(3):
        optimizer.zero_grad()
        cross_entropy(compiled(images), labels).backward()
        optimizer.step()
        assert not model.conv.weight[~mask].any()
        assert model.conv.weight[mask].all()


def test_a_shared_weight_stays_pruned_in_both_places():
    torch.manual_seed(0)
    model = toys.Tied()
    masks.apply_(model, {"first.weight": torch.eye(3, dtype=torch.bool)})
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    model(torch.rand(4, 3)).square().sum().backward()
    optimizer.step()
    assert not model.second.weight[~torch.eye(3, dtype=torch.bool)].any()


def test_a_frozen_weight_is_pruned_too():
    model = toys.scalar().requires_grad_(False)
    with masks.apply_(model, {"weight": torch.tensor([[True, False], [True, True]])}):
        assert model.weight.tolist() == [[1, 0], [3, 0]]


def test_removing_the_masks_lets_weights_grow_again():
    model = toys.Flat()
    applied = masks.apply_(model, {"head.weight": torch.zeros(5, 4, dtype=torch.bool)})
    applied.remove()
    images, labels = toys.batch()
    cross_entropy(model(images), labels).backward()
    assert model.head.weight.grad is not None
    assert model.head.weight.grad.abs().sum() > 0


@pytest.mark.parametrize(
    ("wrong", "complaint"),
    [
        ({"nowhere": torch.ones(3, dtype=torch.bool)}, "nowhere"),
        ({"head.weight": torch.ones(4, 5, dtype=torch.bool)}, r"\(5, 4\)"),
        ({"head.weight": torch.ones(5, 4)}, "bool"),
        ({"head.bias": torch.ones(5, dtype=torch.bool)}, "head.bias"),
        ({"norm.weight": torch.ones(4, dtype=torch.bool)}, "no prunable weight"),
    ],
)
def test_masks_that_do_not_fit_are_refused_by_name(wrong, complaint):
    with pytest.raises(UserError, match=complaint):
        masks.apply_(toys.Flat(), wrong)
