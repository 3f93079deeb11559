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
        """Whether one of the recipes quantized the network."""
        return any(recipe.get("kind") in ("kmeans", "affine") for recipe in self.recipes)


def dataset_of(recipes: tuple[dict[str, Any], ...]) -> str:
    """Return the data set of the first recipe that names one, "" if none does."""
    for recipe in recipes:
        dataset = recipe.get("dataset")
        if isinstance(dataset, str):
            return dataset
    return ""
