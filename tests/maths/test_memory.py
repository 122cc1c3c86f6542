"""What a linear memory recalls is known exactly, up to its capacity and beyond."""

import numpy as np
import pytest

from lowrank_kit.checks import InputError
from lowrank_kit.maths.matrix import factors
from lowrank_kit.maths.memory import expected_recall_error, linear_memory, orthonormal_keys, recall_error


def pairs(rng, n_inputs, n_outputs, n_pairs):
    return rng.standard_normal((n_inputs, n_pairs)), rng.standard_normal((n_outputs, n_pairs))


@pytest.mark.parametrize("n_pairs", [1, 5, 12])
def test_orthonormal_keys_are_stored_by_their_outer_products(rng, n_pairs):
    X, Y = orthonormal_keys(12, n_pairs), rng.standard_normal((7, n_pairs))
    assert np.allclose(X.T @ X, np.eye(n_pairs), atol=1e-14)
    assert np.allclose(linear_memory(X, Y), Y @ X.T, atol=1e-13)


def test_cutting_a_memory_with_orthonormal_keys_loses_just_the_tail(rng):
    X, Y = orthonormal_keys(20, 15), rng.standard_normal((12, 15))
    full = factors(linear_memory(X, Y))
    for rank in range(1, 13):
        error = np.linalg.norm(full.truncate(rank).dense() @ X - Y)
        assert error == pytest.approx(np.linalg.norm(full.S[rank:]), abs=1e-12 * full.S[0])


@pytest.mark.parametrize("n_pairs", [1, 20, 64])
def test_as_many_pairs_as_inputs_come_back(rng, n_pairs):
    X, Y = pairs(rng, 64, 50, n_pairs)
    W = linear_memory(X, Y)
    assert recall_error(W, X, Y) < 1e-11
    assert np.linalg.matrix_rank(W) == min(n_pairs, 50)


@pytest.mark.parametrize("n_pairs", [65, 96, 256])
def test_beyond_that_the_error_is_that_of_chance(rng, n_pairs):
    X, Y = pairs(rng, 64, 400, n_pairs)
    expected = expected_recall_error(64, n_pairs)
    assert expected**2 == pytest.approx(1 - 64 / n_pairs)
    assert recall_error(linear_memory(X, Y), X, Y) == pytest.approx(expected, rel=0.05)


def test_nothing_better_is_stored_by_any_other_matrix(rng):
    X, Y = pairs(rng, 8, 3, 30)
    W = linear_memory(X, Y)
    for _ in range(20):
        assert recall_error(W + 1e-3 * rng.standard_normal(W.shape), X, Y) > recall_error(W, X, Y)


def test_an_empty_memory_has_error_one(rng):
    X, Y = pairs(rng, 8, 3, 5)
    assert recall_error(np.zeros((3, 8)), X, Y) == 1


def test_keys_and_values_come_in_pairs():
    with pytest.raises(InputError, match=r"one column for every column of `keys`, 3; got 2"):
        linear_memory(np.ones((4, 3)), np.ones((4, 2)))


@pytest.mark.parametrize("n_pairs", [0, 5])
def test_there_are_no_more_orthonormal_keys_than_inputs(n_pairs):
    with pytest.raises(InputError, match="from 1 to the number of inputs, 4"):
        orthonormal_keys(4, n_pairs)
