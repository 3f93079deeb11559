"""What pixels are normalised by: a data set's own figures, and those that other people's networks were trained with."""

from dataclasses import dataclass
from pathlib import Path

from core import data
from core.data import cifar

_FACTS = {"CIFAR10": cifar.CIFAR10, "CIFAR100": cifar.CIFAR100}


@dataclass(frozen=True)
class Normalisation:
    """Pixels in [0, 1] become (pixel - mean) / std, with one number each for red, green and blue."""

    mean: tuple[float, float, float]
    std: tuple[float, float, float]


USUAL = {
    "CIFAR-10, usual": Normalisation((0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)),
    "CIFAR-10, as in pytorch-cifar": Normalisation((0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010)),
    "CIFAR-100, usual": Normalisation((0.5071, 0.4865, 0.4409), (0.2673, 0.2564, 0.2762)),
    "ImageNet, usual": Normalisation((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "From -1 to 1": Normalisation((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
    "None: from 0 to 1": Normalisation((0.0, 0.0, 0.0), (1.0, 1.0, 1.0)),
}


def of(dataset: str, root: str | Path) -> Normalisation:
    """The data set's own figures; those of the CIFAR sets are known before they are on disk.

    Raises UserError for a data set that is neither known nor ready.
    """
    if dataset in _FACTS:
        return Normalisation(_FACTS[dataset].mean, _FACTS[dataset].std)
    loaded = data.load(dataset, root)
    return Normalisation(loaded.mean, loaded.std)
