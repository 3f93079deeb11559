"""The mean and deviation that pixels are normalised by, of data sets and of well-known networks."""

from dataclasses import dataclass
from pathlib import Path

from core.config import PerChannel
from core.data import load
from core.data.cifar import CIFAR_SETS


@dataclass(frozen=True)
class Normalisation:
    """Pixels in [0, 1] become (pixel - mean) / std, with one number per colour channel."""

    mean: PerChannel
    std: PerChannel


USUAL_NORMALISATIONS = {
    "CIFAR-10, usual": Normalisation((0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)),
    "CIFAR-10, as in pytorch-cifar": Normalisation(
        (0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010)
    ),
    "CIFAR-100, usual": Normalisation((0.5071, 0.4865, 0.4409), (0.2673, 0.2564, 0.2762)),
    "ImageNet, usual": Normalisation((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "From -1 to 1": Normalisation((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
    "None: from 0 to 1": Normalisation((0.0, 0.0, 0.0), (1.0, 1.0, 1.0)),
    "None: from 0 to 255": Normalisation((0.0, 0.0, 0.0), (1 / 255, 1 / 255, 1 / 255)),
}


def normalisation_of(dataset: str, root: str | Path) -> Normalisation:
    """Return the mean and deviation of a data set. Those of the CIFAR sets need no files.

    Any other data set is prepared first if need be. Raises UserError for an unknown name.
    """
    if dataset in CIFAR_SETS:
        facts = CIFAR_SETS[dataset]
        return Normalisation(facts.mean, facts.std)
    loaded = load(dataset, root)
    return Normalisation(loaded.mean, loaded.std)
