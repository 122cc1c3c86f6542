"""Rank-adaptive training: what a cycle is, and what cannot be trained."""

import copy
import math
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from lowrank_kit.checks import InputError
from lowrank_kit.methods.adaptive import Adaptation, AdaptiveTraining, kept_rank
from lowrank_kit.methods.training import Training
from lowrank_kit.models.factoring import factored, factored_layers
from tests.methods.adaptive_trainings import (
    OPTIMISERS,
    SGD,
    batches,
    go_on,
    net,
    optimisers,
    orthonormality,
    trained,
    views,
    weights,
)

# what a cycle is


def square():
    """Linear layers as wide as they are high; inputs (n, 3, 8, 8)."""
    torch.manual_seed(0)
    layers = (nn.Linear(12, 12), nn.Tanh(), nn.Linear(12, 12), nn.BatchNorm1d(12), nn.Linear(12, 4))
    return nn.Sequential(nn.AvgPool2d(4), nn.Flatten(), *layers).double()


@pytest.mark.parametrize("optimiser", ["SGD", "momentum", "Nesterov"])
@pytest.mark.parametrize(
    ("build", "keep", "view"),
    [(net, {"conv1", "fc1", "head"}, "tucker"), (net, {"conv1", "fc1", "head"}, "kernel"), (square, {"6"}, "matrix")],
    ids=["tucker", "kernel", "matrix"],
)
def test_at_full_rank_it_is_the_training_of_the_dense_network(build, keep, view, optimiser):
    # With whole bases. Momentum and weight decay are conserved where coordinates change.
    optimiser, adaptation = OPTIMISERS[optimiser], Adaptation(1e-9, local_steps=2, floor=1)
    dense = Training(build(), optimiser)
    training = AdaptiveTraining(build(), optimiser, adaptation, rank=1.0, view=view, keep=keep)
    for x, y in batches() * 3:
        assert training.step(x, y) == pytest.approx(dense.step(x, y), rel=1e-7)
    for name, weight in weights(training).items():
        torch.testing.assert_close(weight, dense.model.get_submodule(name).weight.detach(), rtol=1e-6, atol=1e-8)
    expected = dense.model.state_dict()
    for name, values in training.model.state_dict().items():
        if name in expected:
            torch.testing.assert_close(values, expected[name], rtol=1e-6, atol=1e-8)


def by_hand(network, given, tolerance, rate):
    """A cycle as it is written in the papers, of plain descent without momentum."""
    layers = factored_layers(network)
    fixed = {id(basis) for layer in layers.values() for basis in layer.bases}
    stepped = [p for p in network.parameters() if id(p) not in fixed]
    twin = copy.deepcopy(network)
    loss = F.cross_entropy(twin.train()(given[0][0]), given[0][1])
    for layer, other in zip(layers.values(), factored_layers(twin).values(), strict=True):
        layer.augment(torch.autograd.grad(loss, [*other.bases], retain_graph=True))
    for x, y in given:
        loss = F.cross_entropy(network.train()(x), y)
        for p, gradient in zip(stepped, torch.autograd.grad(loss, stepped), strict=True):
            p.data -= rate * gradient
    for layer in layers.values():
        found = layer.directions()
        bound = tolerance * float(layer.core.detach().norm()) / math.sqrt(layer.independent_modes)
        layer.truncate([max(kept_rank(values.numpy(), bound), 2) for values, _ in found], found)


@views
def test_a_cycle_is_what_the_papers_say(view):
    training = AdaptiveTraining(
        net(), partial(torch.optim.SGD, lr=0.05), Adaptation(0.3, local_steps=3), rank=0.3, view=view
    )
    network = factored(net(), rank=0.3, view=view)
    for given in (batches()[:3], batches()[3:]):
        for x, y in given:
            training.step(x, y)
        by_hand(network, given, 0.3, 0.05)
    expected = network.state_dict()
    assert {n: v.shape for n, v in training.model.state_dict().items()} == {n: v.shape for n, v in expected.items()}
    for name, values in training.model.state_dict().items():
        torch.testing.assert_close(values, expected[name], rtol=1e-9, atol=1e-11)


def test_running_statistics_see_every_batch_once():
    training, lone = trained(0), nn.BatchNorm2d(3).double()
    for x, y in batches():
        training.step(x, y)
        lone(x)
    assert int(training.model.norm0.num_batches_tracked) == int(training.model.norm2.num_batches_tracked) == 6
    assert torch.equal(training.model.norm0.running_mean, lone.running_mean)
    assert torch.equal(training.model.norm0.running_var, lone.running_var)


def test_everything_but_the_bases_moves_in_every_step_and_by_the_optimiser_alone():
    training = trained(0, partial(torch.optim.SGD, lr=0.05), Adaptation(0.1, local_steps=4))
    others = {n: p for n, p in training.model.named_parameters() if ".bases." not in n}
    held = {id(p) for group in training.optimiser.param_groups for p in group["params"]}
    assert held == {*map(id, others.values())}
    go_on(training, 1)
    for _ in range(2):
        fixed = {n: p.clone() for n, p in training.model.named_parameters()}
        go_on(training, 1)
        for name, before in fixed.items():
            moved = not torch.equal(training.model.get_parameter(name), before)
            assert moved is (name in others), name


def test_without_a_step_a_cycle_changes_no_weight():
    training = trained(0, partial(torch.optim.SGD, lr=0.0), Adaptation(1e-9, local_steps=3))
    before, kept = (
        weights(training),
        {n: p.clone() for n, p in training.model.named_parameters() if "norm" in n or "conv1" in n},
    )
    go_on(training, 2)
    assert all(layer.ranks > old for layer, old in zip(training.layers.values(), training.ranks_before, strict=True))
    go_on(training, 1)
    for name, weight in weights(training).items():
        torch.testing.assert_close(weight, before[name], rtol=1e-12, atol=1e-13)
    assert all(torch.equal(training.model.get_parameter(name), values) for name, values in kept.items())


@views
@optimisers
def test_after_many_cycles_bases_are_orthonormal_and_memory_fits(view, optimiser):
    training = AdaptiveTraining(net(), optimiser, Adaptation(1e-4, local_steps=2), rank=0.4, view=view)
    sizes, losses = [training.n_factored], []
    for tolerance in (1e-4, 0.5, 0.05):
        training.adaptation = replace(training.adaptation, tolerance=tolerance)
        for _ in range(8):
            losses += go_on(training, 1)
            for parameter, state in training.optimiser.state.items():
                tensors = [value for value in state.values() if isinstance(value, torch.Tensor) and value.ndim]
                assert all(value.shape == parameter.shape and value.isfinite().all() for value in tensors)
        sizes.append(training.n_factored)
    assert sizes[0] < sizes[1] > sizes[2]  # they grew and fell
    assert orthonormality(training) < 1e-12 and training.failures == []
    assert np.isfinite(losses).all() and np.mean(losses[-6:]) < np.mean(losses[:6])


def test_single_precision_stays_orthonormal_too():
    training = trained(60, SGD, Adaptation(0.2, local_steps=3), net().float())
    assert orthonormality(training) < 1e-5
    assert {p.dtype for p in training.model.parameters()} == {torch.float32}


def test_the_given_model_is_left_alone(states):
    model = net()
    before = states(model)
    training = trained(7, model=model)
    assert states.same(before, states(model)) and training.model is not model


@pytest.mark.parametrize("local_steps", [1, 2, 5])
@pytest.mark.parametrize("every", [1, 2])
def test_ranks_are_told_after_every_cycle_or_each_so_many(local_steps, every):
    training = trained(20, adaptation=Adaptation(0.2, local_steps=local_steps), every=every)
    assert training.trajectory.steps.tolist() == [*range(local_steps, 21, local_steps * every)]
    assert (training.truncations, training.position) == (20 // local_steps, 20 % local_steps)


# sentences

BOTH = r"give either a `tolerance` or a `budget`, a number above 0 and below 1; got both or none"


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({}, BOTH),
        ({"tolerance": 0.1, "budget": 0.1}, BOTH),
        *(
            ({"tolerance": bad}, rf"`tolerance` must lie above 0 and below 1; got {bad}")
            for bad in (0, 1, -0.1, 30, math.nan)
        ),
        *(({"budget": bad}, rf"`budget` must lie above 0 and below 1; got {bad}") for bad in (0.0, 1.0, 2, math.inf)),
        ({"tolerance": 0.1, "floor": 0}, "`floor` must be a whole number of at least 1; got 0"),
        ({"tolerance": 0.1, "floor": 2.5}, "`floor` must be a whole number of at least 1; got 2.5"),
        ({"tolerance": 0.1, "floor": 5, "ceiling": 4}, "`ceiling` must be a whole number of at least 5; got 4"),
        ({"tolerance": 0.1, "local_steps": 0}, "`local_steps` must be a whole number of at least 1; got 0"),
        ({"tolerance": 0.1, "burn_in": -1}, "`burn_in` must be a whole number of at least 0; got -1"),
    ],
)
def test_an_adaptation_that_cannot_be(settings, words):
    with pytest.raises(InputError, match=words):
        Adaptation(**settings)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"keep": ["conv9"]}, r"`keep` must be one of 'conv1', 'conv2', 'conv3', 'fc1', 'head'; got 'conv9'"),
        ({"keep": ["conv1", "conv2", "conv3", "fc1", "head"]}, r"besides those that are kept; it has conv1, conv2"),
        ({"rank": 0}, "`rank` must be a fraction above 0 and at most 1; got 0"),
        ({"rank": 50}, r"`rank` must be a fraction .*; got 50\. Write 0\.5 for 50 %"),
        ({"view": "cp"}, "`view` must be one of 'tucker', 'kernel', 'matrix'; got 'cp'"),
    ],
)
def test_a_training_that_cannot_be(options, words):
    with pytest.raises(InputError, match=words):
        AdaptiveTraining(net(), SGD, Adaptation(0.1), **options)


def test_a_budget_that_was_not_reached_is_told():
    model = nn.Sequential(nn.Linear(8, 30), nn.ReLU(), nn.Linear(30, 40), nn.ReLU(), nn.Linear(40, 3))
    training = AdaptiveTraining(model, partial(torch.optim.SGD, lr=0.1), Adaptation(budget=0.05, local_steps=1))
    training.step(torch.randn(4, 8), torch.tensor([0, 1, 2, 0]))
    with pytest.warns(UserWarning, match=r"the budget of 5\.0% was not reached"):
        training.compressed()


def test_an_optimiser_that_keeps_no_entry_for_each_number_is_refused():
    model = nn.Sequential(nn.Linear(8, 30), nn.ReLU(), nn.Linear(30, 40), nn.ReLU(), nn.Linear(40, 3))
    training = AdaptiveTraining(model, torch.optim.Adafactor, Adaptation(tolerance=0.5, local_steps=1))
    with pytest.raises(InputError, match="entry by entry"):
        for _ in range(3):
            training.step(torch.randn(4, 8), torch.tensor([0, 1, 2, 0]))
