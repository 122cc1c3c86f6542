"""Networks for 32 x 32 colour images, as Sequentials of named layers and, with shortcuts, of residual blocks.

Every convolution is without bias, since BatchNorm behind it has one. n stands for images, c for channels.
"""

from collections import OrderedDict

import torch
from torch import nn

__all__ = ["Residual", "resnet18", "vgg8", "vgg16"]

Named = list[tuple[str, nn.Module]]


def vgg16(n_classes: int = 10) -> nn.Sequential:
    """Thirteen 3 x 3 convolutions in five stages and one linear layer, input (n, 3, 32, 32).

    Configuration D of Simonyan and Zisserman 2015 with BatchNorm and, as is usual for images this small, without the
    two wide linear layers: 14.7 million parameters, 313 million multiply-adds an image.
    """
    stages = _stages((64, 64), (128, 128), (256,) * 3, (512,) * 3, (512,) * 3)
    return nn.Sequential(OrderedDict([*stages, ("flatten", nn.Flatten()), ("head", nn.Linear(512, n_classes))]))


def vgg8(n_classes: int = 10, *, width: int = 24) -> nn.Sequential:
    """Six 3 x 3 convolutions in four stages and one linear layer, input (n, 3, 32, 32): small enough for a CPU.

    `width` counts the channels of the first stage, each has twice as many as the one before; most of the 0.64 million
    parameters lie in the last two.
    """
    stages = _stages((width,), (2 * width,), (4 * width,) * 2, (8 * width,) * 2)
    head = [("flatten", nn.Flatten()), ("head", nn.Linear(8 * width * 2 * 2, n_classes))]
    return nn.Sequential(OrderedDict([*stages, *head]))


def resnet18(n_classes: int = 10) -> nn.Sequential:
    """Eight residual blocks of two 3 x 3 convolutions behind a 3 x 3 stem, input (n, 3, 32, 32).

    The 18 layers of He et al. 2016 as is usual for images this small, where the stem neither strides nor pools:
    11.2 million parameters, 555 million multiply-adds an image.
    """
    blocks: Named = []
    before = 64
    for stage, channels in enumerate((64, 128, 256, 512), 1):
        blocks.append((f"block{stage}_1", Residual(before, channels, stride=1 if stage == 1 else 2)))
        blocks.append((f"block{stage}_2", Residual(channels, channels)))
        before = channels
    mean = [("mean", nn.AdaptiveAvgPool2d(1)), ("flatten", nn.Flatten()), ("head", nn.Linear(before, n_classes))]
    return nn.Sequential(OrderedDict([*_convolution("1", 3, 64), *blocks, *mean]))


class Residual(nn.Module):
    """Two 3 x 3 convolutions whose output is added to what came in, (n, c, h, w) -> (n, c', h/stride, w/stride).

    Where the shapes differ, what came in passes a 1 x 1 convolution first (option B of He et al. 2016).
    """

    def __init__(self, before: int, channels: int, *, stride: int = 1):
        super().__init__()
        self.conv1 = nn.Conv2d(before, channels, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.shortcut = nn.Identity() if (before, stride) == (channels, 1) else _projection(before, channels, stride)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        branch = torch.relu(self.bn1(self.conv1(x)))
        return torch.relu(self.bn2(self.conv2(branch)) + self.shortcut(x))


def _projection(before: int, channels: int, stride: int) -> nn.Sequential:
    conv = nn.Conv2d(before, channels, 1, stride, bias=False)
    return nn.Sequential(OrderedDict(conv=conv, bn=nn.BatchNorm2d(channels)))


def _stages(*stages: tuple[int, ...]) -> Named:
    """Convolutions with as many outputs as given, on colour images, with 2 x 2 pooling behind every stage."""
    layers: Named = []
    before = 3
    for stage, widths in enumerate(stages, 1):
        for index, channels in enumerate(widths, 1):
            layers += _convolution(f"{stage}_{index}", before, channels)
            before = channels
        layers.append((f"pool{stage}", nn.MaxPool2d(2)))
    return layers


def _convolution(name: str, before: int, channels: int) -> Named:
    conv = nn.Conv2d(before, channels, 3, padding=1, bias=False)
    return [(f"conv{name}", conv), (f"bn{name}", nn.BatchNorm2d(channels)), (f"relu{name}", nn.ReLU())]
