import numpy as np
import pytest

from lowrank_kit.checks import InputError
from lowrank_kit.maths.separation import nearest_mean, variance_between


def test_variance_splits_in_two(rng):
    points, labels = rng.standard_normal((90, 4)), np.repeat([0, 1, 5], 30)
    points[labels == 5] += 2
    within = sum(30 * points[labels == c].var(axis=0).sum() for c in (0, 1, 5))
    assert variance_between(points, labels) == pytest.approx(1 - within / (90 * points.var(axis=0).sum()))


def test_labels_that_know_nothing_explain_almost_nothing(rng):
    points, labels = rng.standard_normal((5000, 3)), rng.integers(0, 10, 5000)
    assert variance_between(points, labels) == pytest.approx(9 / 4999, abs=1e-3)


def test_points_that_do_not_vary():
    assert variance_between(np.ones((4, 2)), np.array([0, 0, 1, 1])) == 0


def test_nearest_mean_by_hand():
    seen, labels = np.array([[0.0, 0], [2, 0], [10, 0], [10, 2]]), np.array([3, 3, 8, 8])
    assert nearest_mean(np.array([[5.4, 0.5], [5.6, 0.5]]), seen, labels).tolist() == [3, 8]


def test_points_must_be_of_one_size():
    with pytest.raises(InputError, match="3 coordinates, as those seen; got 2"):
        nearest_mean(np.ones((4, 2)), np.ones((4, 3)), np.zeros(4))
