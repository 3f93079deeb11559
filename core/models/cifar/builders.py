"""Builders of the networks in the layouts of other repositories, by name."""

from collections.abc import Callable
from functools import partial

from torch import nn

from core.models.cifar.mobilenet import CifarMobileNetV2
from core.models.cifar.tiny_resnet import TinyResNet8
from core.models.cifar.vgg import CifarVGG, LotteryVGG
from core.models.cifar.wide_resnet import WideResNet

CIFAR_BUILDERS: dict[str, Callable[[int], nn.Module]] = {
    "ResNet8": TinyResNet8,
    "VGG11BN": partial(CifarVGG, 11, 0),
    "VGG13BN": partial(CifarVGG, 13, 0),
    "VGG16BN": partial(CifarVGG, 16, 0),
    "VGG19BN": partial(CifarVGG, 19, 0),
    "VGG11BN3": partial(CifarVGG, 11, 2),
    "VGG13BN3": partial(CifarVGG, 13, 2),
    "VGG16BN3": partial(CifarVGG, 16, 2),
    "VGG19BN3": partial(CifarVGG, 19, 2),
    "VGG11LTH": partial(LotteryVGG, 11),
    "VGG13LTH": partial(LotteryVGG, 13),
    "VGG16LTH": partial(LotteryVGG, 16),
    "VGG19LTH": partial(LotteryVGG, 19),
    "WRN28x2": partial(WideResNet, 28, 2),
    "WRN28x4": partial(WideResNet, 28, 4),
    "WRN28x10": partial(WideResNet, 28, 10),
    "MobileNetV2": CifarMobileNetV2,
}
