"""Grad-CAM of a network whose map is known in closed form.

The network is a convolution, the mean over all positions, and a linear layer. The gradient of a
class's logit is the linear layer's weight / positions everywhere in a channel, so the map is the
ReLU of the channels, weighted so and added up.
"""

import sys

import pytest
import torch
from torch import nn

from core.errors import UserError
from core.inspect.behaviour.gradcam import grad_cam, grad_cam_layers
from tests import toys

WEIGHT = torch.tensor([[2.0, -1.0], [-1.0, 3.0], [-1.0, -1.0]])


class Toy(nn.Module):
    """Passes the red and green channels on, pooled by `stride`, and weights their means.

    The ReLU changes nothing, for images whose values are greater than zero.
    """

    def __init__(self, stride=1, in_place=False):
        super().__init__()
        self.conv = nn.Conv2d(3, 2, stride, stride, bias=False)
        self.conv.weight.data.zero_()
        self.conv.weight.data[0, 0] = 1 / stride**2
        self.conv.weight.data[1, 1] = 1 / stride**2
        self.drop = nn.Dropout(0.5)
        self.relu = nn.ReLU(in_place)
        self.head = nn.Linear(2, 3, bias=False)
        self.head.weight.data = WEIGHT.clone()

    def forward(self, images):
        return self.head(self.drop(self.relu(self.conv(images)).mean((2, 3))))


@pytest.fixture(autouse=True)
def _captum():
    pytest.importorskip("captum")


def picture(height=2, width=3):
    return torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("class_index", [0, 1, 2])
@pytest.mark.parametrize("in_place", [False, True])
def test_the_map_is_the_one_in_closed_form(class_index, in_place):
    image = picture()
    red, green, _ = image[0]
    of_red, of_green = WEIGHT[class_index]
    expected = torch.relu(of_red * red + of_green * green) / 6
    result = grad_cam(Toy(in_place=in_place), "conv", image, class_index)
    assert result.shape == (2, 3)
    assert not result.requires_grad
    assert torch.allclose(result, expected)


def test_a_layer_that_speaks_against_the_class_has_a_map_of_zeros():
    assert not grad_cam(Toy(), "conv", picture(), 2).any()


def test_a_smaller_map_is_upsampled_bilinearly():
    image = torch.ones(1, 3, 2, 4)
    image[0, 0] = torch.tensor([1.0, 1.0, 5.0, 5.0])
    # The map is 2 * (1, 5) / 2 positions, minus that of green, 1 * (1, 1) / 2 positions.
    result = grad_cam(Toy(stride=2), "conv", image, 0)
    assert torch.allclose(result, torch.tensor([[0.5, 1.5, 3.5, 4.5]]).expand(2, 4))


def test_the_model_and_the_image_are_left_unchanged():
    model = toys.Flat(dropout=0.5).train()
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    images, _ = toys.batch(1)
    with torch.no_grad():
        result = grad_cam(model, "conv", images, 3)
        assert torch.equal(result, grad_cam(model, "conv", images, 3))
    assert result.shape == (8, 8)
    assert model.training
    assert model.drop.training
    assert not images.requires_grad
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, before[name])
    for parameter in model.parameters():
        assert parameter.grad is None
        assert not parameter.requires_grad
    assert not any(module._forward_hooks for module in model.modules())


def test_the_layers_are_the_convolutions():
    assert grad_cam_layers(toys.Flat()) == ["conv"]


@pytest.mark.parametrize(
    ("layer", "class_index", "message"),
    [
        ("other", 0, "layer_name must be a layer such as conv, got 'other'"),
        ("", 0, "layer_name must be a layer such as conv, got ''"),
        ("head", 0, "height and a width, got 'head'"),
        ("conv", 3, r"class_index must be in \[0, 3\), got 3"),
        ("conv", -1, r"class_index must be in \[0, 3\), got -1"),
    ],
)
def test_another_layer_or_class_is_refused(layer, class_index, message):
    model = Toy().train()
    with pytest.raises(UserError, match=message):
        grad_cam(model, layer, picture(), class_index)
    assert model.training
    assert not any(module._forward_hooks for module in model.modules())


@pytest.mark.parametrize(
    "image",
    [torch.zeros(2, 3, 4, 4), torch.zeros(3, 4, 4), torch.zeros(1, 3, 4, 4, dtype=torch.uint8)],
)
def test_other_images_are_refused(image):
    with pytest.raises(UserError, match="image must be normalised floats"):
        grad_cam(Toy(), "conv", image, 0)


def test_without_captum_the_error_says_how_to_install_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "captum.attr", None)
    with pytest.raises(UserError, match=r"pip install -r requirements-gradcam\.txt"):
        grad_cam(Toy(), "conv", picture(), 0)
