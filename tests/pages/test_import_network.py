"""The dialog that imports a network: what it finds out, what it asks for, and the run that it
makes.
"""

import io
import os
import pickle

import pytest
import torch
from streamlit.testing.v1 import AppTest

from core import models
from core.events import result_of
from core.forecast.normalisation import rank_normalisations
from core.models.card import ModelCard
from core.models.saved import model_bytes
from core.runs import launch
from core.runs.run import IMPORT_SOURCE
from pages.parts.shared import shell


def script(runs, root):
    from pathlib import Path

    from core.runs.store import RunStore
    from pages.parts.shared import import_network

    import_network.import_network_dialog(RunStore(runs), Path(root))


@pytest.fixture
def opened(monkeypatch):
    """The runs whose pages were opened; no worker is spawned."""
    ids: list[str] = []
    monkeypatch.setattr(launch, "_spawn", lambda run, data: None)
    monkeypatch.setattr(shell, "open_run", ids.append)
    return ids


@pytest.fixture
def dialog(store, digits, opened):
    """The dialog alone: in a test, a click inside one would run the page without it."""
    where = {"runs": str(store.root), "root": str(digits)}
    return AppTest.from_function(script, default_timeout=60, kwargs=where).run()


def state(classes=10):
    torch.manual_seed(0)
    return models.build("LeNet5", classes).state_dict()


def written(content):
    file = io.BytesIO()
    torch.save(content, file)
    return file.getvalue()


def upload(dialog, content, name="net.pth"):
    dialog.file_uploader(key="net_upload").set_value(
        (name, content, "application/octet-stream")
    ).run()
    assert not dialog.exception
    return dialog


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    """A checkpoint that the app reads once for tests that follow each other: it knows the path."""
    path = tmp_path_factory.mktemp("elsewhere") / "net.pth"
    path.write_bytes(written(state()))
    return path


@pytest.fixture(scope="module")
def renamed_file(tmp_path_factory):
    """The same weights under names that say less."""
    path = tmp_path_factory.mktemp("elsewhere") / "renamed.pth"
    weights = {name.replace("features", "body"): tensor for name, tensor in state().items()}
    path.write_bytes(written(weights))
    return path


def choose(dialog, path):
    dialog.segmented_control(key="net_kind").set_value("Path").run()
    dialog.text_input(key="net_path").set_value(str(path)).run()
    assert not dialog.exception
    return dialog


def figures(dialog):
    return tuple(
        tuple(
            dialog.number_input(key=f"net_{field}_{channel}").value
            for channel in ("red", "green", "blue")
        )
        for field in ("mean", "std")
    )


def test_nothing_is_asked_before_there_is_a_file(dialog):
    assert not dialog.exception
    assert not dialog.button
    assert not dialog.error


def test_an_upload_becomes_a_run(dialog, store, digits, opened):
    content = written(
        {"state_dict": {f"module.{name}": tensor for name, tensor in state().items()}}
    )
    upload(dialog, content)
    assert "**LeNet5** for 10 classes" in dialog.success[0].value
    assert dialog.selectbox(key="net_dataset").options == ["Digits"]
    best = likeliest(digits)
    assert dialog.selectbox(key="net_usual").value == best.name
    assert figures(dialog) == (best.normalisation.mean, best.normalisation.std)
    dialog.button(key="net_go").click().run()
    assert not dialog.exception
    (run,) = store.list()
    assert opened == [run.id]
    assert run.state == "starting"
    assert (run.path / IMPORT_SOURCE).read_bytes() == content
    recipe = run.recipe
    assert (
        recipe.file,
        recipe.model,
        recipe.dataset,
        recipe.mean,
        recipe.std,
        recipe.by_order,
    ) == (
        "net.pth",
        "LeNet5",
        "Digits",
        best.normalisation.mean,
        best.normalisation.std,
        False,
    )


def likeliest(digits):
    """The normalisation that comes first for the network of `state`."""
    model = models.build("LeNet5", 10).eval()
    model.load_state_dict(state())
    return result_of(rank_normalisations(model, "Digits", digits))[0]


def test_another_file_is_tried_anew(dialog, file):
    choose(dialog, file)
    first = dialog.selectbox(key="net_usual")
    assert all("%" in label for label in first.options)
    first.set_value("None: from 0 to 255").run()
    assert figures(dialog)[0] == (0.0, 0.0, 0.0)
    other = {name: -tensor for name, tensor in state().items()}
    dialog.segmented_control(key="net_kind").set_value("Upload").run()
    upload(dialog, written(other), "other.pth")
    box = dialog.selectbox(key="net_usual")
    assert box.options[0].startswith(box.value)


def test_two_clicks_make_one_run(dialog, store, file):
    choose(dialog, file)
    dialog.button(key="net_go").click().run()
    dialog.button(key="net_go").click().run()
    assert len(store.list()) == 1


def test_a_path_works_as_well(dialog, store, file):
    choose(dialog, file)
    dialog.button(key="net_go").click().run()
    assert not dialog.exception
    assert (store.list()[0].path / IMPORT_SOURCE).read_bytes() == file.read_bytes()


def test_usual_figures_fill_the_form_which_stays_editable(dialog, store, file):
    choose(dialog, file).selectbox(key="net_usual").select("ImageNet, usual").run()
    assert figures(dialog) == ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    dialog.number_input(key="net_std_blue").set_value(0.5).run()
    assert figures(dialog)[1] == (0.229, 0.224, 0.5)
    dialog.button(key="net_go").click().run()
    assert store.list()[0].recipe.std == (0.229, 0.224, 0.5)


def test_a_file_of_secateurs_brings_its_own_figures(dialog):
    card = ModelCard(
        model="LeNet5",
        dataset="Digits",
        classes=tuple("0123456789"),
        mean=(0.1, 0.2, 0.3),
        std=(0.4, 0.5, 0.6),
        side=32,
    )
    upload(dialog, model_bytes(state(), card), "own.safetensors")
    assert dialog.selectbox(key="net_usual").value == "As the file says"
    assert figures(dialog) == ((0.1, 0.2, 0.3), (0.4, 0.5, 0.6))


def test_names_that_differ_have_to_be_looked_at(dialog, store, renamed_file):
    choose(dialog, renamed_file)
    assert "matched by the structure of the network" in dialog.warning[0].value
    table = dialog.dataframe[0].value
    assert list(table.iloc[0]) == ["body.0.weight", "features.0.weight", "6 × 3 × 5 × 5"]
    assert len(table) == 10
    assert dialog.button(key="net_go").disabled
    dialog.toggle(key="net_sure").set_value(True).run()
    dialog.button(key="net_go").click().run()
    assert store.list()[0].recipe.by_order


def test_every_control_has_a_help_text(dialog, renamed_file):
    (uploader,) = dialog.file_uploader
    choose(dialog, renamed_file)
    for widget in [
        *dialog.number_input,
        *dialog.selectbox,
        *dialog.toggle,
        *dialog.button,
        *dialog.text_input,
        uploader,
    ]:
        assert widget.proto.help, widget.label


def test_names_that_mean_the_same_are_shown_and_need_no_confirmation(dialog, store):
    content = {name.replace("classifier", "fc"): tensor for name, tensor in state().items()}
    upload(dialog, written(content))
    label = dialog.expander[0].label
    assert label.startswith("10 tensors, all matched by their names, 6 in other words, as fc.0")
    assert list(dialog.dataframe[0].value.iloc[4])[:2] == ["fc.0.weight", "classifier.0.weight"]
    assert not dialog.toggle
    dialog.button(key="net_go").click().run()
    assert not store.list()[0].recipe.by_order


@pytest.mark.parametrize("path", ["/no/such/file.pt", "~nobody-here/x", "a\0b", "x" * 5000])
def test_paths_of_nothing(dialog, path):
    choose(dialog, path)
    assert "not a file" in dialog.error[0].value


class Evil:
    def __reduce__(self):
        return os.system, ("exit 1",)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (lambda: pickle.dumps(Evil()), "contains code"),
        (lambda: written({"![x](http://example.org/x.png)": torch.ones(2)}), "fits none of the"),
        pytest.param(lambda: written(state(7)), "has 7 classes", marks=pytest.mark.slow),
        pytest.param(lambda: b"hello", "is no checkpoint", marks=pytest.mark.slow),
    ],
)
def test_what_cannot_be_is_one_sentence_and_no_button(dialog, content, words):
    upload(dialog, content())
    assert words in dialog.error[0].value
    assert "![x](" not in dialog.error[0].value  # what a file contains draws no picture
    assert not [button for button in dialog.button if button.key == "net_go"]
