"""Estimates of dimension on manifolds whose dimension is known."""

import numpy as np
import pytest
from scipy.stats import gamma

from lowrank_kit.checks import InputError
from lowrank_kit.maths.dimension import (
    SHARED,
    maximum_likelihood,
    maximum_likelihood_with_interval,
    two_nn,
    two_nn_with_interval,
)
from lowrank_kit.maths.neighbours import nearest_distances


def turned(points, rng, into):
    """The same points in a space of more dimensions, turned at random."""
    return points @ np.linalg.qr(rng.standard_normal((into, points.shape[1])))[0].T


@pytest.mark.parametrize("dimension", [1, 2, 3, 5])
def test_two_nn_finds_the_dimension_of_a_cube_in_a_larger_space(rng, dimension):
    points = turned(rng.random((2000, dimension)), rng, 20)
    assert two_nn(points) == pytest.approx(dimension, rel=0.1)


def test_two_nn_finds_the_dimension_of_curved_manifolds(rng):
    angle, height = 1.5 * np.pi * (1 + 2 * rng.random(2000)), 20 * rng.random(2000)
    roll = np.stack([angle * np.cos(angle), height, angle * np.sin(angle)], axis=1)
    assert two_nn(roll) == pytest.approx(2, rel=0.1)
    sphere = rng.standard_normal((2000, 4))
    assert two_nn(sphere / np.linalg.norm(sphere, axis=1, keepdims=True)) == pytest.approx(3, rel=0.1)


def test_two_nn_is_the_slope_of_the_ratios_it_is_defined_by():
    """Points in pairs on a line, far apart: neighbours at distances 1 and mu give the slope in closed form."""
    n, dimension = 400, 3.0
    share = np.arange(1, n + 1) / (n + 1)
    ratios = (1 - share) ** (-1 / dimension)
    far = 1000.0 * np.arange(n)
    points = np.concatenate([far, far + 1, far - ratios])[:, None]
    # A middle point has neighbours at 1 and mu; the one at +1 sees them at 1 and 1 + mu, the other at mu and 1 + mu.
    seen = np.sort(np.concatenate([ratios, 1 + ratios, (1 + ratios) / ratios]))
    place = np.arange(1, 3 * n + 1) / (3 * n)
    x, y = np.log(seen[place <= 0.9]), -np.log(1 - place[place <= 0.9])
    assert two_nn(points) == pytest.approx(x @ y / (x @ x), rel=1e-6)


def test_two_nn_knows_no_scale_and_no_direction(rng):
    points = rng.random((300, 3))
    assert two_nn(1e3 * turned(points, rng, 8) + 5) == pytest.approx(two_nn(points), rel=1e-6)


def test_two_nn_counts_a_point_once(rng):
    points = rng.random((300, 3))
    assert two_nn(np.vstack([points, points[:50]])) == pytest.approx(two_nn(points), rel=1e-9)


def test_two_nn_needs_ten_points():
    with pytest.raises(InputError, match="at least 10 different points; got 3"):
        two_nn(np.repeat(np.eye(3), 9, axis=0))


ESTIMATORS = pytest.mark.parametrize("estimate", [two_nn, maximum_likelihood])


@pytest.mark.parametrize("dimension", [1, 2, 3, 5])
def test_maximum_likelihood_finds_the_dimension_of_a_cube_in_a_larger_space(rng, dimension):
    points = turned(rng.random((2000, dimension)), rng, 20)
    assert maximum_likelihood(points) == pytest.approx(dimension, rel=0.1)


def test_maximum_likelihood_is_the_inverse_of_the_mean_of_inverses(rng):
    """Each point's own estimate (Levina and Bickel 2004), averaged as MacKay and Ghahramani do."""
    points, k = rng.random((60, 3)), 7
    own = [(k - 1) / np.sum(np.log(t[-1] / t[:-1])) for t in nearest_distances(points, k)]
    assert maximum_likelihood(points, k) == pytest.approx(1 / np.mean(1 / np.array(own)))


@ESTIMATORS
def test_no_scale_no_shift_and_no_direction_matters(rng, estimate):
    points = rng.random((300, 3))
    assert estimate(1e3 * turned(points, rng, 8) + 5) == pytest.approx(estimate(points), rel=1e-6)


@ESTIMATORS
def test_a_point_counts_once(rng, estimate):
    points = rng.random((300, 3))
    assert estimate(np.vstack([points, points[:50]])) == pytest.approx(estimate(points), rel=1e-9)


@ESTIMATORS
def test_a_lattice_has_no_dimension_to_tell(estimate):
    with pytest.raises(InputError, match="neighbours at different distances"):
        estimate(np.eye(30))


@pytest.mark.parametrize("k", [1, 2.5, True, "10"])
def test_neighbours_are_counted(rng, k):
    with pytest.raises(InputError, match="`k` must be a whole number of neighbours"):
        maximum_likelihood(rng.random((30, 2)), k)


def test_intervals_are_quantiles_of_gamma_variables(rng):
    points, n = rng.random((200, 2)), 200
    for (value, low, high), ratios in (
        (two_nn_with_interval(points), n),
        (maximum_likelihood_with_interval(points, 5), 4 * n),
    ):
        m = ratios / SHARED
        assert (low, high) == pytest.approx((value * gamma.ppf(0.025, m) / m, value * gamma.ppf(0.975, m) / m))
    assert two_nn_with_interval(points)[0] == two_nn(points)
    assert maximum_likelihood_with_interval(points, 5)[0] == maximum_likelihood(points, 5)


@pytest.mark.parametrize("dimension", [1, 2])
@pytest.mark.parametrize("estimate", [two_nn_with_interval, maximum_likelihood_with_interval])
def test_intervals_hold_the_dimension_of_a_torus_as_often_as_they_say(rng, estimate, dimension):
    """Circles have no edges, and near neighbours on them hardly see that they bend."""
    held = 0
    for _ in range(60):
        angles = 2 * np.pi * rng.random((400, dimension))
        _, low, high = estimate(np.hstack([np.cos(angles), np.sin(angles)]))
        held += low <= dimension <= high
    # Of 60, 57 are expected; 50 or fewer have a chance of 0.2 %.
    assert held > 50


def test_intervals_are_not_much_wider_than_chance(rng):
    found = np.array([two_nn_with_interval(rng.random((400, 2))) for _ in range(60)])
    assert np.mean(found[:, 2] - found[:, 1]) < 1.5 * 2 * 1.96 * found[:, 0].std()


def test_edges_make_high_dimensions_too_low(rng):
    """What the interval knows nothing of, and its docstring says."""
    value, _, high = maximum_likelihood_with_interval(rng.random((1000, 10)))
    assert high < 10
    assert value == pytest.approx(8.1, abs=0.3)
