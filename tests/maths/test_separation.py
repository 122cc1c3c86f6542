import numpy as np
import pytest

from lowrank_kit.checks import InputError
from lowrank_kit.maths.separation import nearest_mean, scatter_ratio, variance_between


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


def test_scatter_is_the_ratio_of_two_traces(rng):
    """Classes of different sizes: within, every point counts as much; between, every class does."""
    points, labels = rng.standard_normal((60, 3)), np.repeat([0, 4, 5], [10, 20, 30])
    points[labels == 4] += 2
    clouds = [points[labels == c] for c in (0, 4, 5)]
    within = sum((part - part.mean(axis=0)).T @ (part - part.mean(axis=0)) for part in clouds) / 60
    off = np.stack([part.mean(axis=0) - points.mean(axis=0) for part in clouds])
    assert scatter_ratio(points, labels) == pytest.approx(np.trace(within) / np.trace(off.T @ off / 3))


def test_scatter_and_variance_tell_the_same_of_classes_of_one_size(rng):
    points, labels = rng.standard_normal((60, 3)), np.repeat([0, 4, 5], 20)
    assert 1 / (1 + scatter_ratio(points, labels)) == pytest.approx(variance_between(points, labels))


def test_scatter_of_orthogonal_points_is_a_matter_of_counting():
    assert scatter_ratio(np.eye(50), np.repeat(np.arange(5), 10)) == pytest.approx(11.25, abs=1e-12)


def test_scatter_at_its_limits():
    assert scatter_ratio(np.array([[1.0], [1.0], [4.0]]), np.array([0, 0, 1])) == 0
    assert scatter_ratio(np.array([[1.0], [2.0]]), np.array([0, 0])) == np.inf
    assert scatter_ratio(np.ones((2, 2)), np.array([0, 1])) == np.inf


def test_nearest_mean_by_hand():
    seen, labels = np.array([[0.0, 0], [2, 0], [10, 0], [10, 2]]), np.array([3, 3, 8, 8])
    assert nearest_mean(np.array([[5.4, 0.5], [5.6, 0.5]]), seen, labels).tolist() == [3, 8]


def test_points_must_be_of_one_size():
    with pytest.raises(InputError, match="3 coordinates, as those seen; got 2"):
        nearest_mean(np.ones((4, 2)), np.ones((4, 3)), np.zeros(4))
