"""The choice of a layer in words and in the short form."""

import pytest

from core.config import BudgetRecipe
from core.errors import UserError
from core.runs.layer_choices import choice_code, choice_text, index_bits, only_unit, parse_choice

CHOICES = {
    "5c": ({"clusters": 5}, "5 clusters"),
    "4b": ({"bits": 4}, "4 bits"),
    "64c@0.25": ({"clusters": 64, "density": 0.25}, "64 clusters, 25% kept"),
}


@pytest.mark.parametrize("code", CHOICES)
def test_the_short_form_is_read_and_written(code):
    choice, words = CHOICES[code]
    assert parse_choice(code) == choice
    assert choice_code(choice) == code
    assert choice_text(choice) == words


def test_a_recipe_whose_numbers_are_floats_has_the_same_short_form():
    recipe = BudgetRecipe(layers={code: choice for code, (choice, _) in CHOICES.items()})
    assert {code: choice_code(choice) for code, choice in recipe.layers.items()} == {
        code: code for code in CHOICES
    }


@pytest.mark.parametrize("code", ["", "5", "c", "-5c", "5.5c", "4b@0.5", "5c@", "5c@x", "5c 4b"])
def test_what_is_no_choice_is_a_sentence(code):
    with pytest.raises(UserError, match=r"takes 5c for 5 clusters, .* got"):
        parse_choice(code)


def test_clusters_and_bits_compare_by_the_bits_of_an_index():
    assert index_bits({"clusters": 8}) == 3
    assert index_bits({"clusters": 8, "density": 0.5}) == 3
    assert index_bits({"bits": 4}) == 4


def test_only_a_choice_of_one_unit_is_a_quantization():
    clusters = {"a": {"clusters": 5}, "b": {"clusters": 9}}
    assert only_unit(clusters) == "clusters"
    assert only_unit({"a": {"bits": 4}}) == "bits"
    assert only_unit(clusters | {"c": {"bits": 4}}) is None
    assert only_unit(clusters | {"c": {"clusters": 5, "density": 0.5}}) is None
