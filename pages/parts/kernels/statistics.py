"""The table of a layer's statistics, and how to read its picture."""

from collections.abc import Sequence

import streamlit as st

from pages.parts.kernels.cached import KernelImage
from pages.parts.shared.words import part, plain, span


def draw_kernel_statistics(names: Sequence[str], images: Sequence[KernelImage]) -> None:
    """Draw a column of statistics for each image. Without `names`, there is one column."""
    headings = [plain(name) for name in names] or ["This layer"]
    lines = [f"| | {' | '.join(headings)} |", "|---|" + "---:|" * len(headings)]
    for label, values in _rows(images).items():
        lines.append(f"| {label} | {' | '.join(values)} |")
    st.markdown("\n".join(lines))
    st.caption(_legend(images))


def _rows(images: Sequence[KernelImage]) -> dict[str, list[str]]:
    columns = [image.statistics for image in images]
    rows = {
        "Shape": [column.size for column in columns],
        "Weights": [f"{column.weights:,}" for column in columns],
        "Zeros": [
            f"{column.zeros:,} ({part(column.zeros / column.weights)})" for column in columns
        ],
        "Range": [span(column.low, column.high) for column in columns],
        "Different values": [_different_values(column.distinct) for column in columns],
        "Outputs all zero": [
            f"{image.empty_channels} of {image.statistics.shape[0]}" for image in images
        ],
    }
    if any(column.non_finite for column in columns):
        rows["NaN or infinite"] = [f"{column.non_finite:,}" for column in columns]
    return rows


def _different_values(count: int | None) -> str:
    return "more than 256" if count is None else str(count)


def _legend(images: Sequence[KernelImage]) -> str:
    """Say how to read the pictures."""
    matrices = [image for image in images if image.view == "matrix"]
    mosaics = [image for image in images if image.view != "matrix"]
    sentences = []
    if matrices:
        sentences.append("A matrix has a row for each output and a column for each input.")
        sentences += _averaging(matrices)
    if mosaics:
        sentences.append("Each tile is an output channel, row by row from the top left.")
    if any(image.empty_channels for image in mosaics):
        sentences.append("A frame marks a channel whose weights are all zero.")
    if len(images) == 2 and images[0].scale == images[1].scale:
        sentences.append("Both pictures have the same scale.")
    return " ".join(sentences)


def _averaging(matrices: Sequence[KernelImage]) -> list[str]:
    """Return a sentence for each size of the blocks that were averaged."""
    blocks = dict.fromkeys(image.averaged for image in matrices if image.averaged != (1, 1))
    return [
        f"It is large: {rows} × {columns} weights are averaged into one."
        for rows, columns in blocks
    ]
