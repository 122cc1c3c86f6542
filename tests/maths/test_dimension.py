"""Estimates of dimension on manifolds whose dimension is known."""

import numpy as np
import pytest

from lowrank_kit.checks import InputError
from lowrank_kit.maths.dimension import participation_ratio, principal_coordinates, two_nn


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
    with pytest.raises(InputError, match="at least ten different points; got 3"):
        two_nn(np.repeat(np.eye(3), 9, axis=0))


@pytest.mark.parametrize("variances", [(1, 1, 1), (4, 1), (9, 0, 0), (1, 2, 3, 4)])
def test_participation_ratio_by_hand(variances):
    corners = np.sqrt(variances) * np.array(np.meshgrid(*[[-1, 1]] * len(variances))).reshape(len(variances), -1).T
    expected = np.sum(variances) ** 2 / np.sum(np.square(variances))
    assert participation_ratio(corners + 7) == pytest.approx(expected)
    assert participation_ratio(np.hstack([corners, np.zeros((len(corners), 40))])) == pytest.approx(expected)


def test_participation_ratio_of_one_point_is_zero():
    assert participation_ratio(np.ones((5, 3))) == 0


@pytest.mark.parametrize("into", [9, 90], ids=["more points than numbers", "more numbers than points"])
def test_principal_coordinates_keep_the_distances_of_a_plane(rng, into):
    plane = rng.standard_normal((40, 2)) * [3, 1]
    found = principal_coordinates(turned(plane, rng, into) + 2)
    assert np.allclose(found @ found.T, (plane - plane.mean(0)) @ (plane - plane.mean(0)).T)
    assert np.all(found.std(axis=0)[:-1] >= found.std(axis=0)[1:])
    assert np.all(found.max(axis=0) >= -found.min(axis=0))
    assert np.allclose(found.mean(axis=0), 0)
