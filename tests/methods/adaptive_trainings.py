"""Rank-adaptive trainings of a small network, which several files of tests share."""

from functools import partial

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from lowrank_kit.methods.adaptive import Adaptation, AdaptiveTraining
from lowrank_kit.models.factored import VIEWS

SGD = partial(torch.optim.SGD, lr=0.05, momentum=0.9, weight_decay=1e-3)
OPTIMISERS = {
    "SGD": partial(torch.optim.SGD, lr=0.05),
    "momentum": SGD,
    "Nesterov": partial(torch.optim.SGD, lr=0.05, momentum=0.9, nesterov=True),
    "Adam": partial(torch.optim.Adam, lr=0.01),
    "AdamW": partial(torch.optim.AdamW, lr=0.01),
    "AMSGrad": partial(torch.optim.Adam, lr=0.01, amsgrad=True),
    "RMSprop": partial(torch.optim.RMSprop, lr=0.005, momentum=0.5),
    "Adagrad": partial(torch.optim.Adagrad, lr=0.05),
}
optimisers = pytest.mark.parametrize("optimiser", OPTIMISERS.values(), ids=OPTIMISERS)
views = pytest.mark.parametrize("view", VIEWS)


def normal(*shape, seed=0):
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


class Net(nn.Module):
    """Two convolutions and a linear layer between a first and a last one, with BatchNorm; inputs (n, 3, 8, 8)."""

    def __init__(self):
        super().__init__()
        self.norm0 = nn.BatchNorm2d(3)
        self.conv1 = nn.Conv2d(3, 8, 3, padding=1)
        self.conv2, self.norm2 = nn.Conv2d(8, 12, 3, padding=1, bias=False), nn.BatchNorm2d(12)
        self.conv3 = nn.Conv2d(12, 10, 3, stride=2)
        self.fc1, self.head = nn.Linear(90, 20), nn.Linear(20, 4)

    def forward(self, x):
        x = F.max_pool2d(torch.relu(self.conv1(self.norm0(x))), 1)
        x = torch.relu(self.norm2(self.conv2(x)))
        return self.head(torch.relu(self.fc1(torch.relu(self.conv3(x)).flatten(1))))


def net():
    torch.manual_seed(0)
    return Net().double()


def batches(n=6, size=8, dtype=torch.float64):
    """Images whose class is the brightest of four quarters of their first colour."""
    x = normal(n * size, 3, 8, 8, seed=3).to(dtype)
    quarters = F.avg_pool2d(x[:, :1], 4).flatten(1)
    return [*zip(x.split(size), quarters.argmax(1).split(size), strict=True)]


def trained(steps, optimiser=SGD, adaptation=None, model=None, **options):
    """A training after so many steps on the batches, over and over."""
    training = AdaptiveTraining(model or net(), optimiser, adaptation or Adaptation(0.1, local_steps=3), **options)
    go_on(training, steps)
    return training


def go_on(training, steps):
    given = batches(dtype=next(training.model.parameters()).dtype)
    return [training.step(*given[training.steps % len(given)]) for _ in range(steps)]


def orthonormality(training):
    """The largest difference of a basis's inner products from those of orthonormal vectors."""
    bases = [basis.detach().double() for layer in training.layers.values() for basis in layer.bases]
    return max(float((U.mT @ U - torch.eye(U.shape[1], dtype=torch.float64)).abs().max()) for U in bases)


def weights(training):
    return {name: layer.weight.detach().clone() for name, layer in training.layers.items()}


def ranks(training):
    return {name: layer.ranks for name, layer in training.layers.items()}


def row(training, name, at):
    """What stands of a layer in the trajectory's row, without what fills it up."""
    found = training.trajectory[name][at]
    return {layer: tuple(values[~np.isnan(values)]) for layer, values in zip(training.layers, found, strict=True)}
