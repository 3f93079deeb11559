"""The recipes: a frozen, validated description of each thing that can be run.

A form, a command line and a file all become a recipe before anything starts. After that nothing is
validated again. The description of a field is its help text in the forms and in `--help`.
"""

from typing import Annotated, Literal

from pydantic import Field

from core.config.budget import BudgetKind, BudgetRecipe
from core.config.deploying import AnswersRecipe, Int8Recipe, LatencyRecipe
from core.config.fields import (
    PATTERN_DENSITIES,
    Method,
    Pattern,
    PerChannel,
    Precision,
    PrecisionChoice,
    Schedule,
    ScoreMode,
    Seed,
)
from core.config.folders import data_root, models_root, runs_root
from core.config.pruning import LayerDensities, PruneRecipe, TrainedMethod
from core.config.quantizing import AffineRecipe, KMeansRecipe
from core.config.training import ImportRecipe, Prune, TrainRecipe
from core.config.validation import validate_recipe

Recipe = Annotated[
    TrainRecipe
    | ImportRecipe
    | KMeansRecipe
    | AffineRecipe
    | PruneRecipe
    | BudgetRecipe
    | Int8Recipe
    | AnswersRecipe
    | LatencyRecipe,
    Field(discriminator="kind"),
]
QuantizeRecipe = KMeansRecipe | AffineRecipe
CompressRecipe = QuantizeRecipe | PruneRecipe
"""The recipes that change a trained network."""
QuantizeKind = Literal["kmeans", "affine"]


__all__ = [
    "PATTERN_DENSITIES",
    "AffineRecipe",
    "AnswersRecipe",
    "BudgetKind",
    "BudgetRecipe",
    "CompressRecipe",
    "ImportRecipe",
    "Int8Recipe",
    "KMeansRecipe",
    "LatencyRecipe",
    "LayerDensities",
    "Method",
    "Pattern",
    "PerChannel",
    "Precision",
    "PrecisionChoice",
    "Prune",
    "PruneRecipe",
    "QuantizeKind",
    "QuantizeRecipe",
    "Recipe",
    "Schedule",
    "ScoreMode",
    "Seed",
    "TrainRecipe",
    "TrainedMethod",
    "data_root",
    "models_root",
    "runs_root",
    "validate_recipe",
]
