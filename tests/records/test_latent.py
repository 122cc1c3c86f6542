"""What a layer reads, direction by direction."""

import numpy as np
import pytest

from lowrank_kit.records import LatentLayer, LatentTables


def test_the_share_is_the_variance_in_the_directions_kept(rng):
    z = rng.standard_normal((50, 4)) * [5, 2, 1, 0.5] + [100, 0, -3, 7]
    layer = LatentLayer("fc", (4, 9), 1, z)
    assert layer.full_rank == 4
    for rank in range(1, 5):
        variances = [np.mean((column - column.mean()) ** 2) for column in z.T]
        assert layer.share(rank) == pytest.approx(sum(variances[:rank]) / sum(variances))
    assert layer.share(4) == 1


def test_a_rank_keeps_as_many_directions_of_every_group():
    # Two groups of three directions: first, first, second, second, third, third.
    spread = np.array([3.0, 2.0, 1.0, 1.0, 0.0, 2.0])
    layer = LatentLayer("conv", (3, 9), 2, np.outer([1.0, -1.0], spread))
    squares = spread**2
    assert [layer.share(rank) for rank in (1, 2, 3)] == pytest.approx(
        [squares[: 2 * rank].sum() / squares.sum() for rank in (1, 2, 3)]
    )


def test_a_layer_that_always_reads_the_same_loses_nothing():
    layer = LatentLayer("dead", (3, 5), 1, np.full((8, 3), 2.5, dtype=np.float32))
    assert [layer.share(rank) for rank in (1, 2, 3)] == [1, 1, 1]


def test_small_variances_beside_a_large_mean_are_not_lost():
    z = np.array([[1e4 - 1, 0], [1e4 + 1, 0], [1e4, 1], [1e4, -1]], dtype=np.float32)
    assert LatentLayer("fc", (2, 2), 1, z).share(1) == pytest.approx(0.5)


def test_tables_go_by_the_layers_names_and_count_what_is_right():
    layers = tuple(LatentLayer(name, (2, 3), 1, np.zeros((3, 2))) for name in ("fc1", "head"))
    tables = LatentTables("net", np.array([0, 1, 1]), None, np.eye(3, 2), layers)
    assert tables["head"] is layers[1]
    assert tables.accuracy(np.array([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]])) == pytest.approx(2 / 3)
