"""Sweeps on disk: the same one is made once, points are added, and runs are shared."""

import json

import numpy as np
import pytest
from PIL import Image

from core.config import KMeansRecipe, TrainRecipe
from core.data import import_folder
from core.errors import UserError
from core.runs.sweeps.grid import Grid, Lists
from core.runs.sweeps.names import step_name
from core.runs.sweeps.store import SweepStore
from tests.sample_runs import sample_run

LISTS: Lists = {"model": ["LeNet5"], "dataset": ["Digits"], "prune.density": [0.1], "seed": [0, 1]}


@pytest.fixture
def sweeps(store):
    return SweepStore(store)


def chains(**changes):
    return Grid({**LISTS, **changes}).chains()


def test_the_same_sweep_asked_for_twice_is_one(sweeps):
    first = sweeps.create(chains(), "first")
    again = sweeps.create(chains(), "second")
    assert first.id == again.id
    assert again.name == "first"
    assert [sweep.id for sweep in sweeps.list()] == [first.id]
    assert first.state == "stopped"
    assert first.runs == []


def test_a_run_without_a_pattern_has_the_token_from_before_there_were_patterns(sweeps):
    plain, patterned = (
        sweeps.create(chains(**{"prune.pattern": [pattern], "prune.density": [0.5]}))
        for pattern in ("free", "2:4")
    )
    assert "pattern" not in plain.steps[0].token
    assert "2:4" in patterned.steps[0].token


def test_added_points_keep_those_that_are_there(sweeps):
    sweep = sweeps.create(chains())
    longer = sweeps.add(sweep.id, chains(seed=[1, 2]))
    assert longer.id == sweep.id
    assert [step.recipe.seed for step in longer.steps] == [0, 1, 2]
    assert {step.run_id for step in sweep.steps} < {step.run_id for step in longer.steps}


def test_two_sweeps_share_the_runs_that_they_both_have(sweeps):
    first = sweeps.create(chains())
    second = sweeps.create(chains(seed=[1, 2]))
    shared = {step.run_id for step in first.steps} & {step.run_id for step in second.steps}
    assert len(shared) == 1


def test_a_step_is_the_run_that_its_token_makes(sweeps, store):
    sweep = sweeps.create(chains())
    step = sweep.steps[0]
    run = store.create(step.recipe, token=step.token)
    assert run.id == step.run_id
    assert sweeps.get(sweep.id).runs == [run]
    assert [step.run_id for step in sweeps.missing(chains())] == [s.run_id for s in sweep.steps]


def test_chains_share_the_training_that_they_begin_with(sweeps):
    sweep = sweeps.create(Grid(LISTS, {"clusters": [8, 5]}).chains())
    assert len(sweep.members) == 4
    assert [step.recipe.kind for step in sweep.steps] == ["train", "kmeans", "kmeans"] * 2
    trained, shared, _ = sweep.steps[:3]
    assert shared.parent == trained.run_id
    assert step_name(sweep, trained) == "LeNet5 · Digits · 10% kept, seed 0"
    assert step_name(sweep, shared) == "LeNet5 · Digits · 10% kept, seed 0 · 8 clusters"


def test_names_tell_learning_rates_and_roundings_apart(sweeps, store):
    sweep = sweeps.create(chains(lr=[0.1, 0.05], **{"prune.density": [1, 0.1]}))
    names = [step_name(sweep, step) for step in sweep.steps]
    assert len(set(names)) == len(names) == 8
    assert "LeNet5 · Digits · dense, learning rate 0.05, seed 1" in names
    parent = sample_run(store)
    grid = Grid(None, {"clusters": [5], "rounding": ["nearest", "compensated"]})
    sweep = sweeps.create(grid.chains(), parent=parent.id)
    names = [step_name(sweep, step) for step in sweep.steps]
    assert names == ["5 clusters, rounding nearest", "5 clusters, rounding compensated"]


def test_what_cannot_be_swept(sweeps, store):
    with pytest.raises(UserError, match="at least one run"):
        sweeps.create([])
    with pytest.raises(UserError, match="at least one run"):
        sweeps.create([()])
    waiting = store.create(TrainRecipe(model="LeNet5", dataset="Digits"))
    with pytest.raises(UserError, match="has no result to start from: it is created"):
        sweeps.create([(KMeansRecipe(),)], parent=waiting.id)
    sweep = sweeps.create(chains())
    with pytest.raises(UserError, match="begins with another network"):
        sweeps.add(sweep.id, [(KMeansRecipe(),)], parent=sample_run(store).id)


@pytest.mark.parametrize("sweep_id", ["", "../../etc", "0123456789ab", "ABCDEF0123", "nothing-at"])
def test_ids_that_are_none(sweeps, sweep_id):
    with pytest.raises(UserError, match="is not a sweep's id"):
        sweeps.get(sweep_id)


def test_damaged_and_missing_sweeps(sweeps):
    with pytest.raises(UserError, match="There is no sweep"):
        sweeps.get("0123456789")
    sweep = sweeps.create(chains())
    (sweep.path / "sweep.json").write_text('{"id": 3')
    with pytest.raises(UserError, match="is damaged"):
        sweeps.get(sweep.id)
    assert sweeps.list() == []


def test_a_damaged_sweep_harms_no_other_and_is_made_again(sweeps):
    sweep = sweeps.create(chains())
    other = sweeps.create(chains(seed=[5]))
    content = (sweep.path / "sweep.json").read_text()
    for damage in ("{", content.replace(sweep.id, "copy"), '{"chains": []}'):
        (sweep.path / "sweep.json").write_text(damage)
        assert [found.id for found in sweeps.list()] == [other.id]
        with pytest.raises(UserError, match="is damaged"):
            sweeps.get(sweep.id)
    (sweeps.root / "not-a-sweep").mkdir()
    assert sweeps.create(chains()).id == sweep.id
    assert len(sweeps.list()) == 2


def test_what_changes_no_result_makes_no_other_run(sweeps):
    first = sweeps.create(chains())
    second = sweeps.create(chains(device=["cpu"], keep_every=[3], keep_mb=[7]))
    assert first.id == second.id
    assert sweeps.missing(chains(keep_every=[0]))[0].run_id == first.steps[0].run_id


def test_runs_keep_their_ids_when_recipes_gain_settings(sweeps):
    sweep = sweeps.create(chains())
    file = sweep.path / "sweep.json"
    config = json.loads(file.read_text())
    for chain in config["chains"]:
        del chain[0]["recipe"]["label_smoothing"]  # as if it had come later
    file.write_text(json.dumps(config))
    again = sweeps.get(sweep.id)
    assert [step.run_id for step in again.steps] == [step.run_id for step in sweep.steps]


def test_other_images_of_the_same_name_make_other_runs(store, tmp_path):
    folder = tmp_path / "pictures"
    for number, label in enumerate(["cat", "dog"] * 6):
        (folder / label).mkdir(parents=True, exist_ok=True)
        pixels = np.full((32, 32, 3), 20 * number, np.uint8)
        Image.fromarray(pixels).save(folder / label / f"{number}.png")
    root = tmp_path / "data"
    ids = []
    for _ in range(2):
        list(import_folder(folder, root, "pets", replace=True))
        sweeps = SweepStore(store, root)
        ids.append(sweeps.create(chains(dataset=["Folder/pets"])).id)
    assert ids[0] != ids[1]


def test_a_sweep_that_is_starting_is_not_deleted(sweeps):
    sweep = sweeps.create(chains())
    sweep.starting_file.touch()
    assert sweeps.get(sweep.id).alive
    with pytest.raises(UserError, match="is running: cancel it"):
        sweeps.delete(sweep.id)


def test_deleting_a_sweep_keeps_its_runs(sweeps, store):
    sweep = sweeps.create(chains())
    step = sweep.steps[0]
    run = store.create(step.recipe, token=step.token)
    sweeps.delete(sweep.id)
    assert sweeps.list() == []
    assert [found.id for found in store.list()] == [run.id]
