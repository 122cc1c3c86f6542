"""Singular values and factors against numpy.linalg.svd, TensorLy and their own definitions."""

import numpy as np
import pytest
from tensorly.tenalg.svd import truncated_svd

from lowrank_kit.checks import InputError
from lowrank_kit.maths.matrix import factors, singular_values, stacked_factors, weighted_factors


def with_values(values, m, n, seed=0):
    """A matrix (m, n) with these singular values."""
    rng = np.random.default_rng(seed)
    k = len(values)
    U, V = (np.linalg.qr(rng.standard_normal((size, k)))[0] for size in (m, n))
    return (U * values) @ V.T


def gaussian(*shape):
    return np.random.default_rng(0).standard_normal(shape)


MATRICES = {
    "tall": gaussian(40, 7),
    "wide": gaussian(7, 40),
    "square": gaussian(20, 20),
    "row": gaussian(1, 9),
    "column": gaussian(9, 1),
    "one number": np.array([[-3.0]]),
    "zero": np.zeros((5, 8)),
    "one zero": np.zeros((1, 1)),
    "rank-deficient": gaussian(20, 3) @ gaussian(3, 15),
    "square rank-deficient": gaussian(20, 2) @ gaussian(2, 20),
    "ones": np.ones((8, 8)),
    "zero row": np.vstack([gaussian(6, 9), np.zeros(9)]),
    "repeated": with_values([2.0] * 5 + [1.0] * 5, 10, 14),
    "orthogonal": with_values(np.ones(12), 12, 12),
    "huge": 1e200 * gaussian(9, 12),
    "tiny": 1e-200 * gaussian(9, 12),
    "subnormal": 1e-310 * gaussian(9, 12),
    "huge and tiny": np.diag([1e200, 1.0, 1e-200]),
    **{f"down to {low:.0e}": with_values(np.geomspace(1, low, 30), 30, 50) for low in (1e-2, 1e-4, 1e-6, 1e-9, 1e-14)},
    "float32": gaussian(12, 30).astype(np.float32),
    "float16": gaussian(12, 30).astype(np.float16),
    "whole numbers": np.arange(12).reshape(3, 4),
    "Fortran order": np.asfortranarray(gaussian(8, 5)),
    "strided": gaussian(16, 10)[::2, ::-2],
}
matrices = pytest.mark.parametrize("W", MATRICES.values(), ids=MATRICES)


@matrices
def test_singular_values_are_numpys(W):
    found = singular_values(W)
    oracle = np.linalg.svd(W.astype(np.float64), compute_uv=False)
    assert found.dtype == np.float64
    assert (np.diff(found) <= 0).all()
    # Squaring costs the digits below sqrt(eps) of the largest: what is below 3e-8 of it may be any such number.
    np.testing.assert_allclose(found, oracle, rtol=1e-9, atol=3e-8 * oracle[0])
    resolved = oracle > 1e-3 * oracle[0]
    np.testing.assert_allclose(found[resolved], oracle[resolved], rtol=1e-9)


@matrices
def test_factors_are_the_decomposition(W):
    f = factors(W)
    exact = W.astype(np.float64)
    k, top = min(W.shape), np.abs(exact).max() or 1.0
    assert (f.U.shape, f.S.shape, f.Vh.shape) == ((W.shape[0], k), (k,), (k, W.shape[1]))
    np.testing.assert_allclose(f.U.T @ f.U, np.eye(k), atol=1e-10)
    np.testing.assert_allclose(f.Vh @ f.Vh.T, np.eye(k), atol=1e-10)
    np.testing.assert_allclose(f.dense() / top, exact / top, atol=1e-12 * k)
    oracle = np.linalg.svd(exact, compute_uv=False)
    np.testing.assert_allclose(f.S, oracle, rtol=1e-9, atol=1e-12 * oracle[0])
    assert (f.S >= 0).all()
    assert (np.diff(f.S) <= 1e-15 * top).all()


@pytest.mark.parametrize("name", ["tall", "wide", "square", "rank-deficient", "down to 1e-04", "float32"])
@pytest.mark.parametrize("rank", [1, 3])
def test_truncation_is_tensorlys(name, rank):
    W = MATRICES[name].astype(np.float64)
    U, S, Vh = truncated_svd(W, n_eigenvecs=rank)
    cut = factors(W).truncate(rank)
    np.testing.assert_allclose(cut.dense(), (U * S) @ Vh, atol=1e-10)
    np.testing.assert_allclose(cut.S, S)


@pytest.mark.parametrize(
    "name", ["tall", "wide", "square", "repeated", "rank-deficient", "down to 1e-02", "down to 1e-09"]
)
def test_truncation_error_is_the_tail_and_the_next_value(name):
    W = MATRICES[name]
    f = factors(W)
    for rank in range(1, len(f.S)):
        rest = W - f.truncate(rank).dense()
        assert np.sum(rest**2) == pytest.approx(np.sum(f.S[rank:] ** 2), rel=1e-10, abs=1e-10)
        assert np.linalg.norm(rest, 2) == pytest.approx(f.S[rank], rel=1e-9, abs=1e-10)


@pytest.mark.parametrize("name", ["tall", "wide", "square", "down to 1e-02"])
def test_no_random_subspace_is_better(name, rng):
    W = MATRICES[name]
    for rank in (1, 3, 6):
        best = np.linalg.norm(W - factors(W).truncate(rank).dense())
        for _ in range(20):
            Q = np.linalg.qr(rng.standard_normal((W.shape[0], rank)))[0]
            assert best < np.linalg.norm(W - Q @ (Q.T @ W))


def test_the_matrix_is_left_untouched():
    W = gaussian(6, 9)
    before = W.copy()
    factors(W), factors(W.T), singular_values(W)
    np.testing.assert_array_equal(W, before)


@pytest.mark.parametrize("ask", [factors, singular_values])
@pytest.mark.parametrize(
    ("W", "words"),
    [
        (np.array([[1.0, np.nan]]), "1 of its 2 are NaN or infinite"),
        (np.array([[np.inf, -np.inf, 1.0]]), "2 of its 3 are NaN or infinite"),
        (np.ones(3), "two dimensions"),
        (np.ones((0, 3)), "non-empty"),
    ],
)
def test_no_matrix_has_no_values(ask, W, words):
    with pytest.raises(InputError, match=words):
        ask(W)


@pytest.mark.parametrize("shape", [(5, 3, 7), (5, 7, 3), (1, 4, 4), (6, 1, 9)])
def test_a_stack_is_decomposed_one_by_one(shape):
    stack = gaussian(*shape).astype(np.float32)
    found = stacked_factors(stack)
    assert len(found) == len(stack)
    for f, W in zip(found, stack, strict=True):
        assert f.S.dtype == np.float64
        np.testing.assert_allclose(f.dense(), W, atol=1e-6)
        np.testing.assert_allclose(f.S, factors(W).S, rtol=1e-6)


# factors ordered by what is put out on data h (n, examples)

DATA = {
    "many": lambda n: gaussian(n, 3 * n + 5),
    "few": lambda n: gaussian(n, max(n // 2, 1)),
    "one": lambda n: gaussian(n, 1),
    "along few directions": lambda n: gaussian(n, 2) @ gaussian(2, 50),
    "steep": lambda n: np.geomspace(1, 1e-6, n)[:, None] * gaussian(n, 4 * n),
    "none": lambda n: np.zeros((n, 4)),
    "white": lambda n: np.eye(n),
}
data = pytest.mark.parametrize("h", DATA.values(), ids=DATA)
weighted = pytest.mark.parametrize(
    "name", ["tall", "wide", "square", "row", "column", "zero", "rank-deficient", "square rank-deficient", "float32"]
)


def on_data(W, h):
    W = W.astype(np.float64)
    return W, h, *weighted_factors(W, W @ h @ (W @ h).T)


@data
@weighted
def test_weighted_factors_together_are_the_matrix(name, h):
    W, _, f, values = on_data(MATRICES[name], h(MATRICES[name].shape[1]))
    k = min(W.shape)
    assert (f.U.shape, f.S.shape, f.Vh.shape, values.shape) == ((W.shape[0], k), (k,), (k, W.shape[1]), (k,))
    np.testing.assert_allclose(f.U.T @ f.U, np.eye(k), atol=1e-10)
    np.testing.assert_allclose(f.dense(), W, atol=1e-10 * max(np.abs(W).max(), 1))
    assert (f.S >= 0).all() and (np.diff(values) <= 0).all()


@data
@weighted
def test_their_error_on_the_data_is_the_tail_of_the_values(name, h):
    W, x, f, values = on_data(MATRICES[name], h(MATRICES[name].shape[1]))
    size = np.linalg.norm(W @ x) or 1.0
    for rank in range(1, min(W.shape) + 1):
        error = np.linalg.norm((W - f.truncate(rank).dense()) @ x)
        # Squaring costs the digits below sqrt(eps) of the largest.
        assert error / size == pytest.approx(np.linalg.norm(values[rank:]) / size, rel=1e-6, abs=1e-7)


@data
@pytest.mark.parametrize("name", ["tall", "wide", "square", "rank-deficient"])
def test_nothing_of_that_rank_does_better_on_the_data(name, h, rng):
    W, x, f, _ = on_data(MATRICES[name], h(MATRICES[name].shape[1]))
    y, size = W @ x, np.linalg.norm(W @ x) or 1.0
    for rank in range(1, min(W.shape)):
        best = np.linalg.norm(y - f.truncate(rank).dense() @ x) / size
        # The best map of what is put out, by Eckart and Young, and a lot of others.
        tail = np.linalg.svd(y, compute_uv=False)[rank:]
        assert best == pytest.approx(np.linalg.norm(tail) / size, rel=1e-6, abs=1e-7)
        assert best <= np.linalg.norm((W - factors(W).truncate(rank).dense()) @ x) / size + 1e-7
        Q = np.linalg.qr(rng.standard_normal((W.shape[0], rank)))[0]
        assert best <= np.linalg.norm(y - Q @ (Q.T @ y)) / size + 1e-7


@weighted
def test_on_white_data_they_are_the_plain_ones(name):
    W = MATRICES[name].astype(np.float64)
    f, values = weighted_factors(W, W @ W.T)
    np.testing.assert_allclose(values, np.linalg.svd(W, compute_uv=False), rtol=1e-6, atol=3e-8 * max(values[0], 1))
    for rank in range(1, min(W.shape)):
        if values[rank] > 1e-6 and values[rank - 1] > 1.001 * values[rank]:
            np.testing.assert_allclose(f.truncate(rank).dense(), factors(W).truncate(rank).dense(), atol=1e-9)


@pytest.mark.parametrize("few", [8, 32])
def test_directions_that_few_data_do_not_show_are_in_the_order_of_the_matrix(few, rng):
    W, spread = gaussian(64, 64), np.geomspace(1, 1e-2, 64)[:, None]
    y = W @ (spread * rng.standard_normal((64, few)))
    f, plain = weighted_factors(W, y @ y.T)[0], factors(W)
    shown = f.U[:, :few]
    np.testing.assert_allclose(f.S[few:], np.linalg.svd(W - shown @ shown.T @ W, compute_uv=False)[:-few], rtol=1e-9)
    fresh = spread * rng.standard_normal((64, 500))
    for rank in (16, 32, 48):
        errors = [np.linalg.norm((W - parts.truncate(rank).dense()) @ fresh) for parts in (f, plain)]
        assert errors[0] < errors[1]
