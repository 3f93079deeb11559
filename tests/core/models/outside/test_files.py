"""Finding files of own networks and their versions. None of these files is run."""

import hashlib

import pytest

from core import models
from core.config import models_root
from core.errors import UserError
from core.models import own_networks, plain_name
from core.models.outside.files import NetworkFile, find_file
from tests.core.models.outside.sources import FOR_ONE_SIDE, GOOD, OTHER


def test_there_are_none_without_the_folder(tmp_path, monkeypatch):
    assert models_root() is None
    assert own_networks().names == own_networks().problems == ()
    monkeypatch.setenv("SECATEUR_MODELS", str(tmp_path / "missing"))
    assert own_networks().problems == (
        f"SECATEUR_MODELS must be a folder, got {tmp_path / 'missing'}",
    )


def test_files_are_listed_and_not_run(own, tmp_path):
    mark = tmp_path / "ran"
    own(f"open({str(mark)!r}, 'w')", "first")
    own(GOOD, "second")
    own(GOOD, "_helper")
    assert own_networks().names == ("first", "second")
    assert not own_networks().problems
    assert not mark.exists()


@pytest.mark.parametrize("name", ["my-network", "2nd", "class", "a b"])
def test_a_name_that_is_no_identifier_is_refused(own, name):
    path = own(GOOD, name)
    own(GOOD, "good")
    assert own_networks().names == ("good",)
    assert own_networks().problems == (
        f"{path} is left out: its name must be letters, digits and _, such as my_network.py.",
    )
    with pytest.raises(UserError, match="is left out"):
        models.model_info(name)


@pytest.mark.parametrize("name", ["VGG16", "vgg16", "resnet20", "RESNET18", "alexnet"])
def test_a_built_in_network_keeps_its_name(own, name):
    path = own(OTHER, name)
    own(GOOD, "good")
    assert own_networks().names == ("good",)
    assert own_networks().problems == (
        f"{path} is left out: {name} is a built-in network, so rename the file.",
    )
    info = models.model_info("alexnet")
    assert info.parameters == 61_100_840
    assert type(models.build_on_meta("VGG16", 10)).__module__ == "core.models.networks"


def test_the_name_in_a_recipe_has_the_version(own):
    file = find_file(own().stem)
    assert file is not None
    digits = hashlib.sha256(GOOD.encode()).hexdigest()
    assert file.sha256 == digits
    assert file.name == f"my_network@{digits[:12]}"
    assert find_file(file.name) == file
    assert plain_name(file.name) == "my_network"
    assert plain_name("timm/a@b") == "timm/a@b"


def test_a_version_that_changed_or_is_gone(own, monkeypatch):
    path = own(f"{GOOD}# a process that has built a version keeps it, and none builds this one")
    before = NetworkFile(path, path.read_bytes()).name
    own(OTHER)
    after = NetworkFile(path, path.read_bytes()).name
    with pytest.raises(UserError, match=f"{before} was built from another version") as changed:
        models.build(before, 10)
    assert f"now begins with {after.partition('@')[2]}: bring that version back" in str(
        changed.value
    )
    path.unlink()
    with pytest.raises(UserError, match=r"my_network\.py, which is gone: bring it back"):
        models.build_on_meta(before, 10)
    monkeypatch.delenv("SECATEUR_MODELS")
    with pytest.raises(UserError, match="set SECATEUR_MODELS to the folder of that file"):
        models.check_side(before, 32)


def test_what_cannot_be_read_is_left_out(own, own_folder):
    own()
    (own_folder / "folder.py").mkdir()
    assert own_networks().names == ("my_network",)
    assert own_networks().problems == (
        f"{own_folder / 'folder.py'} cannot be read (Is a directory).",
    )
    (own_folder / "folder.py").rmdir()


@pytest.mark.parametrize("name", ["../my_network@0123456789ab", "my_network@xyz", "..", "a/b", ""])
def test_no_name_leads_out_of_the_folder(own, name):
    own()
    assert find_file(name) is None


def test_the_side_is_read_without_running_the_file(own):
    own(f"raise SystemExit\n{FOR_ONE_SIDE}")
    models.check_side("my_network", 8)
    with pytest.raises(UserError, match="takes images of exactly 8 x 8 pixels, got 32 x 32"):
        models.check_side("my_network", 32)


@pytest.mark.parametrize("side", ["0", "'8'", "4 * 8", "True", "9999"])
def test_a_side_must_be_a_number(own, side):
    path = own(f"\nSIDE = {side}\n")
    with pytest.raises(UserError, match="SIDE must be a whole number") as wrong:
        models.check_side("my_network", 32)
    assert str(wrong.value).startswith(f"{path}, line 2: ")


def test_the_docstring_describes_the_network(own):
    path = own()
    assert NetworkFile(path, path.read_bytes()).description == "A test network."
    path = own(FOR_ONE_SIDE)
    assert NetworkFile(path, path.read_bytes()).description == "Your network in my_network.py."


def test_an_unknown_name_lists_own_networks(own):
    own()
    with pytest.raises(UserError, match=r"one of your own \(my_network\).*did you mean my_network"):
        models.model_info("my_networt", field="--model")
