"""The networks the kit ships, as plain named Sequentials.

A Sequential lets the kit run a network up to a layer once and only the rest of it per rank
(:mod:`lowrank_kit.measurement.sensitivity`). Images arrive as float32 in [0, 1].
"""

from collections import OrderedDict

from torch import nn

__all__ = ["digits_cnn", "digits_mlp", "mnist_cnn"]


def mnist_cnn(n_classes: int = 10, *, width: float = 1.0) -> nn.Sequential:
    """A BatchNorm convolutional network for 28 x 28 grey images, input (n, 1, 28, 28).

    8.2 million multiply-adds an image, most of them in two wide 3 x 3 convolutions, so that
    low rank has something to remove. `width` is the fraction of its channels that are there.
    """
    first, second, third, hidden = (max(round(width * n), 1) for n in (32, 64, 128, 256))
    return nn.Sequential(
        OrderedDict(
            [
                *_convolution(1, in_channels=1, out_channels=first, kernel_size=5),
                *_convolution(2, in_channels=first, out_channels=second, kernel_size=3),
                *_convolution(3, in_channels=second, out_channels=third, kernel_size=3),
                ("flatten", nn.Flatten()),
                ("fc1", nn.Linear(third * 3 * 3, hidden)),
                ("relu4", nn.ReLU()),
                ("dropout", nn.Dropout(0.3)),
                ("head", nn.Linear(hidden, n_classes)),
            ]
        )
    )


def digits_cnn(n_classes: int = 10) -> nn.Sequential:
    """Three convolutions without BatchNorm for scikit-learn's 8 x 8 digits, input (n, 1, 8, 8).

    It trains in seconds, and nothing hides a layer whose signal is too weak.
    """
    return nn.Sequential(
        OrderedDict(
            [
                ("conv1", nn.Conv2d(1, 32, 3, padding=1)),
                ("relu1", nn.ReLU()),
                ("conv2", nn.Conv2d(32, 64, 3, padding=1)),
                ("relu2", nn.ReLU()),
                ("pool2", nn.MaxPool2d(2)),
                ("conv3", nn.Conv2d(64, 64, 3, padding=1)),
                ("relu3", nn.ReLU()),
                ("pool3", nn.MaxPool2d(2)),
                ("flatten", nn.Flatten()),
                ("head", nn.Linear(64 * 2 * 2, n_classes)),
            ]
        )
    )


def digits_mlp(n_classes: int = 10) -> nn.Sequential:
    """A two-hidden-layer network for scikit-learn's 8 x 8 digits, input (n, 64)."""
    return nn.Sequential(
        OrderedDict(
            [
                ("fc1", nn.Linear(64, 128)),
                ("relu1", nn.ReLU()),
                ("fc2", nn.Linear(128, 128)),
                ("relu2", nn.ReLU()),
                ("head", nn.Linear(128, n_classes)),
            ]
        )
    )


def _convolution(index: int, *, in_channels: int, out_channels: int, kernel_size: int) -> list[tuple[str, nn.Module]]:
    """One convolution, its BatchNorm (which makes a bias needless), ReLU and 2 x 2 pooling."""
    conv = nn.Conv2d(in_channels, out_channels, kernel_size, padding=kernel_size // 2, bias=False)
    return [
        (f"conv{index}", conv),
        (f"bn{index}", nn.BatchNorm2d(out_channels)),
        (f"relu{index}", nn.ReLU()),
        (f"pool{index}", nn.MaxPool2d(2)),
    ]
