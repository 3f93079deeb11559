"""Shows which parts of an image speak for a class.

Grad-CAM: Visual Explanations from Deep Networks via Gradient-based Localization (arXiv:1610.02391,
equations 1 and 2). captum computes it, which is optional: requirements-gradcam.txt.
"""

from importlib.util import find_spec

import torch
from torch import Tensor, nn

from core.errors import UserError
from core.models.state import preserve_state

MISSING_CAPTUM = "Grad-CAM needs captum: install it with `pip install -r requirements-gradcam.txt`."


def has_captum() -> bool:
    """Whether captum is installed, which is not imported for the answer."""
    return find_spec("captum") is not None


def grad_cam_layers(model: nn.Module) -> list[str]:
    """Return the names of the convolutions, in the network's order. The paper takes the last."""
    return [name for name, module in model.named_modules() if isinstance(module, nn.Conv2d)]


def grad_cam(model: nn.Module, layer_name: str, image: Tensor, class_index: int) -> Tensor:
    """Return how much each pixel speaks for a class: (H, W), 0 or more, on the image's device.

    layer_name: a module whose output is (1, C, h, w). Its map is upsampled to H x W bilinearly.
    image: one normalised image (1, 3, H, W), on the model's device.
    class_index: the class to explain, in [0, classes).

    The map has the unit of the logit: divide it by its maximum to draw it. It is zero everywhere if
    the layer speaks against the class. The model runs in evaluation mode and is left unchanged,
    also after an exception. No other thread may run it meanwhile. Raises UserError if captum is
    missing, and for another layer, image or class.
    """
    if image.ndim != 4 or len(image) != 1 or not image.is_floating_point():
        dtype = str(image.dtype).removeprefix("torch.")
        raise UserError(
            f"image must be normalised floats (1, 3, H, W), got {dtype} {tuple(image.shape)}"
        )
    layer = _layer_called(layer_name, model)
    attribution = _attribute(model, layer, image, class_index)
    if attribution.ndim != 4:
        raise UserError(
            f"layer_name must be a layer whose output has a height and a width, got {layer_name!r}"
        )
    upsampled = nn.functional.interpolate(attribution, image.shape[2:], mode="bilinear")
    return upsampled[0, 0]


def _layer_called(name: str, model: nn.Module) -> nn.Module:
    modules = dict(model.named_modules())
    if not name or name not in modules:
        choices = ", ".join(grad_cam_layers(model)) or "none, for there is no convolution"
        raise UserError(f"layer_name must be a layer such as {choices}, got {name!r}")
    return modules[name]


def _attribute(model: nn.Module, layer: nn.Module, image: Tensor, class_index: int) -> Tensor:
    """Return captum's map after the ReLU, (1, 1, h, w) for a layer with height and width."""
    try:
        from captum.attr import LayerGradCam
    except ImportError as error:
        raise UserError(MISSING_CAPTUM) from error

    def logits_of(batch: Tensor) -> Tensor:
        logits: Tensor = model(batch)
        if not 0 <= class_index < logits.shape[1]:
            raise UserError(f"class_index must be in [0, {logits.shape[1]}), got {class_index}")
        return logits

    with preserve_state(model), torch.enable_grad():
        model.eval()
        # A copy, because captum asks for its gradient, also if no parameter has one.
        own_image = image.detach().clone().requires_grad_()
        explainer = LayerGradCam(logits_of, layer)
        attribution: Tensor = explainer.attribute(
            own_image, target=class_index, relu_attributions=True
        )
    return attribution.detach()
