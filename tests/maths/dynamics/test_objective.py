"""Losses against the sum they are defined by, and their gradients, exact for what is quadratic."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lowrank_kit.checks import InputError
from lowrank_kit.maths.dynamics import Objective

sizes = st.integers(1, 7)


@given(sizes, sizes, sizes, sizes, st.booleans(), st.integers(0, 99))
def test_the_loss_of_data_is_half_the_squared_error_of_any_weights(n, d, K, rank, mean, seed):
    rng = np.random.default_rng(seed)
    # Of the inputs' d directions at most `rank` are there.
    x, y = rng.standard_normal((n, rank)) @ rng.standard_normal((rank, d)), rng.standard_normal((n, K))
    objective = Objective.of_data(x, y, mean=mean)
    for W in (np.zeros((K, d)), rng.standard_normal((K, d)), 100 * rng.standard_normal((K, d))):
        errors = np.square(y - x @ W.T)
        direct = (errors.mean() if mean else errors.sum()) / 2
        assert objective.loss(W) == pytest.approx(direct, rel=1e-9, abs=1e-9)
    assert objective.loss(objective.target) == pytest.approx(objective.floor)


def test_inputs_that_span_little_have_the_smallest_of_all_solutions(rng):
    x, y = rng.standard_normal((4, 9)), rng.standard_normal((4, 2))
    objective = Objective.of_data(x, y)
    assert objective.floor == pytest.approx(0, abs=1e-20)
    np.testing.assert_allclose(objective.target, (np.linalg.pinv(x) @ y).T, atol=1e-12)
    unseen = rng.standard_normal((2, 9)) @ (np.eye(9) - np.linalg.pinv(x) @ x)
    assert objective.loss(objective.target + unseen) == pytest.approx(0, abs=1e-12)


def test_a_mask_counts_what_is_seen(rng):
    target, product, seen = rng.standard_normal((4, 6)), rng.standard_normal((4, 6)), rng.random((4, 6)) < 0.5
    objective = Objective(target, seen=seen, scale=1 / 24, floor=2.0)
    assert objective.loss(product) == pytest.approx(2 + np.square((product - target)[seen]).sum() / 48)
    np.testing.assert_array_equal(objective.residual(product)[~seen], 0)
    np.testing.assert_array_equal(objective.source, np.where(seen, target, 0))


@pytest.fixture(params=["whitened", "covariance", "mask", "data"])
def objective(request, rng):
    target, X = rng.standard_normal((4, 6)), rng.standard_normal((6, 9))
    return {
        "whitened": Objective(target, scale=0.3),
        "covariance": Objective(target, covariance=X @ X.T, scale=0.3, floor=5.0),
        "mask": Objective(target, seen=rng.random((4, 6)) < 0.5),
        "data": Objective.of_data(X.T, rng.standard_normal((9, 4)), mean=True),
    }[request.param]


def test_the_residual_is_the_gradient(objective, rng):
    """Central differences of what is quadratic have no error, however far they reach."""
    product, way = rng.standard_normal((4, 6)), rng.standard_normal((4, 6))
    slope = (objective.loss(product + way) - objective.loss(product - way)) / 2
    assert np.vdot(objective.residual(product), way) == pytest.approx(slope)
    bend = objective.loss(product + way) + objective.loss(product - way) - 2 * objective.loss(product)
    assert np.vdot(objective.residual(product + way) - objective.residual(product), way) == pytest.approx(bend)


def test_the_source_is_what_the_first_gradient_falls_along(objective):
    np.testing.assert_allclose(objective.source, -objective.residual(np.zeros((4, 6))) / objective.scale, rtol=1e-12)


def test_without_inputs_of_their_own_they_are_white(rng):
    target, product = rng.standard_normal((3, 5)), rng.standard_normal((3, 5))
    plain, white = Objective(target), Objective(target, covariance=np.eye(5))
    everything = Objective(target, seen=np.full((3, 5), True))
    assert plain.loss(product) == pytest.approx(white.loss(product)) == pytest.approx(everything.loss(product))
    assert plain.loss(product) == pytest.approx(np.linalg.norm(product - target) ** 2 / 2)


@pytest.mark.parametrize(
    ("parts", "sentence"),
    [
        ({"target": np.ones(3)}, "`target` must be a non-empty matrix"),
        ({"target": np.full((2, 3), np.nan)}, "`target` must hold finite numbers only; 6 of its 6"),
        ({"covariance": np.eye(2)}, r"`covariance` must be 3 x 3 for 3 inputs; got shape \(2, 2\)"),
        ({"seen": np.full((3, 2), True)}, r"`seen` must have the target's shape \(2, 3\); got \(3, 2\)"),
        ({"seen": np.full((2, 3), False)}, "at least one entry that is True"),
        ({"seen": np.full((2, 3), True), "covariance": np.eye(3)}, "leave out the covariance or the mask"),
    ],
)
def test_objectives_that_cannot_be(parts, sentence):
    with pytest.raises(InputError, match=sentence):
        Objective(**{"target": np.ones((2, 3)), **parts})


@pytest.mark.parametrize(
    ("x", "y", "sentence"),
    [
        (np.ones((4, 3)), np.ones((5, 2)), "as many examples; got 4 and 5"),
        (np.ones((0, 3)), np.ones((0, 2)), "`x` must be a non-empty matrix"),
        (np.ones((4, 3)), np.ones(4), "`y` must be a non-empty matrix"),
        (np.full((4, 3), np.inf), np.ones((4, 2)), "`x` must hold finite numbers"),
    ],
)
def test_data_that_do_not_fit(x, y, sentence):
    with pytest.raises(InputError, match=sentence):
        Objective.of_data(x, y)
