"""A small network that learns in a second, for what trains behind a widget."""

import numpy as np
import pytest
import torch
from torch import nn

from lowrank_kit.records import Data, Examples


@pytest.fixture
def learner():
    """Two convolutions, a norm, a linear layer, dropout and a head, for images (n, 1, 8, 8) of 3 classes."""
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Conv2d(4, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(),
        nn.Linear(128, 12), nn.ReLU(), nn.Dropout(0.2), nn.Linear(12, 3),
    )  # fmt: skip


@pytest.fixture(scope="session")
def lessons():
    """Noisy images, each of one of three patterns: 120 to train, 60 to choose, 60 to report."""
    rng = np.random.default_rng(0)
    patterns, y = rng.standard_normal((3, 1, 8, 8)), np.arange(240) % 3
    x = (patterns[y] + 1.5 * rng.standard_normal((240, 1, 8, 8))).astype(np.float32)
    train, validation, test = (Examples(x[part], y[part]) for part in np.split(np.arange(240), [120, 180]))
    return Data("patterns", validation, test, train)
