"""Checks before a search: the limit is not below the smallest file, and the layers exist."""

from core.compress.packed.ledger import Ledger
from core.compress.quantization.weights import check_names
from core.config import BudgetRecipe
from core.config.budget import NOTHING_FITS
from core.errors import UserError
from core.jobs.budget.candidates import pack_network
from core.models.parameters import prunable_weights
from core.models.saved import SavedModel
from core.search.options import smallest_items


def check_smallest(recipe: BudgetRecipe, parent: SavedModel) -> None:
    """Raise UserError if the recipe's limit of bytes is below the smallest file of a network."""
    if recipe.bytes is None and recipe.smaller is None:
        return
    ledger = smallest_file(recipe, parent)
    limit = recipe.byte_limit(ledger.float_bytes)
    if limit is not None and ledger.total > limit:
        smallest = smallest_limit(recipe, parent)
        raise UserError(
            f"{NOTHING_FITS} {limit:,} bytes: the smallest has"
            f" {smallest:,} bytes. Allow at least so many, or prune the network first."
        )


def check_choices(recipe: BudgetRecipe, parent: SavedModel) -> None:
    """Raise UserError if the recipe's choices name a layer that the network does not have."""
    check_names(recipe.layers, list(prunable_weights(parent.network())))


def smallest_file(recipe: BudgetRecipe, parent: SavedModel) -> Ledger:
    """Return the ledger of the smallest packed file that a budget can reach without tuning."""
    _, items = smallest_items(recipe.kinds, prunable_weights(parent.network()))
    _, ledger = pack_network(recipe, parent, parent.state, items)
    return ledger


def smallest_limit(recipe: BudgetRecipe, parent: SavedModel) -> int:
    """Return the smallest number of bytes that works as a limit.

    The file holds its recipe, whose digits can take a byte more or less.
    """
    _, items = smallest_items(recipe.kinds, prunable_weights(parent.network()))

    def size_with(limit: int) -> int:
        limited = recipe.model_copy(update={"bytes": limit, "smaller": None})
        return len(pack_network(limited, parent, parent.state, items)[0])

    limit = 1
    while size_with(limit) > limit:
        limit = size_with(limit)
    while size_with(limit - 1) <= limit - 1:
        limit -= 1
    return limit
