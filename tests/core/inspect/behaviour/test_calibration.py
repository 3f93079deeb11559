"""The calibration of six images by hand."""

import numpy as np
import pytest

from core.inspect.behaviour.answers import Answers
from core.inspect.behaviour.calibration import count_margins, measure_reliability

CONFIDENCES = np.array([0.55, 0.58, 0.85, 0.82, 0.95, 0.98])
LABELS = np.array([0, 1, 0, 0, 0, 1])


def confident(confidences):
    """Answers that give class 0 of 2 these probabilities."""
    probabilities = np.stack([confidences, 1 - confidences], 1)
    return Answers(np.log(probabilities).astype(np.float32))


def test_reliability_by_hand():
    reliability = measure_reliability(confident(CONFIDENCES), LABELS)
    assert reliability.edges == pytest.approx(np.arange(16) / 15)
    filled = {8: (2, 0.565, 0.5), 12: (2, 0.835, 1.0), 14: (2, 0.965, 0.5)}
    for index in range(15):
        count, confidence, accuracy = filled.get(index, (0, np.nan, np.nan))
        assert reliability.counts[index] == count
        assert reliability.confidence[index] == pytest.approx(confidence, nan_ok=True)
        assert reliability.accuracy[index] == pytest.approx(accuracy, nan_ok=True)
    # Two of six images each: |0.5 - 0.565|, |1 - 0.835| and |0.5 - 0.965|.
    expected = (0.065 + 0.165 + 0.465) / 3
    assert reliability.expected_calibration_error == pytest.approx(expected, abs=1e-6)


def test_a_bin_holds_its_upper_edge():
    answers = Answers(np.array([[0, 0], [200, 0]], np.float32))
    reliability = measure_reliability(answers, np.array([0, 0]), bins=2)
    assert answers.confidence.tolist() == [0.5, 1.0]
    assert reliability.counts.tolist() == [1, 1]
    assert reliability.expected_calibration_error == pytest.approx(0.25)


def test_a_model_that_is_always_sure_errs_by_its_error_rate():
    answers = Answers(np.array([[200, 0]] * 4, np.float32))
    reliability = measure_reliability(answers, np.array([0, 0, 0, 1]))
    assert reliability.counts[-1] == 4
    assert reliability.expected_calibration_error == pytest.approx(0.25)


def test_every_image_is_in_one_bin():
    generator = np.random.default_rng(0)
    answers = Answers(generator.normal(size=(500, 7)).astype(np.float32))
    labels = generator.integers(0, 7, 500)
    reliability = measure_reliability(answers, labels)
    assert reliability.counts.sum() == count_margins(answers, labels).counts.sum() == 500
    mean_confidence = np.nansum(reliability.counts * reliability.confidence) / 500
    assert mean_confidence == pytest.approx(answers.confidence.mean())
    gap = abs(answers.right(labels).mean() - mean_confidence)
    assert gap <= reliability.expected_calibration_error <= 1


def test_margins_by_hand():
    # The margins are 0.1, -0.16, 0.7, 0.64, 0.9 and -0.96.
    histogram = count_margins(confident(CONFIDENCES), LABELS, bins=4)
    assert histogram.edges.tolist() == [-1, -0.5, 0, 0.5, 1]
    assert histogram.counts.tolist() == [1, 1, 1, 3]


def test_wrong_answers_are_in_the_lower_half():
    answers = confident(CONFIDENCES)
    histogram = count_margins(answers, LABELS)
    assert histogram.edges[20] == 0
    assert histogram.counts[:20].sum() == (~answers.right(LABELS)).sum()
