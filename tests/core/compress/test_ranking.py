"""The ranking answers for every density what the selection would have done."""

import pytest
import torch

from core.compress import masks, ranking
from core.errors import UserError


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("layerwise", [False, True])
def test_every_density_agrees_with_the_selection(seed, layerwise, monkeypatch):
    monkeypatch.setattr(ranking, "_BLOCK", 16)  # so that small scores span many blocks
    generator = torch.Generator().manual_seed(seed)
    scores = {
        name: torch.randint(6, (n,), generator=generator).float()
        for name, n in (("a", 40), ("b", 1), ("c", 77))
    }
    ranked = ranking.rank_layers(scores)
    for density in [*torch.linspace(0.001, 1, 60).tolist(), 1.0]:
        chosen = masks.keep_top(scores, density, layerwise)
        assert ranked.kept(density, layerwise) == {
            name: kept for name, (kept, _) in masks.counts(chosen).items()
        }
        assert ranked.dead(density, layerwise) == masks.dead_layers(chosen)


@pytest.mark.parametrize(
    ("layers", "dtype"), [(256, torch.float32), (300, torch.float32), (300, torch.float64)]
)
def test_many_layers_and_signs_and_precisions(layers, dtype):
    generator = torch.Generator().manual_seed(layers)
    scores = {
        str(i): torch.randn(7, generator=generator, dtype=dtype).round(decimals=1)
        for i in range(layers)
    }
    ranked = ranking.rank_layers(scores)
    assert ranked.layers.itemsize == (1 if layers == 256 else 2)
    for density in (0.01, 0.3, 0.5, 0.77, 1.0):
        found = masks.counts(masks.keep_top(scores, density))
        assert ranked.kept(density) == {name: kept for name, (kept, _) in found.items()}


def test_float64_scores_are_not_rounded():
    scores = {
        "a": torch.tensor([1.0], dtype=torch.float64),
        "b": torch.tensor([1 + 1e-12], dtype=torch.float64),
    }
    assert ranking.rank_layers(scores).kept(0.5) == {"a": 0, "b": 1}


@pytest.mark.parametrize("density", [0, 1.5, float("nan")])
def test_a_density_outside_its_range_is_refused(density):
    with pytest.raises(UserError, match="density"):
        ranking.rank_layers({"a": torch.ones(3)}).kept(density)


def test_a_count_at_the_last_block_boundary(monkeypatch):
    monkeypatch.setattr(ranking, "_BLOCK", 4)
    ranked = ranking.rank_layers({"a": torch.arange(8.0)})
    assert [ranked.kept(k / 8)["a"] for k in range(1, 9)] == list(range(1, 9))


def test_nan_is_refused():
    with pytest.raises(UserError, match="bad"):
        ranking.rank_layers({"bad": torch.tensor([float("nan")])})
