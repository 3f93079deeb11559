"""A network, and the files that it is saved in."""

import pytest
import torch

from core.models import build, saved
from core.models.card import ModelCard


def card(model):
    return ModelCard(
        model=model,
        dataset="Digits",
        classes=tuple("0123456789"),
        mean=(0.5,) * 3,
        std=(0.25,) * 3,
        side=32,
    )


@pytest.fixture
def lenet():
    torch.manual_seed(0)
    return build("LeNet5", 10)


@pytest.fixture
def write(tmp_path):
    """A function that saves a state dict as a file, of LeNet5 if no other network is named."""

    def write(name, state, model="LeNet5"):
        path = tmp_path / f"{name}.safetensors"
        path.write_bytes(saved.model_bytes(state, card(model)))
        return path

    return write
