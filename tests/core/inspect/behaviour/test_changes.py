"""Broken and fixed images by hand, and what holds for all answers."""

import numpy as np
import pytest
from sklearn.metrics import confusion_matrix

from core.errors import UserError
from core.inspect.behaviour.answers import Answers
from core.inspect.behaviour.changes import (
    Changes,
    both_wrong_images,
    broken_images,
    check_same_classes,
    compare_with_first,
    fixed_images,
)
from core.inspect.behaviour.confusion import confusion_difference, count_confusions
from core.inspect.behaviour.paired import PairedCounts

LABELS = np.array([0, 0, 0, 1, 1, 2, 2])


def answering(predicted, sureness=None):
    """Answers with these predicted classes of 3, the more confident the greater `sureness` is."""
    logits = np.zeros((len(predicted), 3), np.float32)
    sureness = [1.0] * len(predicted) if sureness is None else sureness
    logits[np.arange(len(predicted)), predicted] = sureness
    return Answers(logits)


def by_hand():
    first = answering([0, 0, 0, 0, 1, 2, 1], [1, 1, 1, 4, 1, 1, 5])
    second = answering([1, 2, 1, 1, 0, 2, 2], [2, 3, 2, 1, 1, 1, 1])
    return Changes(first, second, LABELS)


def random_changes(seed):
    generator = np.random.default_rng(seed)
    logits = generator.normal(size=(2, 200, 4)).astype(np.float32)
    return Changes(Answers(logits[0]), Answers(logits[1]), generator.integers(0, 4, 200))


def test_counts_by_hand():
    changes = by_hand()
    assert changes.counts == PairedCounts(both_right=1, broken=4, fixed=2, both_wrong=0)
    assert changes.counts_by_class == {
        0: PairedCounts(both_right=0, broken=3, fixed=0, both_wrong=0),
        1: PairedCounts(both_right=0, broken=1, fixed=1, both_wrong=0),
        2: PairedCounts(both_right=1, broken=0, fixed=1, both_wrong=0),
    }


def test_a_class_without_images_is_left_out():
    changes = Changes(answering([0, 2]), answering([0, 0]), np.array([0, 2]))
    assert list(changes.counts_by_class) == [0, 2]


def test_the_most_confident_wrong_answer_comes_first():
    changes = by_hand()
    assert broken_images(changes).tolist() == [1, 0, 2, 4]
    assert fixed_images(changes).tolist() == [6, 3]


def test_images_of_a_class_and_of_a_confusion():
    changes = by_hand()
    assert broken_images(changes, label=0).tolist() == [1, 0, 2]
    assert broken_images(changes, label=0, answer=1).tolist() == [0, 2]
    assert broken_images(changes, answer=0).tolist() == [4]
    assert broken_images(changes, label=0, answer=0).tolist() == []
    assert fixed_images(changes, label=2).tolist() == [6]
    assert fixed_images(changes, label=1, answer=0).tolist() == [3]
    assert fixed_images(changes, label=1, answer=2).tolist() == []


def test_confusions_by_hand():
    changes = by_hand()
    first = [[3, 0, 0], [1, 1, 0], [0, 1, 1]]
    second = [[0, 2, 1], [1, 1, 0], [0, 0, 2]]
    assert count_confusions(changes.first, LABELS).tolist() == first
    assert count_confusions(changes.second, LABELS).tolist() == second
    assert confusion_difference(changes).tolist() == [[-3, 2, 1], [0, 0, 0], [0, -1, 1]]


@pytest.mark.parametrize("seed", range(3))
def test_the_confusions_are_those_of_scikit_learn(seed):
    changes = random_changes(seed)
    expected = confusion_matrix(changes.labels, changes.first.predicted, labels=range(4))
    assert np.array_equal(count_confusions(changes.first, changes.labels), expected)


def test_images_that_both_models_get_wrong():
    first, second = answering([1, 2, 0, 0]), answering([1, 1, 1, 0], [1, 3, 2, 1])
    changes = Changes(first, second, np.array([0, 0, 0, 0]))
    assert changes.both_wrong.tolist() == [True, True, False, False]
    assert both_wrong_images(changes, second, label=0, answer=1).tolist() == [1, 0]
    assert both_wrong_images(changes, first, label=0, answer=1).tolist() == [0]
    assert both_wrong_images(changes, first, label=1).tolist() == []


def test_a_class_that_never_occurs_has_its_row_and_column():
    counts = count_confusions(answering([0, 1]), np.array([0, 0]))
    assert counts.tolist() == [[1, 1, 0], [0, 0, 0], [0, 0, 0]]
    with pytest.raises(ValueError, match="labels must"):
        count_confusions(answering([0, 1]), np.array([0, 3]))


@pytest.mark.parametrize("seed", range(5))
def test_every_image_is_counted_once_and_swapping_swaps(seed):
    changes = random_changes(seed)
    swapped = Changes(changes.second, changes.first, changes.labels)
    counts = changes.counts
    assert counts.images == 200
    assert counts.first_accuracy == pytest.approx(changes.first.right(changes.labels).mean())
    assert counts.second_accuracy == pytest.approx(changes.second.right(changes.labels).mean())
    assert broken_images(changes).tolist() == fixed_images(swapped).tolist()
    assert fixed_images(changes).tolist() == broken_images(swapped).tolist()
    assert np.array_equal(confusion_difference(changes), -confusion_difference(swapped))
    by_class = changes.counts_by_class.values()
    assert sum(each.broken for each in by_class) == counts.broken == len(broken_images(changes))
    assert sum(each.images for each in by_class) == 200


@pytest.mark.parametrize("seed", range(5))
def test_the_confusions_and_the_changes_agree(seed):
    changes = random_changes(seed)
    difference = confusion_difference(changes)
    assert not difference.sum(1).any()
    assert difference.trace() == changes.counts.fixed - changes.counts.broken
    cells = [broken_images(changes, label, answer) for label in range(4) for answer in range(4)]
    assert sorted(np.concatenate(cells)) == sorted(broken_images(changes))


def test_a_model_does_not_differ_from_itself():
    changes = Changes(by_hand().first, by_hand().first, LABELS)
    assert (changes.counts.broken, changes.counts.fixed) == (0, 0)
    assert broken_images(changes).tolist() == fixed_images(changes).tolist() == []
    assert not confusion_difference(changes).any()


def test_answers_for_other_images_are_refused():
    with pytest.raises(ValueError, match="the same images"):
        Changes(answering([0, 1]), answering([0]), np.array([0, 1]))
    with pytest.raises(ValueError, match="labels must"):
        Changes(answering([0, 1]), answering([0, 1]), np.array([0]))


def test_up_to_four_models_are_compared_with_the_first():
    models = {name: answering([index % 3] * 7) for index, name in enumerate("ABCD")}
    changes = compare_with_first(models, LABELS)
    assert list(changes) == ["B", "C", "D"]
    assert all(each.first is models["A"] for each in changes.values())
    assert changes["C"].second is models["C"]


def test_different_classes_are_refused_in_one_sentence():
    with pytest.raises(UserError) as error:
        check_same_classes({"A": ("x", "y", "z"), "B": ("x", "z", "y")})
    assert str(error.value) == (
        "The answers of A and B cannot be compared, because class 1 is 'y' in A and 'z' in B:"
        " choose models of the same classes."
    )


def test_different_numbers_of_classes_are_refused():
    check_same_classes({"A": ("x", "y"), "B": ["x", "y"]})
    with pytest.raises(UserError, match="because A has 2 classes and C has 3"):
        check_same_classes({"A": ("x", "y"), "B": ["x", "y"], "C": ("x", "y", "z")})
