"""Principal directions of clouds whose variances are known."""

import numpy as np
import pytest

from lowrank_kit.maths.principal import participation_ratio, principal_coordinates, principal_variances


def turned(points, rng, into):
    """The same points in a space of more dimensions, turned at random."""
    return points @ np.linalg.qr(rng.standard_normal((into, points.shape[1])))[0].T


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


@pytest.mark.parametrize("shape", [(40, 9), (9, 40), (12, 12), (2, 5), (5, 1)])
def test_principal_variances_are_the_squares_of_singular_values(rng, shape):
    points = rng.standard_normal(shape) * (1 + np.arange(shape[1])) + 3
    expected = np.linalg.svd(points - points.mean(0), compute_uv=False) ** 2 / (shape[0] - 1)
    found = principal_variances(points)
    assert len(found) == min(shape[0] - 1, shape[1])
    np.testing.assert_allclose(found, expected[: len(found)], rtol=1e-9)


@pytest.mark.parametrize("into", [9, 90])
def test_principal_variances_of_a_plane_are_two_and_zeros(rng, into):
    found = principal_variances(turned(rng.standard_normal((40, 2)), rng, into))
    assert (found > 0).tolist() == [True, True] + [False] * (min(39, into) - 2)


def test_principal_variances_do_not_turn_or_shift(rng):
    points = rng.standard_normal((50, 4)) * [4, 3, 2, 1]
    np.testing.assert_allclose(principal_variances(turned(points, rng, 4) + 7), principal_variances(points))
    np.testing.assert_allclose(principal_variances(10 * points), 100 * principal_variances(points))


def test_the_participation_ratio_is_that_of_the_principal_variances(rng):
    points = rng.standard_normal((50, 6)) * [9, 3, 2, 1, 1, 1]
    variances = principal_variances(points)
    assert participation_ratio(points) == pytest.approx(variances.sum() ** 2 / np.square(variances).sum())


def test_points_that_are_all_one_have_no_variance():
    assert principal_variances(np.ones((5, 3))).tolist() == [0, 0, 0]
