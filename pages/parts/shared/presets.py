"""Ready-made settings of a training, and the settings that the Train page starts with."""

from dataclasses import dataclass

from core.config import Prune, TrainRecipe

_MOST_VALIDATION_IMAGES = 5000
_VALIDATION_SHARE = 0.1


def usual_validation(train_images: int) -> int:
    """The number of images that the app holds back at first: a tenth, at most 5,000."""
    return min(_MOST_VALIDATION_IMAGES, int(_VALIDATION_SHARE * train_images))


# Runs at once on any machine, with the learning rate that LeNet5 needs. Everything else has the
# values of the original scripts.
START = TrainRecipe(model="LeNet5", dataset="Digits", lr=0.05, validation=usual_validation(1_437))


@dataclass(frozen=True)
class Preset:
    """A recipe to start from. `text` is its help text."""

    recipe: TrainRecipe
    text: str


PRESETS = {
    "Quick": Preset(
        TrainRecipe(
            model="LeNet5",
            dataset="Digits",
            prune=Prune(density=0.1),
            epochs=20,
            batch_size=32,
            lr=0.05,
            schedule="cosine",
            validation=START.validation,
        ),
        "LeNet5 on Digits, 10% kept. It takes seconds on any machine and downloads nothing.",
    ),
    "Laptop": Preset(
        TrainRecipe(
            model="ResNet20",
            dataset="CIFAR10",
            prune=Prune(density=0.2),
            epochs=15,
            train_images=10_000,
            validation=usual_validation(50_000),
            schedule="onecycle",
        ),
        "ResNet20 on 10,000 images of CIFAR10, 20% kept. It takes minutes without a GPU.",
    ),
    "Original": Preset(
        TrainRecipe(),
        "VGG16 on CIFAR10, 5% kept, 70 epochs, as in the original scripts. It needs a GPU.",
    ),
}
