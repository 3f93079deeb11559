"""Recipes: the original's defaults, and bad values as one sentence."""

import math
from pathlib import Path

import pytest
from pydantic import TypeAdapter, ValidationError

from core.config import (
    AffineRecipe,
    KMeansRecipe,
    Prune,
    Recipe,
    TrainRecipe,
    data_root,
    runs_root,
    validate_recipe,
)
from core.errors import UserError


def test_the_defaults_are_the_originals():
    recipe = TrainRecipe()
    assert (recipe.model, recipe.dataset, recipe.epochs) == ("VGG16", "CIFAR10", 70)
    assert (recipe.lr, recipe.momentum) == (0.1, 0.9)
    assert (recipe.weight_decay, recipe.schedule, recipe.step, recipe.gamma) == (
        5e-4,
        "step",
        20,
        0.1,
    )
    assert (recipe.batch_size, recipe.prune) == (
        128,
        Prune(method="snip", density=0.05, layerwise=False),
    )
    assert recipe.label_smoothing == 0


def test_density_of_a_dense_network():
    assert TrainRecipe(prune=None).density == 1.0
    assert TrainRecipe(prune=Prune(density=0.2)).density == 0.2


def test_a_pattern_sets_the_density():
    assert Prune(pattern="1:4").density == 0.25
    assert Prune(pattern="2:4", density=0.5) == Prune(pattern="2:4")
    recipe = TrainRecipe(prune=Prune(pattern="2:4"))
    assert TypeAdapter(Recipe).validate_json(recipe.model_dump_json()) == recipe
    with pytest.raises(UserError, match=r"density must be 0.25 with the pattern 1:4.*, got 0.3"):
        validate_recipe(TrainRecipe, {"prune": {"pattern": "1:4", "density": 0.3}})


def test_a_recipe_survives_its_file():
    prune = Prune(method="synflow", density=1 / 3, rounds=7)
    recipe = TrainRecipe(prune=prune, lr=0.1 + 0.2, seed=2**63 - 1, augment=False)
    assert TypeAdapter(Recipe).validate_json(recipe.model_dump_json()) == recipe


def test_a_recipe_is_frozen():
    with pytest.raises(ValidationError):
        TrainRecipe().lr = 1  # type: ignore[misc]  # the error that this test is about


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"prune": {"density": 50}}, "--retrain must be in (0, 1], got 50: did you mean 0.5?"),
        ({"prune": {"density": 500}}, "--retrain must be in (0, 1], got 500"),
        ({"prune": {"density": 0}}, "--retrain must be in (0, 1], got 0"),
        ({"prune": {"density": -0.5}}, "--retrain must be in (0, 1], got -0.5"),
        ({"lr": 0}, "lr must be in (0, 100], got 0"),
        ({"momentum": 1}, "momentum must be in [0, 1), got 1"),
        ({"epochs": 0}, "epochs must be in [1, 10000], got 0"),
        ({"epochs": 1.5}, "epochs must be in [1, 10000], got 1.5"),
        ({"batch_size": 1}, "batch_size must be in [2, 65536], got 1"),
        ({"train_images": 1}, "train_images must be at least 2, got 1"),
        ({"prune": {"batches": 0}}, "prune.batches must be in [1, 1000], got 0"),
        ({"schedule": "linear"}, "schedule must be 'step', 'cosine' or 'onecycle', got 'linear'"),
        ({"device": "gpu"}, "device must be auto, cpu, cuda, cuda:1 ..., or mps, got 'gpu'"),
        ({"epoch": 3}, "epoch is not a setting, got 3"),
    ],
)
def test_the_first_error_is_one_sentence_in_the_words_that_were_typed(values, sentence):
    with pytest.raises(UserError) as error:
        validate_recipe(TrainRecipe, values, {"prune.density": "--retrain"})
    assert str(error.value) == sentence


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("name", ["lr", "momentum", "weight_decay", "gamma", "label_smoothing"])
def test_numbers_are_finite(name, number):
    with pytest.raises(UserError, match=rf"^{name} must"):
        validate_recipe(TrainRecipe, {name: number})


@pytest.mark.parametrize("name", TrainRecipe.model_fields)
def test_no_field_takes_an_object(name):
    with pytest.raises(UserError, match=rf"^{name}"):
        validate_recipe(TrainRecipe, {name: object()})


@pytest.mark.parametrize("kind", [TrainRecipe, Prune])
def test_every_knob_says_what_it_is(kind):
    assert [
        name
        for name, field in kind.model_fields.items()
        if not field.description and name != "kind"
    ] == []


@pytest.mark.parametrize(
    ("root", "variable", "default"),
    [(runs_root, "SECATEUR_RUNS", "runs"), (data_root, "SECATEUR_DATA", "data")],
)
def test_folders_by_argument_variable_or_default(root, variable, default, tmp_path, monkeypatch):
    monkeypatch.setenv(variable, str(tmp_path / "there"))
    assert root() == tmp_path / "there"
    assert root(tmp_path / "here") == tmp_path / "here"
    monkeypatch.chdir(tmp_path)
    assert root("near") == tmp_path / "near"
    monkeypatch.delenv(variable)
    assert root() == Path(__file__).parents[2] / default
    assert root("~/x") == Path.home() / "x"


def test_clusters_of_a_single_layer_are_none_or_at_least_two():
    assert (
        validate_recipe(KMeansRecipe, {"layers": {"a.weight": 0, "b.weight": 256}}).layers[
            "a.weight"
        ]
        == 0
    )
    for kind, words in (
        (KMeansRecipe, r"must be 0 or in \[2, 256\]"),
        (AffineRecipe, "must be 0, 2, 3"),
    ):
        with pytest.raises(UserError, match=rf"^layers.a.weight {words}.*, got 1$"):
            validate_recipe(kind, {"layers": {"a.weight": 1}})
