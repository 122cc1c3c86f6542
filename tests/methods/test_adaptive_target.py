"""Rank-adaptive training towards a given weight: it descends as if the core were well conditioned."""

from functools import partial

import pytest
import torch
from torch import nn

from lowrank_kit.methods.adaptive import Adaptation, AdaptiveTraining
from lowrank_kit.methods.training import Training
from lowrank_kit.models.bases import multi_mode_product
from tests.methods.adaptive_trainings import normal, orthonormality

# on the loss 1/2 ||W - A||^2 (papers' smallest experiment): A of ranks (5, 4, 2, 2), the training from (10, 8, 3, 3)

SHAPE, TRUE, START = (32, 24, 3, 3), (5, 4, 2, 2), (10, 8, 3, 3)


def bases(ranks, seed):
    return [torch.linalg.qr(normal(n, r, seed=seed + i)).Q for i, (n, r) in enumerate(zip(SHAPE, ranks, strict=True))]


def of_norm_one(tensor):
    return tensor / tensor.norm()


TARGET = of_norm_one(multi_mode_product(normal(*TRUE, seed=4), bases(TRUE, 10)))
NOTHING = torch.zeros(1, dtype=torch.float64)


class Weight(nn.Module):
    """Puts out its weight, whatever is put in."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(24, 32, 3, bias=False).double()

    def forward(self, x):
        return self.conv.weight


def distance(weight, _):
    return (weight - TARGET).square().sum() / 2


def decaying(decay, tolerance=1e-2, local_steps=1, rate=0.1):
    """A training whose core falls by 10^-decay from each direction to the next."""
    training = AdaptiveTraining(
        Weight(),
        partial(torch.optim.SGD, lr=rate),
        Adaptation(tolerance, local_steps=local_steps),
        view="kernel",
        keep=(),
        loss=distance,
    )
    core = normal(*START, seed=2)
    for mode, size in enumerate(START):
        sizes = 10.0 ** (-decay * torch.arange(size, dtype=torch.float64))
        core = core * sizes.reshape([-1 if i == mode else 1 for i in range(4)])
    values = (of_norm_one(core), *bases(START, 20))
    layer = training.layers["conv"]
    with torch.no_grad():
        for parameter, value in zip((layer.core, *layer.bases), values, strict=True):
            parameter.data = value.contiguous()
    return training


@pytest.mark.parametrize("tolerance", [0.01, 0.03, 0.1, 0.3])
@pytest.mark.parametrize("local_steps", [1, 10])
def test_the_ranks_of_a_target_are_found_exactly(tolerance, local_steps):
    training = decaying(0, tolerance, local_steps)
    losses = [training.step(NOTHING, NOTHING) for _ in range(100)]
    assert training.layers["conv"].ranks == TRUE
    assert losses[-1] < 1e-8 and orthonormality(training) < 1e-12


@pytest.fixture(scope="module")
def curves():
    return {
        decay: [training.step(NOTHING, NOTHING) for _ in range(200)]
        for decay in (0, 1, 2)
        if (training := decaying(decay))
    }


def test_the_loss_falls_alike_however_fast_the_core_decays(curves):
    for at, expected in ((20, 1.5e-2), (50, 1.4e-5), (199, 3e-19)):
        assert [curve[at] for curve in curves.values()] == pytest.approx([expected] * 3, rel=0.1)


@pytest.mark.parametrize("decay", [0, 1, 2])
def test_plain_descent_of_all_factors_is_left_behind(curves, decay):
    network = decaying(decay).model.requires_grad_()
    vanilla = Training(network, partial(torch.optim.SGD, lr=0.1), loss=distance)
    losses = [vanilla.step(NOTHING, NOTHING) for _ in range(200)]
    assert losses[50] > 0.3 and losses[199] > 0.05 > 1e15 * curves[decay][199]


class Matrix(nn.Module):
    """Puts out its weight, whatever is put in."""

    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(20, 30, bias=False)

    def forward(self, x):
        return self.fc.weight


@pytest.mark.parametrize("tolerance", [0.01, 0.1, 0.2])
def test_the_rank_of_a_matrix_is_found_too(tolerance):
    target = of_norm_one(torch.linalg.qr(normal(30, 5)).Q @ torch.linalg.qr(normal(20, 5, seed=1)).Q.mT)
    torch.manual_seed(0)
    training = AdaptiveTraining(
        Matrix().double(),
        partial(torch.optim.SGD, lr=0.1),
        Adaptation(tolerance, local_steps=5),
        keep=(),
        loss=lambda W, y: (W - target).square().sum() / 2,
    )
    losses = [training.step(NOTHING, NOTHING) for _ in range(100)]
    assert training.layers["fc"].ranks == (5, 5) and losses[-1] < 1e-8
