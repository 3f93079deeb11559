"""Own networks and timm's on the pages where networks are chosen."""

import importlib.util
import io

import pytest
import torch
from streamlit.testing.v1 import AppTest

from core import models
from core.runs import launch
from pages.parts.shared import shell
from pages.parts.shared.words import plain
from tests.core.models.outside.sources import GOOD, OTHER
from tests.pages.open_page import ENTRY, open_page

needs_timm = pytest.mark.skipif(
    importlib.util.find_spec("timm") is None,
    reason="timm is not installed: pip install -r requirements-timm.txt",
)


@pytest.fixture
def folder(own_folder):
    """The folder of own networks: a good one, and files that cannot be chosen."""
    for name in ("my_network", "my-network", "vgg16"):
        (own_folder / f"{name}.py").write_text(GOOD)
    (own_folder / "broken.py").write_text("y = 1\nx = [\n")
    return own_folder


def opened(page, **params):
    return open_page(AppTest.from_file(str(ENTRY), default_timeout=120), page, **params)


def errors(app):
    assert not app.exception
    return [item.value for item in app.error]


def test_train_lists_them_and_says_what_is_wrong(folder, digits):
    app = opened("train")
    assert app.segmented_control(key="family").options == [
        "Secateur",
        "torchvision",
        "timm",
        "Yours",
    ]
    warnings = [item.value for item in app.warning]
    assert [text.split(" is left out")[0] for text in warnings] == [
        plain(str(folder / name)) for name in ("my-network.py", "vgg16.py")
    ]
    assert not errors(app)
    app.segmented_control(key="family").set_value("Yours").run()
    assert app.selectbox(key="model").options == ["broken", "my_network"]
    assert errors(app) == [
        plain(f"{folder / 'broken.py'}, line 2: SyntaxError: '[' was never closed")
    ]
    assert app.button(key="launch").disabled
    app.selectbox(key="model").set_value("my_network").run()
    assert not errors(app)
    assert any("A test network" in item.value for item in app.caption)
    name = models.model_info("my_network").name
    assert f"--model {name} " in app.code[0].value
    app.segmented_control(key="family").set_value("Secateur").run()
    assert not errors(app)
    assert "--model LeNet5" in app.code[0].value


def test_an_edit_is_taken_up_and_a_link_survives_it(folder, digits, monkeypatch, store):
    monkeypatch.setattr(launch, "_spawn", lambda run, data: None)
    app = opened("train", model="my_network")
    before = models.model_info("my_network").name
    assert before in app.code[0].value
    app.button(key="launch").click().run()
    (run,) = store.list()
    assert run.recipe.model == before
    (folder / "my_network.py").write_text(OTHER)
    app = opened("train", **{"from": run.id})
    after = models.model_info("my_network").name
    assert after != before
    assert after in app.code[0].value


def test_a_sweep_takes_them(folder, digits):
    app = opened("sweep", models="my_network,LeNet5")
    assert not errors(app)
    assert models.model_info("my_network").name in app.code[0].value
    app.multiselect(key="models").set_value(["broken"]).run()
    assert "broken.py, line 2" in errors(app)[0].replace("\\", "")


def script(runs, root):

    from pathlib import Path

    from core.runs.store import RunStore
    from pages.parts.shared import import_network

    import_network.import_network_dialog(RunStore(runs), Path(root))


@pytest.fixture
def dialog(store, digits, monkeypatch):
    """The import dialog alone; no worker is spawned."""
    monkeypatch.setattr(launch, "_spawn", lambda run, data: None)
    monkeypatch.setattr(shell, "open_run", lambda run_id: None)
    where = {"runs": str(store.root), "root": str(digits)}
    return AppTest.from_function(script, default_timeout=120, kwargs=where).run()


def upload(dialog, network):
    file = io.BytesIO()
    torch.save(network.state_dict(), file)
    content = (f"{len(file.getvalue())}.pth", file.getvalue(), "application/octet-stream")
    dialog.file_uploader(key="net_upload").set_value(content).run()
    assert not dialog.exception


def test_the_dialog_recognises_them(folder, dialog):
    upload(dialog, models.build("my_network", 10))
    assert f"**{models.model_info('my_network').name}** for 10 classes" in dialog.success[0].value


@needs_timm
def test_the_dialog_takes_a_name_of_timm(dialog, store):
    upload(dialog, models.build("timm/test_resnet", 10))
    assert "fits none of" in dialog.error[0].value
    field = dialog.text_input(key="net_timm")
    field.set_value("no_such_network").run()
    assert "must be timm/ and a network of timm" in dialog.error[0].value
    field.set_value("test_convnext").run()
    assert "is no timm/test" in dialog.error[0].value.replace("\\", "")
    field.set_value("test_resnet").run()
    assert not dialog.error
    assert "for 10 classes" in dialog.success[0].value
    dialog.button(key="net_go").click().run()
    (run,) = store.list()
    assert run.recipe.model == "timm/test_resnet"


@needs_timm
def test_train_takes_a_name_of_timm(digits):
    app = opened("train", model="timm/test_resnet")
    assert app.segmented_control(key="family").value == "timm"
    assert not errors(app)
    assert "--model timm/test_resnet" in app.code[0].value
    app.text_input(key="model").set_value("test_vit").run()
    assert app.text_input(key="model").value == "timm/test_vit"
    assert "pixels, got 32 x 32" in errors(app)[0]
    app.segmented_control(key="family").set_value("torchvision").run()
    assert app.selectbox(key="model").value == "resnet18"
    assert not errors(app)
