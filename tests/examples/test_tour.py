"""The example notebook: it runs as it stands, from its own folder and from the root, and shows what
it promises.
"""

from pathlib import Path

import pytest

nbformat, nbclient = pytest.importorskip("nbformat"), pytest.importorskip("nbclient")
pytest.importorskip("ipykernel")

ROOT = Path(__file__).parents[2]
TOUR = ROOT / "examples" / "tour.ipynb"
PROMISED = [
    "1,437 images to learn from",
    "of    450 weights kept",
    "test accuracy",
    "10.00% of the weights are not zero",
    "-> 6 unique weights",
    "times smaller than 248,024",
    "5 clusters, 8 bit",
    "The first image is a ",
]


@pytest.fixture
def tour():
    return nbformat.read(TOUR, as_version=4)


def check(tour):
    """Every cell ran in order and without an error, and the outputs are there."""
    code = [cell for cell in tour.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    outputs = [output for cell in code for output in cell.outputs]
    assert {output.output_type for output in outputs} == {"stream", "display_data"}
    printed = "".join(output.text for output in outputs if output.output_type == "stream")
    assert [words for words in PROMISED if words not in printed] == []
    assert [
        sum("image/png" in output.get("data", {}) for output in cell.outputs) for cell in code[-3:]
    ] == [2, 1, 5]


def test_it_is_stored_with_its_outputs_and_small(tour):
    nbformat.validate(tour)
    check(tour)
    assert TOUR.stat().st_size < 1_000_000
    assert str(ROOT) not in TOUR.read_text(encoding="utf-8")


def run(tour, folder):
    for cell in tour.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    nbclient.NotebookClient(
        tour, timeout=300, resources={"metadata": {"path": str(folder)}}
    ).execute()


def test_it_runs_from_the_root(tour):
    run(tour, ROOT)
    check(tour)


def test_it_starts_in_its_own_folder(tour):
    tour.cells = tour.cells[:2]  # the others do not depend on the folder
    run(tour, TOUR.parent)
    assert PROMISED[0] in tour.cells[1].outputs[0].text
