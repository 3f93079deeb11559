"""The card of a saved network: what a reader of its weights must know to use them."""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

_Mean = Annotated[float, Field(allow_inf_nan=False)]
_Deviation = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class ModelCard(BaseModel):
    """The network, its classes, how its images are normalised, and how it was made.

    model: the network's name in the registry. dataset: the data set that it was trained on, "" if
    unknown. classes: the names of the classes, in the order of the logits. mean, std: numbers for
    red, green and blue, to normalise pixels in [0, 1]. side: height and width of the images in
    pixels. recipes: the recipes that made the network, as plain data, the oldest first.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())

    model: str = Field(min_length=1, max_length=200)
    dataset: str = ""
    classes: tuple[str, ...]
    mean: tuple[_Mean, _Mean, _Mean]
    std: tuple[_Deviation, _Deviation, _Deviation]
    side: int = Field(ge=1, le=65536)
    recipes: tuple[dict[str, Any], ...] = ()

    @property
    def is_quantized(self) -> bool:
        """Whether the weights have few values: one of the recipes quantized the network.

        Pruning afterwards puts it into float again, because it may change the kept weights.
        """
        return bool({"kmeans", "affine", "budget"} & self._kinds_since_pruning)

    @property
    def shares_weights(self) -> bool:
        """Whether the weights of a layer share the centroids of a codebook."""
        return "kmeans" in self._kinds_since_pruning

    @property
    def _kinds_since_pruning(self) -> set[str]:
        kinds = [_kind_of(recipe) for recipe in self.recipes]
        pruned = [index for index, kind in enumerate(kinds) if kind == "prune"]
        return set(kinds[pruned[-1] :]) if pruned else set(kinds)


def _kind_of(recipe: dict[str, Any]) -> str:
    """Return the kind of a recipe. A budget of time only prunes."""
    is_time_budget = recipe.get("kind") == "budget" and recipe.get("faster") is not None
    return "prune" if is_time_budget else str(recipe.get("kind"))


def dataset_of(recipes: tuple[dict[str, Any], ...]) -> str:
    """Return the data set of the first recipe that names one, "" if none does."""
    for recipe in recipes:
        dataset = recipe.get("dataset")
        if isinstance(dataset, str):
            return dataset
    return ""
