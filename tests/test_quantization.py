"""The import in the original's text, in the new process of a notebook at the root."""

from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
IMPORT = "from quantization import QuantizeNetwork, VisualizeNetwork"


def test_the_originals_text_runs_in_a_notebook():
    nbformat = pytest.importorskip("nbformat")
    nbclient = pytest.importorskip("nbclient")
    pytest.importorskip("ipykernel")
    cells = [
        f"{IMPORT}\nprint(QuantizeNetwork.__module__, VisualizeNetwork.__module__)",
        "import torch\nfrom core import models\nmodel = models.build('LeNet5', 10)",
        "quantized = QuantizeNetwork()(model, 5)",
        "VisualizeNetwork().display_kernel(quantized)",
        "VisualizeNetwork().display_scatter_plot(model, quantized)",
        "VisualizeNetwork().display_activations(quantized, torch.randn(1, 3, 32, 32))",
    ]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    resources = {"metadata": {"path": str(ROOT)}}
    nbclient.NotebookClient(notebook, timeout=120, resources=resources).execute()
    modules, _, printed, *displayed = [cell.outputs for cell in notebook.cells]
    assert modules[0].text.split() == ["core.quantization", "core.visualization"]
    assert "features.0.weight: 450 -> 5 unique weights" in printed[0].text
    # Two convolutions, one plot, and the input with four ReLUs.
    assert [len(outputs) for outputs in displayed] == [2, 1, 5]
    assert all("image/png" in output.data for outputs in displayed for output in outputs)
