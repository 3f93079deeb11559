"""The settings in which runs differ."""

from core.config import AffineRecipe, KMeansRecipe, Prune, TrainRecipe
from core.runs.comparison.settings import DENSITY, METHOD, SEED, differing, label_of, settings_of


def test_pruned_and_dense_networks_differ_in_the_density_and_what_only_pruning_has():
    pruned = settings_of([TrainRecipe(prune=Prune(density=0.1))])
    denser = settings_of([TrainRecipe(prune=Prune(density=0.2), seed=3)])
    dense = settings_of([TrainRecipe(prune=None)])
    assert dense[DENSITY] == 1.0
    assert METHOD not in dense
    assert differing([pruned, denser]) == [DENSITY, SEED]
    assert METHOD in differing([pruned, dense])
    assert differing([pruned, pruned]) == []


def test_a_chain_has_the_settings_of_all_its_recipes():
    train = TrainRecipe(lr=0.05, device="cpu")
    first = settings_of([train, KMeansRecipe(clusters=8, epochs=1), AffineRecipe(bits=8)])
    second = settings_of([train, KMeansRecipe(clusters=5, layers={"fc.weight": 9})])
    assert first["train.lr"] == second["train.lr"] == 0.05
    names = differing([first, second])
    assert names[:3] == ["kmeans.epochs", "kmeans.clusters", "kmeans.layers"]
    assert "affine.bits" in names
    assert second["kmeans.layers"] == "fc.weight=9"
    assert not any(name.endswith((".device", ".kind", "keep_every")) for name in first)


def test_labels():
    assert label_of("train.lr") == "Learning rate"
    assert label_of("kmeans.clusters") == "Clusters"
    assert label_of("train.prune.score_mode") == "Scoring: score mode"
