"""The command line of any run."""

from core.commands.budget import budget_command
from core.commands.import_network import import_command
from core.commands.int8_flags import int8_command
from core.commands.prune import prune_command
from core.commands.quantize import quantize_command
from core.commands.train import train_command
from core.config import (
    AffineRecipe,
    BudgetRecipe,
    ImportRecipe,
    Int8Recipe,
    KMeansRecipe,
    PruneRecipe,
    TrainRecipe,
)
from core.runs.run import Run


def command_of(run: Run) -> str | None:
    """Return the command line that makes this run from its parent.

    None for a run that only measures its parent, and never has a network of its own.
    """
    parent = run.config.parent or "RUN"
    match run.recipe:
        case TrainRecipe() as recipe:
            return train_command(recipe)
        case ImportRecipe() as recipe:
            return import_command(recipe)
        case KMeansRecipe() | AffineRecipe() as recipe:
            return quantize_command(recipe, parent)
        case PruneRecipe() as recipe:
            return prune_command(recipe, parent)
        case BudgetRecipe() as recipe:
            return budget_command(recipe, parent)
        case Int8Recipe() as recipe:
            return int8_command(recipe, parent)
        case _:
            return None
