"""Data sets that are larger than the memory of a process may be, in real processes with limits."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from core.data import import_images, load
from core.data.isolated import import_images_isolated
from core.events import Progress

pytestmark = pytest.mark.skipif(
    not Path("/proc/self/status").exists(), reason="this system does not limit the memory"
)

COUNT = 8_000
SIDE = 64  # 98 MB of pixels
SPARE = 50  # MB that the child may have beside its modules

LIMIT = """
import resource
from pathlib import Path

def limit(spare):
    "Allow this process so many MB of memory more. Files that are mapped do not count."
    text = Path("/proc/self/status").read_text()
    used = int(text.split("VmData:")[1].split()[0]) * 1024
    resource.setrlimit(resource.RLIMIT_DATA, (used + spare * 10**6,) * 2)
"""


def run_limited(code, *arguments):
    """Run code in a child that has imported its modules before `limit` is called."""
    words = [sys.executable, "-c", LIMIT + code, *map(str, arguments)]
    return subprocess.run(words, capture_output=True, text=True)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("large")


@pytest.fixture(scope="module")
def npz(folder):
    images = np.random.default_rng(0).integers(0, 256, (COUNT, SIDE, SIDE, 3), np.uint8)
    labels = np.arange(COUNT) % 10
    np.savez(folder / "a.npz", x_train=images, y_train=labels, x_test=images[:9], y_test=labels[:9])
    return folder / "a.npz"


@pytest.fixture(scope="module")
def root(npz, folder):
    """The folder of the data sets, with the large one in it."""
    list(import_images([npz], folder / "data", "large", SIDE))
    return folder / "data"


IMPORT = """
import sys, core.data, core.data.labelled.parquet
limit({spare})
list(core.data.import_images([sys.argv[1]], sys.argv[2], "large", {side}))
"""


def test_an_npz_is_imported_in_little_memory(npz, tmp_path):
    result = run_limited(IMPORT.format(spare=SPARE, side=SIDE), npz, tmp_path)
    assert result.returncode == 0, result.stderr
    dataset = load("Folder/large", tmp_path)
    assert dataset.train.images.shape == (COUNT, 3, SIDE, SIDE)


def test_an_import_that_is_stopped_leaves_nothing(npz, tmp_path):
    events = import_images_isolated([npz], tmp_path, "large", SIDE)
    for event in events:
        if isinstance(event, Progress) and event.stage == "Reading images":
            assert event.done < event.total
            break
    assert (tmp_path / "Folder" / ".preparing-large").exists()
    events.close()
    assert [path.name for path in tmp_path.rglob("*")] == ["Folder", ".large.lock"]


def test_the_limit_is_one(npz):
    code = f"import sys, numpy\nlimit({SPARE})\nnumpy.load(sys.argv[1])['x_train']"
    assert "MemoryError" in run_limited(code, npz).stderr


def test_a_row_group_of_parquet_is_not_read_at_once(tmp_path):
    generator = np.random.default_rng(0)
    pictures = []
    for number in range(1000):
        path = tmp_path / "picture.bmp"
        Image.fromarray(generator.integers(0, 256, (8, 8, 3), np.uint8)).save(path)
        # What comes after a picture in its file is not looked at.
        pictures.append(path.read_bytes() + bytes([number % 256]) * 100_000)
    table = pa.table({"image": pictures, "label": [0, 1] * 500})
    pq.write_table(table, tmp_path / "a.parquet", row_group_size=1000, write_batch_size=10)
    result = run_limited(IMPORT.format(spare=SPARE, side=8), tmp_path / "a.parquet", tmp_path)
    assert result.returncode == 0, result.stderr
    dataset = load("Folder/large", tmp_path)
    assert len(dataset.train) + len(dataset.test) == 1000


def test_a_folder_is_imported_in_little_memory(tmp_path):
    for label in "ab":
        (tmp_path / "pets" / label).mkdir(parents=True)
        for number in range(60):
            pixels = np.random.default_rng(ord(label) + number).integers(
                0, 256, (9, 9, 3), np.uint8
            )
            Image.fromarray(pixels).save(tmp_path / "pets" / label / f"{number}.png")
    # At this size, the images take 94 MB.
    result = run_limited(IMPORT.format(spare=SPARE, side=512), tmp_path / "pets", tmp_path)
    assert result.returncode == 0, result.stderr


EPOCH = """
import sys
from core.data import load
from core.data.batches import DeviceImages, epoch_plan

dataset = load("Folder/large", sys.argv[1])
images = DeviceImages(dataset.train, dataset.mean, dataset.std, "cpu")
order, augmentation = epoch_plan(len(images), 0, 0, augment=True)
images.batch(order[:64], augmentation)
limit({spare})
for batch in order.split(64):
    images.batch(batch, augmentation)
for start in range(0, len(images), 64):
    images.batch(slice(start, start + 64))
assert images.images.data_ptr() == dataset.train.images.ctypes.data
try:
    dataset.train.images.copy()
except MemoryError:
    print("fits not")
"""


def test_an_epoch_reads_the_map_and_never_holds_it(root):
    result = run_limited(EPOCH.format(spare=SPARE), root)
    assert result.returncode == 0, result.stderr
    assert result.stdout == "fits not\n"
