import numpy as np
import pytest
from scipy.spatial import cKDTree

from lowrank_kit.checks import InputError
from lowrank_kit.maths import neighbours
from lowrank_kit.maths.neighbours import nearest_distances


def by_tree(points, k):
    return cKDTree(points).query(points, k=k + 1)[0][:, 1:]


@pytest.mark.parametrize("shape", [(10, 1), (57, 3), (40, 90)])
@pytest.mark.parametrize("block", [7, 1000], ids=["in blocks", "at once"])
def test_distances_are_those_of_a_search_tree(rng, monkeypatch, shape, block):
    monkeypatch.setattr(neighbours, "BLOCK", block)
    points = 5 + rng.standard_normal(shape)
    np.testing.assert_allclose(nearest_distances(points, 9), by_tree(points, 9), rtol=1e-6)


@pytest.mark.parametrize("block", [7, 1000], ids=["in blocks", "at once"])
def test_a_point_counts_once(rng, monkeypatch, block):
    monkeypatch.setattr(neighbours, "BLOCK", block)
    points = rng.random((30, 2))
    repeated = np.vstack([points, points[::2], points[:3]])
    np.testing.assert_allclose(nearest_distances(repeated, 4), by_tree(points, 4), rtol=1e-6)


def test_points_are_left_as_they_are(rng):
    points = rng.random((30, 2))
    before = points.copy()
    nearest_distances(points, 3)
    assert (points == before).all()


def test_whole_numbers_will_do():
    points = np.arange(12, dtype=np.uint8)[:, None]
    assert (nearest_distances(points, 2)[1:-1] == 1).all()


@pytest.mark.parametrize(("n", "k", "least"), [(9, 2, 10), (12, 12, 13)])
def test_too_few_points(rng, n, k, least):
    with pytest.raises(InputError, match=f"at least {least} different points; got {n}"):
        nearest_distances(rng.random((n, 2)), k)


def test_too_few_points_once_copies_are_left_out():
    with pytest.raises(InputError, match="at least 10 different points; got 4"):
        nearest_distances(np.repeat(np.eye(4), 9, axis=0), 2)
