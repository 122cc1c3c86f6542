"""What many rooms' tests need: the kit's networks, loaded once, and small networks of one's own."""

import os

# Before NumPy and SciPy are loaded: small decompositions on several threads of a busy machine take 30 times as long.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
import pytest
import torch
from hypothesis import settings
from torch import nn

from lowrank_kit.models.inventory import weights_hash
from lowrank_kit.models.surgery import Factorisation
from lowrank_kit.models.zoo import load
from lowrank_kit.records import Data, Examples, LayerPlan, RankPlan

settings.register_profile("kit", deadline=None, max_examples=50, derandomize=True)
settings.load_profile("kit")


class Residual(nn.Module):
    """A network that is no Sequential: two convolutions around which the values also pass unchanged."""

    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 8, 3, padding=1)
        self.conv2 = nn.Conv2d(8, 8, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(8)
        self.head = nn.Linear(8, 4)

    def forward(self, x):
        x = torch.relu(self.conv1(x))
        x = x + torch.relu(self.norm(self.conv2(x)))
        return self.head(x.mean((2, 3)))


@pytest.fixture(scope="session")
def mnist():
    return load("mnist-cnn")


@pytest.fixture(scope="session")
def vit():
    return load("mnist-vit")


@pytest.fixture(scope="session")
def digits():
    return load("digits-mlp")


@pytest.fixture(scope="session")
def digits_factorisation(digits):
    return Factorisation(digits[0])


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture
def mlp():
    """Two linear layers that can save and a small head; inputs (n, 12), 4 classes."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(12, 16), nn.ReLU(), nn.Linear(16, 10, bias=False), nn.ReLU(), nn.Linear(10, 4))


@pytest.fixture
def cnn():
    """Strided, dilated and pointwise convolutions and a linear head; inputs (n, 3, 9, 10), 4 classes."""
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, stride=(1, 2), padding=1),
        nn.ReLU(),
        nn.Conv2d(8, 12, 3, dilation=2, bias=False),
        nn.ReLU(),
        nn.Conv2d(12, 6, 1),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(6, 4),
    )


@pytest.fixture
def residual():
    torch.manual_seed(0)
    return Residual().eval()


@pytest.fixture
def vectors(rng):
    """60 examples for `mlp`."""
    return Examples(rng.standard_normal((60, 12)).astype(np.float32), rng.integers(0, 4, 60))


@pytest.fixture
def images(rng):
    """40 examples for `cnn` and `residual`."""
    return Examples(rng.random((40, 3, 9, 10)).astype(np.float32), rng.integers(0, 4, 40))


@pytest.fixture
def split():
    """Examples -> Data, half for choices and half for the report."""
    return lambda examples: Data("halves", *examples.stratified(len(examples) // 2))


@pytest.fixture
def by_hand():
    """(model, ranks) -> the plan with these ranks, by SVD or another method."""
    return lambda model, ranks, method="svd": RankPlan(
        {name: LayerPlan(rank, method) for name, rank in ranks.items()}, weights_hash(model)
    )


@pytest.fixture
def states():
    """A model's modules and a copy of all their tensors, to compare before and after."""

    def remember(model):
        tensors = {name: tensor.clone() for name, tensor in model.state_dict().items()}
        return [*map(id, model.modules())], [m.training for m in model.modules()], tensors

    def same(before, after):
        return before[:2] == after[:2] and all(torch.equal(before[2][k], after[2][k]) for k in {*before[2], *after[2]})

    remember.same = same
    return remember
