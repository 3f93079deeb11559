"""Counts which classes a model takes for which, and how two models differ in that.

Importing this module needs no torch.
"""

import numpy as np
from numpy.typing import NDArray

from core.data.imageset import Labels
from core.inspect.behaviour.answers import Answers
from core.inspect.behaviour.changes import Changes

ConfusionCounts = NDArray[np.int64]
"""Numbers of images (C, C): rows are the true classes, columns the predicted ones."""


def count_confusions(answers: Answers, labels: Labels) -> ConfusionCounts:
    """Return the confusion matrix, whose diagonal counts the right answers.

    labels: int64 (N,), in [0, C). Raises ValueError for others.
    """
    answers.check_labels(labels)
    classes = answers.class_count
    cells = labels * classes + answers.predicted
    return np.bincount(cells, minlength=classes**2).reshape(classes, classes)


def confusion_difference(changes: Changes) -> ConfusionCounts:
    """Return the confusion matrix of the second model minus that of the first.

    Every row has the sum 0, because both models answer the same images.
    """
    first = count_confusions(changes.first, changes.labels)
    second = count_confusions(changes.second, changes.labels)
    return second - first
