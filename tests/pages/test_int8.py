"""A network in 8-bit integers on the pages: shown as a result, and left out where weights are."""

from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from core.config import Int8Recipe
from core.models.card import ModelCard
from core.models.saved import model_bytes
from core.runs.run import INT8, MODEL, write_status
from tests.sample_runs import sample_run, summary_of

ROOT = Path(__file__).parents[2]
CARD = ModelCard(
    model="LeNet5",
    dataset="Digits",
    classes=tuple("0123456789"),
    mean=(0.5, 0.5, 0.5),
    std=(0.2, 0.2, 0.2),
    side=32,
)


def opened(page, **query):
    app = AppTest.from_file(str(ROOT / "streamlit_app.py"), default_timeout=90).run()
    app.switch_page(f"pages/{page}.py")
    for name, value in query.items():
        app.query_params[name] = value
    app.run()
    assert not app.exception
    return app


@pytest.fixture
def parent(store):
    from core.models import build

    run = sample_run(store, name="parent")
    (run.path / MODEL).write_bytes(model_bytes(build("LeNet5", 10).state_dict(), CARD))
    return run


@pytest.fixture
def integers(store, parent):
    """A finished run with 90.5% of 1,000 test images right, where its parent has 91%."""
    run = store.create(Int8Recipe(float_last=True), parent=parent.id)
    (run.path / INT8).write_bytes(b"x" * 12_345)
    summary = summary_of(
        run,
        test_accuracy=0.905,
        best_accuracy=0.905,
        parent_accuracy=0.91,
        onnx_bytes=12_345,
        test_images=1000,
        classes=10,
    )
    status = {"state": "finished", "summary": summary, "test_accuracy": 0.905, "kept": 1200}
    write_status(run.path, run.status.model_copy(update=status))
    return store.get(run.id)


def test_its_page_tells_the_outcome_and_offers_the_file(integers):
    app = opened("runs", run=integers.id)
    outcome = app.success[0].value
    assert "In 8-bit integers it gets **90.50%**" in outcome
    assert "0.50 points less than before (91.00%), as an ONNX file of 12.3 kB" in outcome
    assert any("integer kernels ran the file" in caption.value for caption in app.caption)
    metrics = {metric.label: metric.value for metric in app.metric}
    assert metrics["ONNX file"] == "12.3 kB"
    file, _ = app.get("download_button")  # the other one is the run as a zip
    assert file.label == "ONNX in integers (12.3 kB)"
    assert "next_step" not in [button.key for button in app.button]
    assert [tab.label for tab in app.tabs] == ["Log", "Settings", "Command"]


def test_the_table_says_how_it_was_made(integers):
    table = opened("runs").dataframe[0].value
    assert "8-bit integers, last layer in float" in table["kind"].tolist()


@pytest.mark.parametrize(
    ("page", "key"),
    [("weights", "a"), ("kernels", "a"), ("activations", "a"), ("quantize", "run")],
)
def test_pages_of_weights_leave_it_out(integers, parent, page, key):
    app = opened(page, **{key: integers.id})
    options = [text for box in app.selectbox for text in box.options]
    assert any("parent" in text for text in options)
    assert not any("8-bit integers" in text for text in options)


def test_it_is_compared_with_its_parent(integers, parent):
    app = opened("compare", runs=f"{parent.id},{integers.id}")
    table = next(frame.value for frame in app.dataframe if "kind" in frame.value)
    row = table[table["kind"] == "integers"].iloc[0]
    assert row["size"] == pytest.approx(12.345)
    assert row["accuracy"] == pytest.approx(90.5)
