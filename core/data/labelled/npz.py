"""Images and labels of an .npz file, under the names that Keras, MedMNIST and others use."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from core.data.folder.source_files import printable
from core.data.imageset import Labels, Pixels
from core.data.labelled.npz_arrays import StoredArray, array_names, find_array
from core.data.labelled.source import (
    LabelledSource,
    StoredImage,
    check_count,
    labels_of_numbers,
    tidy_names,
)
from core.data.picture import MAX_PICTURE_BYTES, to_square
from core.errors import UserError

# Names of images and their labels, in small letters. The first pair that is there is taken.
# Keras's mnist.npz has x_train; MedMNIST has train_images; numpy names what has no name arr_0.
_TRAIN = (("x_train", "y_train"), ("train_images", "train_labels"), ("train_x", "train_y"))
_VALIDATION = (
    ("x_val", "y_val"),
    ("x_valid", "y_valid"),
    ("val_images", "val_labels"),
    ("valid_images", "valid_labels"),
    ("validation_images", "validation_labels"),
)
_TEST = (("x_test", "y_test"), ("test_images", "test_labels"), ("test_x", "test_y"))
_UNDIVIDED = (("images", "labels"), ("x", "y"), ("data", "labels"), ("arr_0", "arr_1"))
_CLASS_NAMES = ("names", "classes", "class_names", "label_names")


@dataclass(frozen=True)
class _Part:
    """Images with their labels. values: the labels as they are stored, integers or texts (N,)."""

    images: StoredArray
    values: NDArray[np.generic]


def open_npz(path: Path) -> LabelledSource:
    """Return the images of an .npz file. Only labels and headers are read yet.

    It takes the arrays images and labels, or x_train, y_train, x_test and y_test, or train_images,
    train_labels ...; and, if they are there, the names of the classes as names or classes. Images
    are (N, H, W), (N, H, W, 3) or (N, 3, H, W), uint8 or floats in [0, 1]. Validation images are
    the test images if there are no others. Raises UserError for anything else.
    """
    members = array_names(path)
    train = _find_part(path, members, _TRAIN)
    validation = _find_part(path, members, _VALIDATION)
    test = _find_part(path, members, _TEST)
    undivided = _find_part(path, members, _UNDIVIDED) if train is None else None
    first = train or undivided
    if first is None:
        found = ", ".join(sorted(members))[:200] or "none"
        raise UserError(
            f"{path} has no images and labels: it takes the arrays images and labels, or x_train,"
            f" y_train, x_test and y_test. Its arrays are: {printable(found)}."
        )
    notes = []
    if test and validation:
        left_out = len(validation.values)
        notes.append(f"The {left_out:,} validation images were left out: there are test images.")
    tested = test or validation
    parts = [first, tested] if tested else [first]
    return _source_of(path, members, parts, notes)


def _source_of(
    path: Path, members: dict[str, str], parts: list[_Part], notes: list[str]
) -> LabelledSource:
    """Return the first part as training images and the second, if there is one, as test images."""
    total = sum(len(part.values) for part in parts)
    check_count(total, str(path))
    labels, classes = _labels_of(parts, _class_names(path, members), str(path))
    is_test = None
    if len(parts) > 1:
        is_test = np.arange(total) >= len(parts[0].values)
    for part in parts:
        if part.images.dtype.kind == "f":
            notes.append(
                f"{part.images.name} has {part.images.dtype} values in [0, 1]: they were rounded to"
                " 8 bits."
            )
    return LabelledSource(
        name=printable(str(path)),
        classes=classes,
        labels=labels,
        is_test=is_test,
        contents=partial(_contents, [part.images for part in parts]),
        square=_square,
        notes=tuple(notes),
    )


def _find_part(
    path: Path, members: dict[str, str], pairs: tuple[tuple[str, str], ...]
) -> _Part | None:
    """Return the first pair of images and labels that is there, None if there is none."""
    for images_name, labels_name in pairs:
        if images_name not in members:
            continue
        if labels_name not in members:
            raise UserError(f"{path} has {images_name}, but not their labels, {labels_name}.")
        images = find_array(path, members[images_name])
        _check_images(images)
        values = _read_labels(find_array(path, members[labels_name]))
        if len(values) != images.shape[0]:
            raise UserError(
                f"{path} has {images.shape[0]:,} images in {images.name}, but {len(values):,}"
                f" labels in {labels_name}."
            )
        return _Part(images, values)
    return None


def _check_images(images: StoredArray) -> None:
    """Raise UserError unless shape and type are those of images."""
    check_count(images.shape[0], f"{images.name} in {images.path}")
    has_channels = len(images.shape) == 4 and (
        images.shape[3] in (1, 3) or images.shape[1] in (1, 3)
    )
    if not (len(images.shape) == 3 or has_channels) or min(images.shape) < 1:
        raise UserError(
            f"{images.name} has the shape {images.shape}: images are (N, H, W), (N, H, W, 3) or"
            " (N, 3, H, W)."
        )
    if images.dtype != np.uint8 and images.dtype.kind != "f":
        raise UserError(
            f"{images.name} has {images.dtype} values: images are uint8, or floats in [0, 1]."
        )
    if images.row_bytes > MAX_PICTURE_BYTES:
        raise UserError(f"{images.name} has the shape {images.shape}: its images are too large.")


def _read_labels(labels: StoredArray) -> NDArray[np.generic]:
    """Return labels as they are stored, integers or texts (N,)."""
    if max(labels.shape[1:], default=1) != 1:
        raise UserError(
            f"{labels.name} has the shape {labels.shape}: labels are (N,), a number for each image."
        )
    if labels.dtype.kind not in "iubU":
        raise UserError(f"{labels.name} has {labels.dtype} values: labels are integers.")
    return labels.read().reshape(-1)


def _class_names(path: Path, members: dict[str, str]) -> list[str] | None:
    for name in _CLASS_NAMES:
        if name in members:
            stored = find_array(path, members[name])
            if stored.dtype.kind not in "US" or len(stored.shape) != 1:
                raise UserError(f"{stored.name} has {stored.dtype} values: class names are texts.")
            values = stored.read()
            if stored.dtype.kind == "S":
                return [value.decode("utf-8", "replace") for value in values.tolist()]
            return values.tolist()
    return None


def _labels_of(
    parts: list[_Part], names: list[str] | None, what: str
) -> tuple[Labels, tuple[str, ...]]:
    """Return the labels of all parts in [0, C), and the names of the C classes."""
    values = np.concatenate([part.values for part in parts])
    if values.dtype.kind == "U":
        texts, labels = np.unique(values, return_inverse=True)
        return labels.astype(np.int64), tidy_names([str(text) for text in texts.tolist()], what)
    if values.dtype.kind == "u" and values.max() > np.iinfo(np.int64).max:
        raise UserError(f"{what} has the label {values.max()}, which is too large.")
    return labels_of_numbers(values.astype(np.int64), names, what)


def _contents(arrays: list[StoredArray]) -> Iterator[StoredImage]:
    """Read the images one at a time. Raises UserError for values that are no pixels."""
    for array in arrays:
        for chunk in array.chunks():
            if chunk.dtype.kind == "f":
                _check_range(chunk, array.name)
            yield from chunk


def _check_range(chunk: NDArray[np.generic], name: str) -> None:
    low = float(chunk.min())
    high = float(chunk.max())
    if math.isnan(low):
        raise UserError(f"{name} has values that are NaN: floats must be in [0, 1].")
    if low < 0 or high > 1:
        raise UserError(
            f"{name} has values from {low:g} to {high:g}: floats must be in [0, 1]. Scale them, or"
            " save them as uint8."
        )


def _square(content: StoredImage, side: int) -> Pixels:
    """Return one image, (H, W), (H, W, C) or (C, H, W), as uint8 (3, side, side)."""
    pixels = np.asarray(content)
    if pixels.dtype.kind == "f":
        pixels = np.rint(pixels.astype(np.float64) * 255)
    pixels = pixels.astype(np.uint8)
    if pixels.ndim == 3 and pixels.shape[2] not in (1, 3):
        pixels = pixels.transpose(1, 2, 0)
    pixels = np.atleast_3d(pixels)
    in_rgb = np.broadcast_to(pixels, (*pixels.shape[:2], 3))
    if in_rgb.shape[:2] == (side, side):
        return in_rgb.transpose(2, 0, 1)
    return to_square(Image.fromarray(np.ascontiguousarray(in_rgb)), side)
