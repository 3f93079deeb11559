"""The card of a saved network: what a reader of its weights must know to use them."""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, model_validator

_Deviation = Annotated[float, Field(gt=0)]


class ModelCard(BaseModel):
    """The network, its classes, how its images are normalised, and how it was made.

    model: the network's name in the registry. dataset: the data set that it was trained on, "" if
    unknown. classes: the names of the classes, in the order of the logits. mean, std: one number a
    channel, to normalise pixels in [0, 1]. side: height and width of the images in pixels. recipes:
    the recipes that made the network, as plain data, the oldest first.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())

    model: str = Field(min_length=1, max_length=200)
    dataset: str = ""
    classes: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[_Deviation, ...]
    side: int = Field(ge=1, le=65536)
    recipes: tuple[dict[str, Any], ...] = ()

    @model_validator(mode="after")
    def _check_mean_and_std(self) -> "ModelCard":
        if len(self.mean) != len(self.std):
            raise ValueError(
                f"mean and std must have the same length, got {len(self.mean)} and {len(self.std)}"
            )
        return self


def dataset_of(recipes: tuple[dict[str, Any], ...]) -> str:
    """Return the data set of the first recipe that names one, "" if none does."""
    for recipe in recipes:
        dataset = recipe.get("dataset")
        if isinstance(dataset, str):
            return dataset
    return ""
