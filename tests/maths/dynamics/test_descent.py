"""Gradients against autograd, rules against torch's optimisers, and the largest stable learning rate against Hessians.

The package's mathematics knows no torch; its tests may.
"""

from itertools import islice

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lowrank_kit.checks import InputError
from lowrank_kit.maths.dynamics import RULES, Objective, Rule, descend, gradients, products, sharpness, start

WAYS = ("whitened", "covariance", "mask")
ways = pytest.mark.parametrize("way", WAYS)


def drawn(way, widths, seed, scale=1.0):
    """Weights of these widths, and something for them to learn."""
    rng = np.random.default_rng(seed)
    shape = widths[-1], widths[0]
    X, seen = rng.standard_normal((widths[0], widths[0] + 2)), rng.random(shape) < 0.6
    seen.flat[0] = True
    parts = {"whitened": {}, "covariance": {"covariance": X @ X.T}, "mask": {"seen": seen}}[way]
    return start("gaussian", widths, 1.0, seed), Objective(rng.standard_normal(shape), scale=scale, **parts)


def torch_loss(weights, objective, decay=0.0):
    """The objective as it is defined, of tensors."""
    error = torch.linalg.multi_dot(weights[::-1]) if len(weights) > 1 else weights[0]
    error = error - torch.from_numpy(objective.target)
    if objective.seen is not None:
        error = error * torch.from_numpy(objective.seen)
    if objective.covariance is not None:
        error = error @ torch.linalg.cholesky(torch.from_numpy(objective.covariance))
    penalty = sum(weight.square().sum() for weight in weights)
    return objective.scale / 2 * error.square().sum() + decay / 2 * penalty


def tensors(weights):
    return [torch.tensor(weight, requires_grad=True) for weight in weights]


networks = st.tuples(
    st.sampled_from(WAYS), st.lists(st.integers(1, 6), min_size=2, max_size=6), st.integers(0, 999), st.floats(1e-3, 10)
)


@given(networks)
def test_gradients_are_those_of_autograd(network):
    weights, objective = drawn(*network)
    below, copies = products(weights), tensors(weights)
    loss = torch_loss(copies, objective)
    assert objective.loss(below[-1]) == pytest.approx(loss.item(), rel=1e-10)
    found = gradients(weights, below, objective.residual(below[-1]))
    for mine, theirs in zip(found, torch.autograd.grad(loss, copies), strict=True):
        np.testing.assert_allclose(mine, theirs.numpy(), rtol=1e-10, atol=1e-10 * max(np.abs(mine).max(), 1))


@pytest.mark.parametrize("depth", [1, 2, 4])
def test_gradients_are_what_the_loss_changes_by(depth):
    weights, objective = drawn("covariance", [4, 3, 5, 2, 6][: depth + 1], 1)
    found = gradients(weights, products(weights), objective.residual(products(weights)[-1]))
    rng = np.random.default_rng(2)
    for i, weight in enumerate(weights):
        # The loss is quadratic in one layer, so central differences are exact.
        way = rng.standard_normal(weight.shape)
        ends = [objective.loss(products([*weights[:i], weight + s * way, *weights[i + 1 :]])[-1]) for s in (1, -1)]
        assert np.vdot(found[i], way) == pytest.approx((ends[0] - ends[1]) / 2)


def test_products_of_one_layer_after_the_other(rng):
    A, B, C = rng.standard_normal((3, 2)), rng.standard_normal((4, 3)), rng.standard_normal((1, 4))
    for found, expected in zip(products([A, B, C]), (A, B @ A, C @ B @ A), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-13)


OPTIMISERS = {
    "descent": lambda groups, **given: torch.optim.SGD(groups, **given),
    "momentum": lambda groups, **given: torch.optim.SGD(groups, momentum=0.9, **given),
    "adam": lambda groups, **given: torch.optim.Adam(groups, **given),
}


@ways
@pytest.mark.parametrize("kind", RULES)
@pytest.mark.parametrize("decay", [0.0, 0.1])
@pytest.mark.parametrize("rates", [None, [0.3, 1.0, 0.0]])
def test_weights_move_as_with_torchs_optimisers(way, kind, decay, rates):
    weights, objective = drawn(way, [4, 3, 5, 4], 3, 0.1)
    copies = tensors(weights)
    groups = [{"params": [w], "lr": 0.01 * share} for w, share in zip(copies, rates or [1] * 3, strict=True)]
    optimiser = OPTIMISERS[kind](groups, lr=0.01, weight_decay=decay)
    path = descend(weights, objective, Rule(0.01, kind, decay), rates=rates)
    for own, product in islice(path, 21):
        for mine, theirs in zip(own, copies, strict=True):
            np.testing.assert_allclose(mine, theirs.detach().numpy(), rtol=0, atol=1e-12)
        np.testing.assert_allclose(product, products(own)[-1], rtol=1e-13)
        optimiser.zero_grad()
        torch_loss(copies, objective).backward()
        optimiser.step()


def test_a_descent_leaves_the_start_alone_and_reuses_its_own_arrays():
    weights, objective = drawn("whitened", [3, 3, 3], 0)
    before, path = [weight.copy() for weight in weights], descend(weights, objective, Rule(0.01))
    first, second = next(path)[0], next(path)[0]
    np.testing.assert_array_equal(weights, before)
    assert all(a is b for a, b in zip(first, second, strict=True))
    assert not np.array_equal(second, before)


def test_whole_numbers_can_begin():
    weights, _ = next(descend([np.eye(2, dtype=int)], Objective(np.ones((2, 2))), Rule(0.1)))
    assert weights[0].dtype == np.float64


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ((0.1, "momentun"), "`kind` must be one of 'descent', 'momentum', 'adam'; .* Did you mean 'momentum'?"),
        ((-0.1,), "`learning_rate` must be a number of at least 0; got -0.1"),
        ((float("nan"),), "`learning_rate` must be a number of at least 0; got nan"),
        ((float("inf"),), "`learning_rate` must be"),
        ((0.1, "descent", -1), "`weight_decay` must be a number of at least 0; got -1"),
    ],
)
def test_rules_that_cannot_be(arguments, sentence):
    with pytest.raises(InputError, match=sentence):
        Rule(*arguments)


# the limit

VALUES = np.array([2.5, 1.2, 0.7, 0.0])
depths = pytest.mark.parametrize("depth", [1, 2, 3, 4])


def balanced(depth, values=VALUES):
    """A target with these singular values, and layers in balance whose product it is."""
    U, V = (start("orthogonal", (4, 4), 1.0, seed)[0] for seed in (1, 2))
    root = np.diag(values ** (1 / depth))
    weights = [root] * depth
    weights[0], weights[-1] = weights[0] @ V.T, U @ weights[-1]
    return (U * values) @ V.T, weights if depth > 1 else [U @ root @ V.T]


def hessian(weights, objective, decay=0.0):
    """The largest second derivative of the loss."""
    shapes, flat = [w.shape for w in weights], torch.from_numpy(np.concatenate([w.ravel() for w in weights]))

    def loss(flat):
        parts = torch.split(flat, [m * n for m, n in shapes])
        return torch_loss([part.reshape(shape) for part, shape in zip(parts, shapes, strict=True)], objective, decay)

    return torch.linalg.eigvalsh(torch.autograd.functional.hessian(loss, flat))[-1].item()


@depths
@pytest.mark.parametrize("scale", [1.0, 1 / 16])
def test_the_sharpness_is_that_of_the_balanced_minimum(depth, scale):
    target, weights = balanced(depth)
    objective = Objective(target, scale=scale)
    assert objective.loss(products(weights)[-1]) == pytest.approx(0, abs=1e-20)
    assert hessian(weights, objective) == pytest.approx(sharpness(objective, depth), rel=1e-6)


@pytest.mark.parametrize("depth", [2, 3, 4])
def test_every_other_minimum_is_sharper(depth):
    target, weights = balanced(depth)
    for factor in (0.8, 1.3):
        tilted = [factor * weights[0], *weights[1:-1], weights[-1] / factor]
        np.testing.assert_allclose(products(tilted)[-1], target, atol=1e-12)
        assert hessian(tilted, Objective(target)) > sharpness(Objective(target), depth) * 1.01


@depths
def test_inputs_that_are_not_white_make_it_an_upper_bound(depth):
    target, weights = balanced(depth)
    for seed in range(5):
        X = np.random.default_rng(seed).standard_normal((4, 9))
        objective = Objective(target, covariance=X @ X.T)
        share = hessian(weights, objective) / sharpness(objective, depth)
        assert 0.2 < share <= 1 + 1e-9
        if depth == 1:
            assert share == pytest.approx(1)


@pytest.mark.parametrize(("depth", "times"), [(2, 1.6), (3, 1.4), (5, 1.3)])
def test_a_mask_makes_it_an_estimate_that_is_too_low(gaussian, depth, times):
    """Largest second derivative at a minimum, by power iteration: where nothing is missed, derivatives are squares."""
    target = gaussian(30, 3)
    U, S, Vh = np.linalg.svd(target)
    root = np.diag(S ** (1 / depth))
    weights = [root @ Vh, *[root] * (depth - 2), U @ root]
    objective = Objective(target, seen=np.random.default_rng(0).random((30, 30)) < 0.35)
    below, way = products(weights), start("gaussian", [30] * (depth + 1), 1.0)
    for _ in range(200):
        size = np.sqrt(sum(np.vdot(part, part) for part in way))
        ahead = sum(products([*weights[:i], part / size, *weights[i + 1 :]])[-1] for i, part in enumerate(way))
        way = gradients(weights, below, np.where(objective.seen, ahead, 0.0))
    largest = np.sqrt(sum(np.vdot(part, part) for part in way))
    assert largest == pytest.approx(times * sharpness(objective, depth), rel=0.1)


def test_a_mask_over_one_layer_leaves_what_is_seen_as_sharp_as_it_was():
    target, weights = balanced(1)
    objective = Objective(target, seen=np.random.default_rng(0).random((4, 4)) < 0.5)
    assert hessian(weights, objective) == pytest.approx(sharpness(objective, 1))


def test_a_start_larger_than_the_target_counts_instead():
    objective = Objective(np.diag([2.0, 1.0]))
    assert sharpness(objective, 3) == pytest.approx(3 * 2 ** (4 / 3))
    assert sharpness(objective, 3, np.diag([1.0, 0.0])) == sharpness(objective, 3)
    assert sharpness(objective, 3, np.diag([0.0, -8.0])) == pytest.approx(3 * 16)


def test_momentum_may_be_faster_and_adam_has_no_limit():
    assert Rule(0.1, "descent").limit(8.0) == pytest.approx(2 / 8)
    assert Rule(0.1, "descent", 2.0).limit(8.0) == pytest.approx(2 / 10)
    assert Rule(0.1, "momentum").limit(8.0) == pytest.approx(1.9 * 2 / 8)
    assert Rule(0.1, "adam").limit(8.0) == np.inf


def moves(weights, objective, rule, steps):
    """How long the last step was, and how far the loss is from that of the target; stops where all is lost."""
    before = weights
    for own, product in islice(descend(weights, objective, rule), steps):
        if objective.loss(product) > 1e6:
            break
        moved = max(np.abs(a - b).max() for a, b in zip(own, before, strict=True))
        before = [weight.copy() for weight in own]
    return moved, objective.loss(product)


@depths
@pytest.mark.parametrize("kind", ["descent", "momentum"])
def test_below_the_limit_the_minimum_is_found_and_above_it_is_not(depth, kind):
    target, weights = balanced(depth, np.array([2.5, 2.0, 1.6, 1.2]))
    objective = Objective(target, scale=0.3)
    rng = np.random.default_rng(0)
    near = [weight + 1e-3 * rng.standard_normal(weight.shape) for weight in weights]
    limit = Rule(1.0, kind).limit(sharpness(objective, depth))
    moved, loss = moves(near, objective, Rule(0.98 * limit, kind), 2000)
    assert moved < 1e-9
    assert loss < 1e-15
    moved, loss = moves(near, objective, Rule(1.02 * limit, kind), 2000)
    assert moved > 1e-2
    assert loss > 1e-3


@pytest.mark.parametrize("kind", ["descent", "momentum"])
def test_the_limit_knows_weight_decay(kind):
    target, weights = balanced(1)
    objective = Objective(target)
    limit = Rule(1.0, kind, 0.5).limit(sharpness(objective, 1))
    assert hessian(weights, objective, 0.5) == pytest.approx(1.5)
    assert moves(weights, objective, Rule(0.98 * limit, kind, 0.5), 2000)[0] < 1e-9
    assert moves(weights, objective, Rule(1.02 * limit, kind, 0.5), 2000)[0] > 1e-2
