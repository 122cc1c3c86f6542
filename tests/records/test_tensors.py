"""Laws of Tucker factors."""

import math

import numpy as np
import pytest
import tensorly
from hypothesis import given
from hypothesis import strategies as st

from lowrank_kit.checks import InputError
from lowrank_kit.records import TuckerFactors, factor_params, tucker_params, tucker_saves


@st.composite
def sizes(draw):
    """Ranks of some leading modes, and the shape of a tensor that has them."""
    shape = draw(st.lists(st.integers(1, 12), min_size=1, max_size=5))
    ranks = [draw(st.integers(1, n)) for n in shape[: draw(st.integers(1, len(shape)))]]
    return tuple(ranks), tuple(shape)


def tucker(ranks, shape):
    rng = np.random.default_rng(0)
    core = rng.standard_normal((*ranks, *shape[len(ranks) :]))
    return TuckerFactors(core, tuple(rng.standard_normal(pair) for pair in zip(shape, ranks, strict=False)))


@given(sizes())
def test_factors_know_their_sizes(size):
    ranks, shape = size
    found = tucker(ranks, shape)
    assert (found.ranks, found.shape) == (ranks, shape)
    assert found.dense().shape == shape
    stored = found.core.size + sum(U.size for U in found.factors)
    assert found.n_params == tucker_params(ranks, shape) == stored
    assert tucker_saves(ranks, shape) == (stored < math.prod(shape))


@given(sizes())
def test_the_tensor_is_tensorlys(size):
    found = tucker(*size)
    modes = list(range(len(found.factors)))
    oracle = tensorly.tenalg.multi_mode_dot(found.core, list(found.factors), modes=modes)
    np.testing.assert_allclose(found.dense(), oracle, rtol=1e-10, atol=1e-10)


def test_the_tensor_is_the_sum_it_stands_for():
    found = tucker((2, 3), (4, 5, 6))
    U, V = found.factors
    np.testing.assert_allclose(found.dense(), np.einsum("abk,ia,jb->ijk", found.core, U, V), atol=1e-12)


def test_a_matrix_in_two_modes_stores_a_core_more_than_two_factors():
    assert tucker_params((8, 8), (128, 64)) == factor_params(8, (128, 64)) + 64


@pytest.mark.parametrize(
    ("ranks", "shape", "saves"),
    [
        ((64, 64), (64, 64, 3, 3), False),
        ((1, 1), (64, 64, 3, 3), True),
        ((1, 1), (1, 1, 3, 3), False),
        ((2, 4), (4, 4), False),  # 24 of 16
        ((2, 2), (4, 6), False),  # 24 of 24: strictly smaller is asked
        ((2, 2), (4, 7), True),  # 26 of 28
    ],
)
def test_only_what_is_strictly_smaller_saves(ranks, shape, saves):
    assert tucker_saves(ranks, shape) is saves


@given(sizes(), st.data())
def test_truncation_keeps_the_leading_components(size, data):
    full = tucker(*size)
    ranks = tuple(data.draw(st.integers(1, rank)) for rank in full.ranks)
    cut = full.truncate(ranks)
    assert (cut.ranks, cut.shape) == (ranks, full.shape)
    corner = np.zeros_like(full.core)
    corner[tuple(map(slice, ranks))] = full.core[tuple(map(slice, ranks))]
    np.testing.assert_allclose(cut.dense(), TuckerFactors(corner, full.factors).dense(), atol=1e-10)
    np.testing.assert_array_equal(full.truncate(full.ranks).dense(), full.dense())


@pytest.mark.parametrize("ranks", [(0, 1), (1, 4), (-1, 1), (2,), (2, 2, 2), (), (1.0, 2), (True, 2), np.array([2, 9])])
def test_factors_cannot_be_truncated_beyond_their_ranks(ranks):
    with pytest.raises(InputError, match=r"2 whole numbers, each from 1 to its own of \(2, 3\); got \("):
        tucker((2, 3), (4, 5, 3)).truncate(ranks)


def test_ranks_may_be_numpys():
    assert tucker((2, 3), (4, 5)).truncate(np.array([1, 2])).ranks == (1, 2)
