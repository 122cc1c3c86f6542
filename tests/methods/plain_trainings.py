"""Plain trainings of a small network, which several files of tests share."""

from functools import partial

import pytest
import torch
from torch import nn

from tests.methods.states import state_of

SGD = partial(torch.optim.SGD, lr=0.1, momentum=0.9)
ADAM = partial(torch.optim.Adam, lr=0.01)
optimisers = pytest.mark.parametrize("optimiser", [SGD, ADAM], ids=["SGD", "Adam"])


def network():
    """With BatchNorm and dropout; inputs (n, 6), 3 classes."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 12), nn.BatchNorm1d(12), nn.ReLU(), nn.Dropout(0.3), nn.Linear(12, 3)).double()


def examples(n=40, seed=1):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(n, 6, dtype=torch.float64, generator=generator)
    return x, (x[:, :3] + 0.3 * x[:, 3:]).argmax(dim=1)


def batches(size=8):
    x, y = examples()
    return [*zip(x.split(size), y.split(size), strict=True)]


def state(training):
    """All that a training is, but for its random numbers: tensors by name."""
    return state_of(training, "steps", "epoch", "batches", "total")
