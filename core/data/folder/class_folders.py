"""Find the class of every file, and divide the images into training and test images."""

from dataclasses import dataclass, field

import numpy as np

from core.data.disk import Split
from core.data.folder.source_files import SourceFile, printable
from core.errors import UserError

# The first of these folders that exists holds the test images.
_TEST_FOLDERS = ("test", "val", "valid", "validation")
_TEST_SHARE = 0.2
MAX_CLASSES = 10_000


@dataclass(frozen=True, slots=True)
class ClassFile:
    """A file in a class folder.

    label: name of the class. split: "train" or "test" if the folders say so, else None.
    """

    file: SourceFile
    label: str
    split: Split | None


@dataclass
class ReadImages:
    """The images that could be read, in the order in which they were.

    labels: name of the class of each image.
    splits: "train" or "test" for each image if the folders say so, else None.
    hashes: SHA-256 of the file of each image.
    skipped: name of each file that could not be read, with the reason.
    """

    labels: list[str] = field(default_factory=list)
    splits: list[Split | None] = field(default_factory=list)
    hashes: list[bytes] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)


def find_classes(files: list[SourceFile], source: str) -> list[ClassFile]:
    """Return the files that lie in class folders, sorted by class and name.

    source: its name in error messages. Raises UserError if there are fewer than two classes, more
    than 10,000, or class names that cannot be printed.
    """
    paths = _without_outer_folders([(file.parts, file) for file in files])
    class_files = _given_splits(paths)
    if class_files is None:
        class_files = [
            ClassFile(file, label=parts[0], split=None) for parts, file in paths if len(parts) > 1
        ]
    _check_classes(sorted({file.label for file in class_files}), source)
    return sorted(class_files, key=lambda file: (file.label, file.file.parts))


_Path = tuple[tuple[str, ...], SourceFile]  # the parts of a path, without outer folders


def _without_outer_folders(paths: list[_Path]) -> list[_Path]:
    """Remove folders around everything, such as pets/ around pets/cat/1.png and pets/README.md."""
    while True:
        inner = [(parts[1:], file) for parts, file in paths if len(parts) > 2]
        top_folders = {parts[0] for parts, _ in paths if len(parts) > 1}
        if not inner or len(top_folders) > 1:
            return paths
        paths = inner


def _given_splits(paths: list[_Path]) -> list[ClassFile] | None:
    """Return the files of a source with a training and a test folder; None if it has not both."""
    top_folders = {parts[0].lower(): parts[0] for parts, _ in paths if len(parts) > 2}
    test_folders = [top_folders[name] for name in _TEST_FOLDERS if name in top_folders]
    if "train" not in top_folders or not test_folders:
        return None
    splits: dict[str, Split] = {top_folders["train"]: "train", test_folders[0]: "test"}
    return [
        ClassFile(file, label=parts[1], split=splits[parts[0]])
        for parts, file in paths
        if len(parts) > 2 and parts[0] in splits
    ]


def _check_classes(classes: list[str], source: str) -> None:
    if not classes:
        raise UserError(
            f"{source} holds no images in class folders: it takes one folder a class, with images"
            " in it."
        )
    if len(classes) == 1:
        raise UserError(
            f"{source} holds only one class folder, {classes[0]!r}: a classifier takes two or more."
        )
    if len(classes) > MAX_CLASSES:
        raise UserError(
            f"{source} holds {len(classes):,} class folders: up to {MAX_CLASSES:,} are taken."
        )
    for label in classes:
        if printable(label) != label or len(label) > 100:
            raise UserError(
                f"Class folders take names of up to 100 printable letters, got {label[:100]!r}."
            )


def divide_images(images: ReadImages) -> tuple[list[str], np.ndarray]:
    """Return the sorted class names, and for each image whether it is a test image, bool (N,).

    Raises UserError if the readable images cannot train and test a classifier.
    """
    classes = sorted(set(images.labels))
    if len(classes) == 1:
        raise UserError(
            f"Only the class {classes[0]!r} has images that can be read: a classifier takes two or"
            " more."
        )
    if images.splits[0] is None:
        is_test = split_by_content(images.labels, images.hashes)
    else:
        is_test = np.array([split == "test" for split in images.splits])
        _check_training_images(classes, images)
    if not is_test.any():
        raise UserError(
            "No class has a second, different image to test on: give every class at least two."
        )
    return classes, is_test


def _check_training_images(classes: list[str], images: ReadImages) -> None:
    pairs = zip(images.labels, images.splits, strict=True)
    classes_in_training = {label for label, split in pairs if split == "train"}
    for label in classes:
        if label not in classes_in_training:
            raise UserError(
                f"The class {label!r} has test images but no training image that can be read."
            )


def split_by_content(labels: list[str], hashes: list[bytes]) -> np.ndarray:
    """Return for each image whether it is a test image, bool (N,), by the hash of its file.

    If all images of a class would be training images, the one with the smallest hash becomes a test
    image. If all would be test images, the one with the largest hash becomes a training image.
    """
    hashes_of_class: dict[str, set[bytes]] = {}
    for label, content_hash in zip(labels, hashes, strict=True):
        hashes_of_class.setdefault(label, set()).add(content_hash)
    test_hashes: dict[str, set[bytes]] = {}
    for label, class_hashes in hashes_of_class.items():
        chosen = {content_hash for content_hash in class_hashes if _falls_in_test(content_hash)}
        if not chosen and len(class_hashes) > 1:
            chosen = {min(class_hashes)}
        elif chosen == class_hashes:
            chosen = class_hashes - {max(class_hashes)}
        test_hashes[label] = chosen
    return np.array(
        [
            content_hash in test_hashes[label]
            for label, content_hash in zip(labels, hashes, strict=True)
        ]
    )


def _falls_in_test(content_hash: bytes) -> bool:
    """Return True for a fifth of all hashes: those whose first 64 bits are a small number."""
    return int.from_bytes(content_hash[:8], "big") < _TEST_SHARE * 2**64
