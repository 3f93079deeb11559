"""Planning by the time: more time never does less, and the least is always done."""

import pytest

from core.search.plan import (
    MOST_IMAGES,
    MOST_TRIALS,
    MOST_TUNING_EPOCHS,
    SearchPace,
    count_held_back_images,
    count_joint_images,
    count_trials,
    count_tuning_images,
    plan_table,
)

PACE = SearchPace(image=0.003, option=2.0, layers=20)
COUNTS = [20, 14, 8]
SECONDS = [0, 1, 10, 60, 120, 300, 1200, 7200, 10**6]


def amount(plan):
    return ["few", "usual", "all"].index(plan.detail), plan.images


def test_more_time_measures_more():
    amounts = [amount(plan_table(PACE, seconds, COUNTS)) for seconds in SECONDS]
    assert amounts == sorted(amounts)
    assert amounts[0] == (0, 0)  # nearest rounding, if there is no time for more
    assert amounts[-1] == (2, MOST_IMAGES)


@pytest.mark.parametrize(("images", "detail"), [(64, "few"), (255, "few"), (256, "all")])
def test_a_wanted_number_of_images_is_taken_whatever_the_time(images, detail):
    for seconds in SECONDS:
        plan = plan_table(PACE, seconds, COUNTS, images)
        assert (plan.images, plan.detail) == (images, detail)


def test_trials_and_tuning_grow_with_the_time_up_to_their_most():
    trials = [count_trials(PACE, seconds, judging=512) for seconds in SECONDS]
    assert trials == sorted(trials)
    assert (trials[0], trials[-1]) == (0, MOST_TRIALS)
    images = [count_tuning_images(PACE, seconds, 50_000, 1000) for seconds in SECONDS]
    assert images == sorted(images)
    assert (images[0], images[-1]) == (0, MOST_TUNING_EPOCHS * 50_000)


def test_tuning_takes_no_more_than_its_time():
    seconds = 300
    images = count_tuning_images(PACE, seconds, 50_000, 0)
    assert images * 5 * PACE.image == pytest.approx(seconds, rel=0.01)


def test_all_layers_together_are_rounded_on_at_least_as_many_images_as_single_ones():
    images = [count_joint_images(PACE, seconds, table_images=0) for seconds in SECONDS]
    assert images == sorted(images)
    assert (images[0], images[-1]) == (0, MOST_IMAGES)
    assert count_joint_images(PACE, 0, table_images=128) == 128


def test_candidates_are_always_compared_on_some_images():
    assert count_held_back_images(PACE, 0) == 64
    assert count_held_back_images(PACE, 3600) > 1000
