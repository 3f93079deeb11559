"""Tags: which words can be one, and how the tags of a run change."""

import json
import unicodedata
from concurrent.futures import ThreadPoolExecutor

import pytest

from core.config import TrainRecipe
from core.errors import UserError
from core.runs.tags import MOST_TAGS, all_tags, check_tags, has_tags

RECIPE = TrainRecipe(model="LeNet5", dataset="Digits")


@pytest.mark.parametrize("tag", ["a", "a" * 30, "v1.0", "baseline_2", "no-augment", "größe", "7"])
def test_words_that_can_be_tags(tag):
    assert check_tags([tag]) == (tag,)


@pytest.mark.parametrize(
    "word", ["", " ", "a" * 31, "two words", "a,b", "a/b", "a\nb", "#1", "<b>"]
)
def test_words_that_cannot(word):
    with pytest.raises(UserError, match=r"--tag must be 1 to 30 letters, digits, “-”, “_” or “.”"):
        check_tags(["fine", word], "--tag")


def test_the_first_spelling_stays():
    assert check_tags([" Base ", "base", "BASE", "other"]) == ("Base", "other")
    composed = "größe"
    assert check_tags([unicodedata.normalize("NFD", composed), composed]) == (composed,)


def test_ten_tags_are_the_most():
    words = [f"t{number}" for number in range(MOST_TAGS + 1)]
    assert len(check_tags([*words[:-1], "T0"])) == MOST_TAGS
    with pytest.raises(UserError, match="at most 10 tags, got 11"):
        check_tags(words)


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [([], True), (["a"], True), (["A", "b"], True), (["c"], False), (["a", "c"], False)],
)
def test_a_run_has_all_wanted_tags(wanted, expected):
    assert has_tags(("a", "B"), wanted) is expected


def test_the_tags_of_all_runs_are_listed_once_in_order():
    assert all_tags([("b", "C"), (), ("c", "a", "B")]) == ["a", "b", "C"]


# -- on runs --


def test_a_run_keeps_the_tags_that_it_was_made_with(store):
    run = store.create(RECIPE, tags=["Base", "base", "paper"])
    assert run.tags == ("Base", "paper")
    assert store.create(RECIPE).tags == ()


def test_a_run_with_bad_tags_is_not_made(store):
    with pytest.raises(UserError, match="got 'two words'"):
        store.create(RECIPE, tags=["two words"])
    assert store.list() == []


def test_tags_are_added_and_removed_in_any_spelling(store):
    run = store.create(RECIPE, tags=["Base"])
    assert store.change_tags(run.id, add=["base", "new"]).tags == ("Base", "new")
    assert store.change_tags(run.id, add=["third"], remove=["BASE", "never"]).tags == (
        "new",
        "third",
    )
    assert [found.tags for found in store.list()] == [("new", "third")]


def test_too_many_or_impossible_tags_change_nothing(store):
    run = store.create(RECIPE, tags=["a", "b"])
    for words in (["two words"], [f"t{number}" for number in range(9)]):
        with pytest.raises(UserError):
            store.change_tags(run.id, add=words)
    assert store.get(run.id).tags == ("a", "b")


def test_a_folder_of_an_older_version_has_no_tags(store):
    run = store.create(RECIPE)
    file = run.path / "config.json"
    config = json.loads(file.read_text())
    del config["tags"]
    file.write_text(json.dumps(config))
    assert store.get(run.id).tags == ()
    assert store.change_tags(run.id, add=["new"]).tags == ("new",)


def test_writers_at_the_same_time_lose_nothing(store):
    run = store.create(RECIPE, "old")
    with ThreadPoolExecutor(9) as pool:
        results = [pool.submit(store.change_tags, run.id, [f"t{number}"]) for number in range(8)]
        results.append(pool.submit(store.rename, run.id, "new"))
        for result in results:
            result.result()
    changed = store.get(run.id)
    assert (changed.name, len(changed.tags)) == ("new", 8)


def test_tags_survive_the_trash(store):
    run = store.create(RECIPE, tags=["kept"])
    store.delete(run.id)
    assert store.restore(run.id).tags == ("kept",)


@pytest.mark.parametrize("tag", ["m²", "½", "①", "größe", "日本"])
def test_a_tag_with_any_letters_and_digits_is_read_again(store, tag):
    run = store.create(RECIPE, tags=[tag])
    assert store.get(run.id).tags == (tag,)
    store.change_tags(run.id, add=["other"])
    assert store.get(run.id).tags == (tag, "other")
