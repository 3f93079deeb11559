"""The index is a copy of what the folders say: right after any change, and never needed."""

import sqlite3
import threading

import pytest

from core.config import KMeansRecipe, TrainRecipe
from core.runs import listing
from core.runs.index import INDEX, IndexedRun, read_index, update_index
from core.runs.run import Status, write_status
from core.runs.store import RunStore
from tests.sample_runs import make_older

pytestmark = pytest.mark.usefixtures("nothing_read")

RECIPE = TrainRecipe(model="LeNet5", dataset="Digits")
MANY = 100
"""So many runs that are over make an index."""

ROW = IndexedRun("a" * 10, "1 2 3", b"{}", b"{}")
OTHER = IndexedRun("b" * 10, "4 5 6", b'{"x": 1}', b"")


def end(run, state="finished"):
    write_status(run.path, Status(state=state, epoch=3))
    return make_older(run)


@pytest.fixture
def many(store):
    """A store with MANY runs that are over, which were listed once."""
    for number in range(MANY):
        end(store.create(RECIPE, f"run {number}"))
    store.list()
    listing.forget_runs()
    return store


def test_rows_are_kept_replaced_and_removed(tmp_path):
    update_index(tmp_path, [ROW, OTHER], {ROW.id, OTHER.id})
    assert sorted(read_index(tmp_path), key=lambda row: row.id) == [ROW, OTHER]
    newer = IndexedRun(ROW.id, "7 8 9", b"{}", b"{}")
    update_index(tmp_path, [newer], {ROW.id})
    assert read_index(tmp_path) == [newer]


def test_a_folder_without_an_index_has_no_rows_and_gets_no_file(tmp_path):
    assert read_index(tmp_path) == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("content", [b"", b"no database", b"SQLite format 3\0" + b"\xff" * 4096])
def test_a_damaged_index_is_made_anew(tmp_path, content):
    (tmp_path / INDEX).write_bytes(content)
    assert read_index(tmp_path) == []
    update_index(tmp_path, [ROW], {ROW.id})
    assert read_index(tmp_path) == [ROW]


ENDLESS = """
    create view runs as with recursive endless(n) as (select 1 union all select n + 1 from endless)
    select n as id, '1' as stamp, '{}' as config, '{}' as status from endless
"""


@pytest.mark.parametrize("schema", ["create table runs (id text)", ENDLESS])
def test_an_index_with_other_tables_is_made_anew(tmp_path, schema):
    with sqlite3.connect(tmp_path / INDEX) as other:
        other.execute(schema)
    assert read_index(tmp_path) == []
    update_index(tmp_path, [ROW], {ROW.id})
    assert read_index(tmp_path) == [ROW]


def test_an_index_with_a_trigger_is_made_anew(tmp_path):
    update_index(tmp_path, [ROW], {ROW.id})
    with sqlite3.connect(tmp_path / INDEX) as other:
        other.execute("create trigger empty after insert on runs begin delete from runs; end")
    assert read_index(tmp_path) == []
    update_index(tmp_path, [OTHER], {OTHER.id})
    assert read_index(tmp_path) == [OTHER]


def test_a_huge_value_is_not_read_and_goes_with_the_next_update(tmp_path):
    update_index(tmp_path, [ROW], {ROW.id})
    with sqlite3.connect(tmp_path / INDEX) as other:
        other.execute("insert into runs values ('huge', '', zeroblob(20000000), '')")
    assert read_index(tmp_path) == []
    update_index(tmp_path, [], {ROW.id})
    assert read_index(tmp_path) == [ROW]


def test_an_index_that_cannot_be_written_hurts_nobody(tmp_path):
    (tmp_path / INDEX).mkdir()
    update_index(tmp_path, [ROW], {ROW.id})
    assert read_index(tmp_path) == []


def test_a_busy_index_is_left_alone(tmp_path):
    update_index(tmp_path, [ROW], {ROW.id})
    with sqlite3.connect(tmp_path / INDEX) as other:
        other.execute("begin exclusive")
        assert read_index(tmp_path) == []
        update_index(tmp_path, [OTHER], {OTHER.id})
        other.rollback()
    assert read_index(tmp_path) == [ROW]


def test_another_process_reads_no_folder_of_a_run_that_is_over(many, reads):
    waiting = make_older(many.create(RECIPE, "waiting"))
    runs = many.list()
    assert reads == [waiting.id]
    (many.root / INDEX).unlink()
    listing.forget_runs()
    assert many.list() == runs
    assert len(reads) == MANY + 2


def test_few_runs_make_no_index(store):
    for _ in range(3):
        end(store.create(RECIPE))
    store.list()
    assert not (store.root / INDEX).exists()


@pytest.mark.parametrize(
    "change",
    [
        lambda store, run: write_status(run.path, Status(state="failed", message="x")),
        lambda store, run: store.rename(run.id, "another"),
        lambda store, run: store.change_tags(run.id, add=["good"]),
        lambda store, run: store.delete(run.id),
        lambda store, run: (run.path / "config.json").unlink(),
    ],
)
def test_a_run_that_changed_is_read_again_and_no_other(many, reads, change):
    run = many.list()[7]
    listing.forget_runs()
    change(many, run)
    reads.clear()
    listed = many.scan()
    assert set(reads) <= {run.id}
    (many.root / INDEX).unlink()
    listing.forget_runs()
    assert many.scan() == listed


def test_rows_that_nobody_could_have_written_are_left_out(many, reads):
    with sqlite3.connect(many.root / INDEX) as index:
        ids = [row[0] for row in index.execute("select id from runs order by id limit 4")]
        index.execute("update runs set stamp = 'x' where id = ?", ids[:1])
        index.execute("update runs set config = '{' where id = ?", ids[1:2])
        index.execute("update runs set status = 3 where id = ?", ids[2:3])
        index.execute("update runs set stamp = null where id = ?", ids[3:4])
    assert len(many.list()) == MANY
    assert sorted(reads) == ids


def test_a_model_in_the_index_is_the_model_in_the_folder(many):
    parent = many.list()[0]
    (parent.path / "model.safetensors").write_bytes(b"")
    recipe = KMeansRecipe(clusters=5)
    for _ in range(MANY):
        end(many.create(recipe, parent=parent.id), "cancelled")
    first = many.list()
    listing.forget_runs()
    assert RunStore(many.root).list() == first


def test_processes_may_list_and_index_at_the_same_time(many):
    """Threads stand for them: each opens the file for itself."""
    rows = read_index(many.root)
    ids = {row.id for row in rows}
    threads = [threading.Thread(target=update_index, args=(many.root, rows, ids)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {row.id for row in read_index(many.root)} == ids
