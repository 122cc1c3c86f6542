"""Baselines cost what they are said to cost, begin where they should and keep that while they are trained."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from torch import nn

from lowrank_kit.checks import InputError
from lowrank_kit.measurement.cost import macs, n_params
from lowrank_kit.methods.baselines import n_nonzero, narrower, pruned, settled, with_ranks
from lowrank_kit.methods.batches import Batches
from lowrank_kit.methods.training import Training
from lowrank_kit.models.layers import channels_last
from lowrank_kit.models.networks import mnist_cnn
from lowrank_kit.models.surgery import compress
from lowrank_kit.models.tucker import Tucker

# As fine as widths are looked for.
STEP = 2.0**-15


def build(width):
    return mnist_cnn(width=width)


@pytest.fixture
def digits_x(rng):
    return rng.random((2, 1, 28, 28)).astype(np.float32)


def trained(model, images, steps=6):
    """After steps of a descent with everything that could move a weight: momentum, weight decay, a high rate."""
    training = Training(model, partial(torch.optim.SGD, lr=0.1, momentum=0.9, nesterov=True, weight_decay=0.01))
    batches = Batches.of(images, size=20)
    for _ in training.run(batches, steps // len(batches)):
        pass
    return training.model


def test_a_full_width_is_the_network_as_it_was():
    torch.manual_seed(0)
    full = mnist_cnn().state_dict()
    torch.manual_seed(0)
    assert all(torch.equal(values, full[name]) for name, values in mnist_cnn(width=1.0).state_dict().items())
    assert {name: tuple(values.shape) for name, values in mnist_cnn(width=0.01).named_parameters()}["conv3.weight"] == (
        1, 1, 3, 3,
    )  # fmt: skip


@pytest.mark.parametrize("share", [0.6, 0.2, 0.05])
def test_a_narrower_network_uses_up_its_multiply_adds(digits_x, share):
    limit = int(share * macs(build(1.0), digits_x))
    model, width = narrower(build, digits_x, most_macs=limit)
    assert macs(model, digits_x) <= limit < macs(build(width + STEP), digits_x)


@pytest.mark.parametrize("limit", [200_000, 20_000, 1_000])
def test_a_narrower_network_uses_up_its_parameters(limit):
    model, width = narrower(build, most_params=limit)
    assert n_params(model) <= limit < n_params(build(width + STEP))


def test_both_limits_hold_where_both_are_given(digits_x):
    by_macs = narrower(build, digits_x, most_macs=1_000_000)[1]
    by_params = narrower(build, most_params=20_000)[1]
    both = narrower(build, digits_x, most_macs=1_000_000, most_params=20_000)[1]
    assert both == min(by_macs, by_params) < max(by_macs, by_params)


def test_a_limit_beyond_the_full_network_leaves_it_whole():
    model, width = narrower(build, most_params=10**9)
    assert width == 1.0
    assert n_params(model) == n_params(mnist_cnn())


def test_looking_for_a_width_draws_no_random_numbers():
    torch.manual_seed(3)
    model, width = narrower(build, most_params=20_000)
    after = torch.rand(1)
    torch.manual_seed(3)
    alone = build(width)
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), alone.parameters(), strict=True))
    assert torch.equal(after, torch.rand(1))


def test_limits_that_cannot_be_kept_are_told(digits_x):
    with pytest.raises(InputError, match="room for the narrowest network; 30 is too little"):
        narrower(build, most_params=30)
    with pytest.raises(InputError, match="room for the narrowest network; 7 is too little"):
        narrower(build, digits_x, most_macs=7)
    with pytest.raises(InputError, match="give `most_params`, or `most_macs`"):
        narrower(build)
    with pytest.raises(InputError, match="with inputs `x`"):
        narrower(build, most_macs=1_000_000)


def test_ranks_of_another_training_are_taken_over(cnn, images, by_hand):
    plan = replace(by_hand(cnn, {"0": (3, 2)}, "tucker"), weights="sha256:of another network")
    factored = with_ranks(cnn, plan)
    assert isinstance(factored[0], Tucker)
    assert factored[0].ranks == (3, 2)
    same = compress(cnn, by_hand(cnn, {"0": (3, 2)}, "tucker"))
    assert torch.equal(factored[0].weight, same[0].weight)
    before = factored[0].core.weight.clone()
    assert not torch.equal(trained(factored, images)[0].core.weight, before)
    with pytest.raises(InputError, match="`layer` must be one of"):
        with_ranks(cnn, by_hand(cnn, {"conv9": 2}))


def middle(model):
    """The weights of all layers between the first and the last."""
    layers = [m for m in model.modules() if isinstance(m, (nn.Linear, nn.Conv2d))][1:-1]
    return torch.cat([layer.weight.detach().flatten() for layer in layers])


@pytest.mark.parametrize("n_kept", [1, 100, 936])
def test_the_largest_weights_are_left_and_stay_the_only_ones(cnn, images, n_kept, states):
    before, whole = states(cnn), middle(cnn)
    masked = pruned(cnn, n_kept)
    assert states.same(before, states(cnn))
    assert n_kept <= len(whole) == 12 * 8 * 9 + 6 * 12
    left = middle(masked) != 0
    assert left.sum() == n_kept
    assert whole[left].abs().min() >= (whole[~left].abs().max() if n_kept < len(whole) else 0)
    assert torch.equal(middle(masked)[left], whole[left])
    network = settled(trained(masked, images))
    assert torch.equal(middle(network) != 0, left)
    assert not torch.equal(middle(network)[left], whole[left])


def test_all_weights_may_be_kept(mlp):
    assert torch.equal(middle(pruned(mlp, 160)), middle(mlp))


def test_settling_changes_no_answer_and_leaves_plain_parameters(cnn, images):
    masked = trained(pruned(channels_last(cnn), 200), images).eval()
    x = torch.from_numpy(images.x)
    before = masked(x).detach()
    network = settled(masked)
    assert torch.equal(network(x), before)
    assert [name for name, _ in network.named_parameters()] == [name for name, _ in cnn.named_parameters()]
    assert not list(network.buffers())


def test_zeros_are_stored_and_multiplied_all_the_same(cnn, images):
    network = settled(pruned(cnn, 100))
    assert n_params(network) == n_params(cnn)
    assert macs(network, images.x) == macs(cnn, images.x)
    assert n_nonzero(network) == n_nonzero(cnn) - len(middle(cnn)) + 100


def test_layers_that_are_kept_are_whole(residual):
    network = pruned(residual, 10, keep=["conv2", "head"])
    assert torch.count_nonzero(network.conv1.weight) == 10
    assert torch.equal(network.conv2.weight, residual.conv2.weight)


def test_a_weight_that_is_used_twice_counts_once(mlp):
    mlp[2].weight = nn.Parameter(torch.eye(10, 16))
    count = n_nonzero(mlp)
    assert n_nonzero(nn.Sequential(mlp, mlp[2])) == count


@pytest.mark.parametrize("n_kept", [0, -1, 161])
def test_a_count_there_is_not_is_told(mlp, n_kept):
    with pytest.raises(InputError, match="between 1 and the 160 weights of the layers"):
        pruned(mlp, n_kept)


def test_nothing_to_prune_is_told(mlp):
    with pytest.raises(InputError, match="`keep` must be one of"):
        pruned(mlp, 10, keep=["head"])
    with pytest.raises(InputError, match="besides those that are kept; it has 0"):
        pruned(nn.Sequential(nn.Linear(4, 3)), 2)
