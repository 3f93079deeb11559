"""Networks in the layouts of other repositories, written from their parameter names alone.

They share no code with `core.models`, so that they can tell whether an imported network computes
the same.
"""

import torch
from torch import nn
from torch.nn import functional as F


def norm_behind(in_channels, channels, kernel, stride=1, bias=False):
    """A convolution that keeps the sides for stride 1, and its BatchNorm."""
    conv = nn.Conv2d(in_channels, channels, kernel, stride, kernel // 2, bias=bias)
    return conv, nn.BatchNorm2d(channels)


class Block(nn.Module):
    """conv1, bn1, conv2, bn2 and a shortcut called `shortcut_name`."""

    def __init__(self, in_channels, channels, stride, shortcut_name):
        super().__init__()
        self.conv1, self.bn1 = norm_behind(in_channels, channels, 3, stride)
        self.conv2, self.bn2 = norm_behind(channels, channels, 3)
        self.shortcut_name = shortcut_name
        shortcut = nn.Sequential()
        if in_channels != channels:
            shortcut = nn.Sequential(*norm_behind(in_channels, channels, 1, stride))
        self.add_module(shortcut_name, shortcut)

    def forward(self, x):
        out = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        return F.relu(out + self.get_submodule(self.shortcut_name)(x))


class ShortcutFirst(Block):
    """The same layers, of which the shortcut is registered first."""

    def __init__(self, in_channels, channels, stride, shortcut_name):
        super().__init__(in_channels, channels, stride, shortcut_name)
        modules = dict(self._modules)
        self._modules.clear()
        self._modules[shortcut_name] = modules.pop(shortcut_name)
        self._modules.update(modules)


def stage(block, count, in_channels, channels, stride, shortcut_name):
    first = block(in_channels, channels, stride, shortcut_name)
    others = [block(channels, channels, 1, shortcut_name) for _ in range(count - 1)]
    return nn.Sequential(first, *others)


class ResNet(nn.Module):
    """kuangliu's and chenyaofo's: conv1, bn1, layer1 to layer4 or layer3, and a linear layer."""

    def __init__(self, counts, widths, shortcut_name, linear_name, block=Block, classes=10):
        super().__init__()
        self.conv1, self.bn1 = norm_behind(3, widths[0], 3)
        self.stages = [f"layer{number}" for number in range(1, len(counts) + 1)]
        before = widths[0]
        for name, count, width in zip(self.stages, counts, widths, strict=True):
            stride = 1 if before == width else 2
            self.add_module(name, stage(block, count, before, width, stride, shortcut_name))
            before = width
        self.linear_name = linear_name
        self.add_module(linear_name, nn.Linear(before, classes))

    def forward(self, x):
        x = F.relu(self.bn1(self.conv1(x)))
        for name in self.stages:
            x = self.get_submodule(name)(x)
        return self.get_submodule(self.linear_name)(x.mean((2, 3)))


class LotteryResNet(nn.Module):
    """open_lth's: conv, bn, blocks and fc, with all blocks in one list."""

    def __init__(self, count=3, classes=10):
        super().__init__()
        self.conv, self.bn = norm_behind(3, 16, 3)
        blocks = []
        for before, width in ((16, 16), (16, 32), (32, 64)):
            blocks += stage(Block, count, before, width, width // before, "shortcut")
        self.blocks = nn.Sequential(*blocks)
        self.fc = nn.Linear(64, classes)

    def forward(self, x):
        return self.fc(self.blocks(F.relu(self.bn(self.conv(x)))).mean((2, 3)))


class ResidualFunction(nn.Module):
    """weiaicunzai's block: the layers have numbers, and so have those of the shortcut."""

    def __init__(self, before, width, stride):
        super().__init__()
        first = norm_behind(before, width, 3, stride)
        second = norm_behind(width, width, 3)
        self.residual_function = nn.Sequential(*first, nn.ReLU(), *second)
        self.shortcut = nn.Sequential()
        if before != width:
            self.shortcut = nn.Sequential(*norm_behind(before, width, 1, stride))

    def forward(self, x):
        return F.relu(self.residual_function(x) + self.shortcut(x))


class Weiaicunzai(nn.Module):
    """ResNet18 with stages conv2_x to conv5_x."""

    def __init__(self, classes=10):
        super().__init__()
        self.conv1 = nn.Sequential(*norm_behind(3, 64, 3), nn.ReLU())
        widths = (64, 64, 128, 256, 512)
        for number in range(2, 6):
            before, width = widths[number - 2 : number]
            first = ResidualFunction(before, width, width // before)
            blocks = nn.Sequential(first, ResidualFunction(width, width, 1))
            self.add_module(f"conv{number}_x", blocks)
        self.fc = nn.Linear(512, classes)

    def forward(self, x):
        x = self.conv1(x)
        for number in range(2, 6):
            x = self.get_submodule(f"conv{number}_x")(x)
        return self.fc(x.mean((2, 3)))


VGG16 = (64, 64, "M", 128, 128, "M", 256, 256, 256, "M", 512, 512, 512, "M", 512, 512, 512, "M")


def vgg_features(bias=True):
    layers: list[nn.Module] = []
    before = 3
    for width in VGG16:
        if isinstance(width, str):
            layers.append(nn.MaxPool2d(2))
        else:
            layers += [*norm_behind(before, width, 3, bias=bias), nn.ReLU()]
            before = width
    return nn.Sequential(*layers)


class VGG(nn.Module):
    """features and classifier; kuangliu has one linear layer, the others have three."""

    def __init__(self, classifier, bias=True):
        super().__init__()
        self.features = vgg_features(bias)
        self.classifier = classifier

    def forward(self, x):
        return self.classifier(self.features(x).flatten(1))


def chenyaofo_classifier(classes=10, width=512):
    hidden = [nn.Linear(512, width), nn.ReLU(), nn.Dropout()]
    second = [nn.Linear(width, width), nn.ReLU(), nn.Dropout()]
    return nn.Sequential(*hidden, *second, nn.Linear(width, classes))


def chengyangfu_classifier(classes=10):
    hidden = [nn.Dropout(), nn.Linear(512, 512), nn.ReLU()]
    second = [nn.Dropout(), nn.Linear(512, 512), nn.ReLU()]
    return nn.Sequential(*hidden, *second, nn.Linear(512, classes))


class Masked(nn.Module):
    """SynFlow's pair of convolution and BatchNorm, whose tensors are multiplied by masks."""

    def __init__(self, before, width):
        super().__init__()
        self.conv, self.bn = norm_behind(before, width, 3, bias=True)
        for layer in (self.conv, self.bn):
            add_masks(layer)

    def forward(self, x):
        weight = self.conv.weight * self.conv.weight_mask
        x = F.conv2d(x, weight, self.conv.bias * self.conv.bias_mask, padding=1)
        scale = self.bn.weight * self.bn.weight_mask
        shift = self.bn.bias * self.bn.bias_mask
        statistics = (self.bn.running_mean, self.bn.running_var)
        return F.relu(F.batch_norm(x, *statistics, scale, shift, eps=self.bn.eps))


def add_masks(layer):
    for role in ("weight", "bias"):
        mask = (torch.rand(getattr(layer, role).shape) < 0.7).float()
        layer.register_buffer(f"{role}_mask", mask)


class SynFlowVGG16(nn.Module):
    """SynFlow's and open_lth's VGG16: the last pool is an average."""

    def __init__(self, classes=10):
        super().__init__()
        layers: list[nn.Module] = []
        before = 3
        for width in VGG16[:-1]:
            if isinstance(width, str):
                layers.append(nn.MaxPool2d(2))
            else:
                layers.append(Masked(before, width))
                before = width
        self.layers = nn.Sequential(*layers)
        self.fc = nn.Linear(512, classes)
        add_masks(self.fc)

    def forward(self, x):
        x = F.avg_pool2d(self.layers(x), 2).flatten(1)
        weight = self.fc.weight * self.fc.get_buffer("weight_mask")
        return F.linear(x, weight, self.fc.bias * self.fc.get_buffer("bias_mask"))


class WideBlock(nn.Module):
    """xternalz' block."""

    def __init__(self, before, width, stride):
        super().__init__()
        self.bn1 = nn.BatchNorm2d(before)
        self.conv1 = nn.Conv2d(before, width, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, 1, 1, bias=False)
        self.convShortcut = None
        if before != width:
            self.convShortcut = nn.Conv2d(before, width, 1, stride, bias=False)

    def forward(self, x):
        active = F.relu(self.bn1(x))
        out = self.conv2(F.relu(self.bn2(self.conv1(active))))
        return out + (self.convShortcut(active) if self.convShortcut else x)


class WideStage(nn.Module):
    def __init__(self, before, width, stride):
        super().__init__()
        others = [WideBlock(width, width, 1) for _ in range(3)]
        self.layer = nn.Sequential(WideBlock(before, width, stride), *others)

    def forward(self, x):
        return self.layer(x)


class WideResNet(nn.Module):
    """xternalz' WRN-28-`width`."""

    def __init__(self, width, classes=10):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 16, 3, 1, 1, bias=False)
        self.block1 = WideStage(16, 16 * width, 1)
        self.block2 = WideStage(16 * width, 32 * width, 2)
        self.block3 = WideStage(32 * width, 64 * width, 2)
        self.bn1 = nn.BatchNorm2d(64 * width)
        self.fc = nn.Linear(64 * width, classes)

    def forward(self, x):
        x = self.block3(self.block2(self.block1(self.conv1(x))))
        return self.fc(F.relu(self.bn1(x)).mean((2, 3)))


class Inverted(nn.Module):
    """kuangliu's block of MobileNetV2."""

    def __init__(self, before, width, expansion, stride):
        super().__init__()
        planes = expansion * before
        self.stride = stride
        self.conv1, self.bn1 = norm_behind(before, planes, 1)
        self.conv2 = nn.Conv2d(planes, planes, 3, stride, 1, groups=planes, bias=False)
        self.bn2 = nn.BatchNorm2d(planes)
        self.conv3, self.bn3 = norm_behind(planes, width, 1)
        self.shortcut = nn.Sequential()
        if stride == 1 and before != width:
            self.shortcut = nn.Sequential(*norm_behind(before, width, 1))

    def forward(self, x):
        out = F.relu(self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x))))))
        out = self.bn3(self.conv3(out))
        return out + self.shortcut(x) if self.stride == 1 else out


class MobileNetV2(nn.Module):
    def __init__(self, classes=10):
        super().__init__()
        self.conv1, self.bn1 = norm_behind(3, 32, 3)
        blocks = []
        before = 32
        plan = [(1, 16, 1, 1), (6, 24, 2, 1), (6, 32, 3, 2), (6, 64, 4, 2)]
        plan += [(6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1)]
        for expansion, width, count, stride in plan:
            for index in range(count):
                blocks.append(Inverted(before, width, expansion, 1 if index else stride))
                before = width
        self.layers = nn.Sequential(*blocks)
        self.conv2, self.bn2 = norm_behind(320, 1280, 1)
        self.linear = nn.Linear(1280, classes)

    def forward(self, x):
        x = self.layers(F.relu(self.bn1(self.conv1(x))))
        return self.linear(F.relu(self.bn2(self.conv2(x))).mean((2, 3)))


def randomised(network):
    """Give every tensor values of its own, so that a swap of two would show."""
    torch.manual_seed(0)
    for name, tensor in network.state_dict().items():
        if name.endswith("running_var") or (name.endswith("weight") and tensor.ndim == 1):
            tensor.uniform_(0.5, 1.5)
        elif name.endswith(("running_mean", "bias")):
            tensor.normal_(0, 0.2)
    return network.eval()
