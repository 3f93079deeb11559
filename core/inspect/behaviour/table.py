"""Writes the answers of several models for every image as a table in a CSV file."""

import csv
import io
from collections.abc import Iterator, Mapping, Sequence

from core.data.imageset import Labels
from core.inspect.behaviour.answers import Answers


def answers_csv(answers: Mapping[str, Answers], labels: Labels, classes: Sequence[str]) -> bytes:
    """Return a row for each image: its position in the test set, its class, and the answers.

    answers: by the model's name, which begins the titles of its three columns: the predicted class,
    its probability in [0, 1], and 1 for a right answer or 0 for a wrong one.
    """
    text = io.StringIO()
    writer = csv.writer(text)
    titles = [
        f"{name}: {column}" for name in answers for column in ("answer", "confidence", "right")
    ]
    writer.writerow(["image", "class", *titles])
    writer.writerows(_rows(list(answers.values()), labels, classes))
    return text.getvalue().encode()


def _rows(
    answers: Sequence[Answers], labels: Labels, classes: Sequence[str]
) -> Iterator[list[str | int]]:
    for image, label in enumerate(labels):
        row: list[str | int] = [image, classes[label]]
        for model in answers:
            predicted = model.predicted[image]
            confidence = f"{model.confidence[image]:.6f}"
            row += [classes[predicted], confidence, int(predicted == label)]
        yield row
