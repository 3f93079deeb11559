"""Loads the data set that a run's parent was trained on."""

from pathlib import Path

from core import data
from core.data import Dataset
from core.errors import UserError
from core.models import check_side
from core.models.card import ModelCard
from core.training.setup import with_normalisation_of


def load_parent_dataset(card: ModelCard, data_root: Path) -> Dataset:
    """Return the data set of a saved network, with the network's own normalisation.

    Raises UserError if its classes or the size of its images do not fit the network.
    """
    dataset = data.load(card.dataset, data_root)
    if tuple(dataset.classes) != card.classes:
        raise UserError(
            f"The data set {card.dataset} has other classes than those that this network was"
            " trained on: import the data set that it was trained on."
        )
    check_side(card.model, dataset.side)
    return with_normalisation_of(card, dataset)
