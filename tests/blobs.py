"""Three classes of noisy vectors and a small network for them, in tests and in the kernels of their pages."""

import numpy as np
import torch
from torch import nn

from lowrank_kit.records import Data, Examples

CLASSES, SIZE = 3, 12


def blobs() -> tuple[nn.Sequential, Data]:
    """12 values, the last of which is the same everywhere; 90 examples to train, 50 to choose, 40 to report."""
    rng = np.random.default_rng(0)
    centres, y = 2 * rng.standard_normal((CLASSES, SIZE)), np.arange(180) % CLASSES
    x = (centres[y] + rng.standard_normal((180, SIZE))).astype(np.float32)
    x[:, -1] = 0
    train, validation, test = (Examples(x[part], y[part]) for part in np.split(np.arange(180), [90, 140]))
    torch.manual_seed(5)
    layers = nn.Linear(SIZE, 16), nn.ReLU(), nn.Linear(16, 16, bias=False), nn.Tanh(), nn.Linear(16, CLASSES)
    return nn.Sequential(*layers), Data("blobs", validation, test, train)
