"""Rank-adaptive training of any network, and the compressed network that comes out."""

import copy

import numpy as np
import pytest
import torch
from torch import nn

from lowrank_kit.methods.adaptive import Adaptation
from lowrank_kit.methods.training import Training
from lowrank_kit.models.low_rank import LowRank
from lowrank_kit.models.store import restore, save
from lowrank_kit.models.vision import Residual
from tests.methods.adaptive_trainings import SGD, batches, go_on, net, orthonormality, trained, views

# what comes out


@views
@pytest.mark.parametrize("steps", [0, 6, 7], ids=["at the beginning", "between cycles", "in a cycle"])
def test_the_compressed_network_computes_what_the_trained_one_does(view, steps, tmp_path):
    training = trained(steps, adaptation=Adaptation(0.4, local_steps=3), view=view, rank=0.4)
    small, plan = training.compressed()
    x = batches()[0][0]
    assert training.position == 0 and not small.training
    with torch.no_grad():
        torch.testing.assert_close(small(x), training.model.eval()(x), rtol=1e-9, atol=1e-10)
        again = restore(save(small, plan, tmp_path / "net"), net().eval())
        assert torch.equal(again(x), small(x))
    assert {*plan.layers} == {n for n, m in small.named_modules() if isinstance(m, LowRank)} and plan.layers


def test_a_compressed_network_can_be_trained_on():
    small, _ = trained(6).compressed()
    further = Training(small, SGD)
    before = copy.deepcopy(small.state_dict())
    further.step(*batches()[0])
    assert [n for n, p in small.named_parameters() if torch.equal(p, before[n])] == []


def test_training_goes_on_after_it_was_looked_at():
    training = trained(6, adaptation=Adaptation(0.2, local_steps=3))
    twin = trained(6, adaptation=Adaptation(0.2, local_steps=3))
    training.compressed()
    assert go_on(training, 5) == go_on(twin, 5)


def test_ending_a_cycle_that_has_not_begun_changes_nothing():
    training = trained(3, adaptation=Adaptation(0.2, local_steps=3))
    before = copy.deepcopy(training.model.state_dict())
    training.truncate(), trained(0).truncate()
    assert training.truncations == 1 and len(training.trajectory) == 1
    assert all(torch.equal(values, before[name]) for name, values in training.model.state_dict().items())


# any network


class Blocks(nn.Module):
    """Convolutions whole, in groups and depthwise, residual blocks, and a branch that is never run."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding=1)
        self.grouped, self.depthwise = nn.Conv2d(8, 8, 3, padding=1, groups=2), nn.Conv2d(8, 8, 3, padding=1, groups=8)
        self.one, self.two = Residual(8, 12, stride=2), Residual(12, 12)
        self.never, self.head = nn.Linear(12, 12), nn.Linear(12, 4)

    def forward(self, x):
        x = torch.relu(self.grouped(torch.relu(self.stem(x))))
        return self.head(self.two(self.one(x + self.depthwise(x))).mean((2, 3)))


class Attending(nn.Module):
    """Attention over the rows of images."""

    def __init__(self):
        super().__init__()
        self.first, self.head = nn.Linear(24, 16), nn.Linear(16, 4)
        self.layer = nn.TransformerEncoderLayer(16, 2, 24, dropout=0.1, batch_first=True)
        self.cross = nn.MultiheadAttention(16, 2, batch_first=True)

    def forward(self, x):
        x = self.first(x.transpose(1, 2).flatten(2))
        z = self.layer(x)
        return self.head((z + self.cross(x, z, z, need_weights=False)[0]).mean(1))


def tied():
    first, second, both = nn.Linear(192, 16), nn.Linear(16, 16), nn.Linear(16, 16)
    third = nn.Linear(16, 16)
    third.weight = second.weight
    steps = (first, second, nn.Tanh(), third, both, nn.Tanh(), both, nn.LayerNorm(16), nn.Linear(16, 4))
    return nn.Sequential(nn.Flatten(), *steps)


def mlp():
    steps = (nn.Linear(192, 24), nn.ReLU(), nn.Linear(24, 16), nn.ReLU(), nn.Linear(16, 4))
    return nn.Sequential(nn.Flatten(), *steps)


ATTENTION = {f"layer.{name}" for name in ("self_attn.in_proj", "self_attn.out_proj", "linear1", "linear2")}
# name -> how to build it, the layers that are factored
NETWORKS = {
    "residual": (Blocks, {"one.conv1", "one.conv2", "one.shortcut.conv", "two.conv1", "two.conv2", "never"}),
    "mlp": (mlp, {"3"}),
    "attention": (Attending, {*ATTENTION, "cross.in_proj", "cross.out_proj"}),
    "tied": (tied, {"5"}),
}


@pytest.mark.parametrize(("build", "layers"), NETWORKS.values(), ids=NETWORKS)
def test_any_network_can_be_trained(build, layers):
    torch.manual_seed(0)
    model = build().double()
    keep = ["first", "head"] if build is Attending else None
    training = trained(0, adaptation=Adaptation(0.3, local_steps=2), model=model, keep=keep)
    assert {*training.layers} == layers
    losses = go_on(training, 40)
    assert np.mean(losses[-6:]) < np.mean(losses[:6]) and orthonormality(training) < 1e-12 and training.failures == []
    small, _ = training.compressed()
    x = batches()[0][0]
    with torch.no_grad():
        torch.testing.assert_close(small(x), training.model.eval()(x), rtol=1e-9, atol=1e-10)
    if build is Blocks:
        assert type(small.grouped) is type(small.depthwise) is nn.Conv2d
        assert not torch.equal(small.grouped.weight, model.grouped.weight)
    if build is tied:
        assert small[2].weight is small[4].weight and not torch.equal(small[2].weight, model[2].weight)
