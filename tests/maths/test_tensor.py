"""Higher-order SVD, its errors at all ranks and its refinement, against TensorLy and their own definitions."""

import itertools
import math
import warnings

import numpy as np
import pytest
import tensorly
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from tensorly.decomposition import partial_tucker

from lowrank_kit.checks import InputError
from lowrank_kit.maths.tensor import hosvd, mode_product, refine, truncation_errors, unfold
from lowrank_kit.records import TuckerFactors


def gaussian(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


def turned(tensor, n_modes, seed=1):
    """The tensor in other orthonormal bases of its leading modes."""
    rng = np.random.default_rng(seed)
    for mode, n in enumerate(tensor.shape[:n_modes]):
        tensor = mode_product(tensor, np.linalg.qr(rng.standard_normal((n, n)))[0], mode)
    return tensor


def decaying(shape, power, seed=0):
    """A convolution weight whose first two modes fall as a power."""
    outputs, inputs = (np.arange(1, n + 1) ** -float(power) for n in shape[:2])
    return turned(gaussian(*shape, seed=seed) * outputs[:, None, None, None] * inputs[:, None, None], 2)


def planted(shape, ranks, seed=0):
    """A tensor of exactly these ranks in its leading modes."""
    rng = np.random.default_rng(seed)
    core = rng.standard_normal((*ranks, *shape[len(ranks) :]))
    return TuckerFactors(core, tuple(rng.standard_normal((n, r)) for n, r in zip(shape, ranks, strict=False))).dense()


# The tensor, and how many of its modes are decomposed.
TENSORS = {
    "convolution": (gaussian(12, 8, 3, 3), 2),
    "more outputs than all else": (gaussian(40, 2, 3, 3), 2),
    "pointwise": (gaussian(9, 6, 1, 1), 2),
    "one input": (gaussian(9, 1, 3, 3), 2),
    "one output": (gaussian(1, 9, 3), 2),
    "all modes": (gaussian(5, 4, 3, 2), 4),
    "three modes": (gaussian(5, 4, 6), 3),
    "one of three modes": (gaussian(5, 4, 6), 1),
    "matrix": (gaussian(7, 5), 2),
    "vector": (gaussian(6), 1),
    "one number": (np.array([[[-3.0]]]), 3),
    "zero": (np.zeros((4, 3, 2)), 2),
    "planted": (planted((10, 8, 3, 3), (3, 2)), 2),
    "rank 1": (planted((6, 5, 4), (1, 1, 1)), 3),
    "ones": (np.ones((4, 5, 3)), 3),
    "repeated": (np.eye(36).reshape(6, 6, 6, 6), 2),
    "zero slice": (np.concatenate([gaussian(3, 4, 2), np.zeros((2, 4, 2))]), 2),
    "steep": (decaying((12, 10, 3, 3), 3), 2),
    "huge": (1e200 * gaussian(5, 4, 3), 2),
    "tiny": (1e-200 * gaussian(5, 4, 3), 2),
    "subnormal": (1e-310 * gaussian(5, 4, 3), 2),
    "float32": (gaussian(6, 5, 3, 3).astype(np.float32), 2),
    "float16": (gaussian(6, 5, 3).astype(np.float16), 2),
    "whole numbers": (np.arange(24).reshape(4, 3, 2), 2),
    "Fortran order": (np.asfortranarray(gaussian(6, 5, 3)), 2),
    "strided": (gaussian(12, 10, 3)[::2, ::-2], 2),
}
tensors = pytest.mark.parametrize(("T", "n_modes"), TENSORS.values(), ids=TENSORS)


def rounding(T):
    """What rounding leaves: tensors in float32 are worked on in it."""
    return 1e-6 if T.dtype == np.float32 else 1e-12


def relative(T, found):
    """||T - found|| / ||T||, without squares that overflow."""
    top = float(np.abs(T).max()) or 1.0
    exact = np.divide(T, top, dtype=np.float64)
    return float(np.linalg.norm(exact - found.dense() / top) / (np.linalg.norm(exact) or 1.0))


def every(ranks):
    return itertools.product(*(range(1, rank + 1) for rank in ranks))


# unfolding and products


@given(array_shapes(min_dims=1, max_dims=4, max_side=4), st.data())
def test_unfolding_and_product_are_tensorlys(shape, data):
    T, mode = gaussian(*shape), data.draw(st.integers(0, len(shape) - 1))
    np.testing.assert_array_equal(unfold(T, mode), tensorly.unfold(T, mode))
    A = gaussian(data.draw(st.integers(1, 5)), shape[mode], seed=1)
    np.testing.assert_allclose(mode_product(T, A, mode), tensorly.tenalg.mode_dot(T, A, mode), atol=1e-12)
    np.testing.assert_allclose(unfold(mode_product(T, A, mode), mode), A @ unfold(T, mode), atol=1e-12)


# higher-order SVD


@tensors
def test_the_full_hosvd_is_the_tensor(T, n_modes):
    full, values = hosvd(T, n_modes)
    assert full.ranks == T.shape[:n_modes] and full.shape == T.shape
    assert full.core.dtype == (np.float32 if T.dtype == np.float32 else np.float64)
    assert relative(T, full) < rounding(T)
    for U, found in zip(full.factors, values, strict=True):
        np.testing.assert_allclose(U.T @ U, np.eye(len(U)), atol=10 * rounding(T))
        assert found.shape == (len(U),)
        assert (np.diff(found) <= 0).all() and (found >= 0).all()


@tensors
def test_values_are_those_of_the_unfoldings(T, n_modes):
    for mode, found in enumerate(hosvd(T, n_modes)[1]):
        oracle = np.linalg.svd(unfold(T, mode).astype(np.float64), compute_uv=False)
        # Where others are fewer than the mode, zeros follow.
        oracle = np.pad(oracle, (0, len(found) - len(oracle)))
        np.testing.assert_allclose(found, oracle, rtol=1e-9, atol=max(3e-8, rounding(T)) * oracle[0])


@tensors
def test_the_core_has_the_size_of_the_tensor_and_orthogonal_slices(T, n_modes):
    full, values = hosvd(T, n_modes)
    top = float(np.abs(T).max()) or 1.0
    core, size = full.core / top, np.linalg.norm(np.divide(T, top, dtype=np.float64))
    assert np.linalg.norm(core) == pytest.approx(size, rel=rounding(T))
    for mode, found in enumerate(values):
        rows = unfold(core, mode)
        np.testing.assert_allclose(rows @ rows.T, np.diag((found / top) ** 2), atol=rounding(T) * max(size**2, 1))


def test_all_modes_are_decomposed_where_none_are_named():
    assert hosvd(gaussian(4, 3, 2))[0].ranks == (4, 3, 2)


def test_a_matrix_has_its_svd():
    W = gaussian(7, 5)
    full, values = hosvd(W)
    oracle = np.linalg.svd(W, compute_uv=False)
    np.testing.assert_allclose(values[0], [*oracle, 0, 0], atol=1e-7)
    np.testing.assert_allclose(np.abs(full.core[:5]), np.diag(oracle), atol=1e-10)
    for rank in range(1, 6):
        tail = np.linalg.norm(oracle[rank:])
        assert np.linalg.norm(W - full.truncate((rank, rank)).dense()) == pytest.approx(tail, abs=1e-10)


@pytest.mark.parametrize("ranks", [(3, 2), (5, 4), (1, 1)])
def test_planted_ranks_lose_nothing(ranks):
    T = planted((12, 10, 3, 3), ranks)
    full, values = hosvd(T, 2)
    assert [int(np.count_nonzero(found > 1e-6 * found[0])) for found in values] == list(ranks)
    assert relative(T, full.truncate(ranks)) < 1e-12
    assert truncation_errors(full)[ranks[0] - 1, ranks[1] - 1] < 1e-12


def test_the_tensor_is_left_untouched():
    T = gaussian(5, 4, 3)
    before = T.copy()
    full, _ = hosvd(T)
    refine(T, full.truncate((2, 2, 2)))
    truncation_errors(full)
    np.testing.assert_array_equal(T, before)


@pytest.mark.parametrize(
    ("T", "words"),
    [
        (np.array([[1.0, np.nan]]), "1 of its 2 are NaN or infinite"),
        (np.array([[[np.inf, -np.inf, 1.0]]]), "2 of its 3 are NaN or infinite"),
        (np.ones((2, 0, 3)), r"got shape \(2, 0, 3\)"),
        (np.array(1.0), r"got shape \(\)"),
    ],
)
def test_no_tensor_has_no_factors(T, words):
    with pytest.raises(InputError, match=words):
        hosvd(T)
    with pytest.raises(InputError, match=words):
        refine(T, hosvd(np.ones((1, 2)))[0])


@pytest.mark.parametrize("n_modes", [0, -1, 4])
def test_modes_are_those_there_are(n_modes):
    with pytest.raises(InputError, match=f"between 1 and the tensor's 3 modes; got {n_modes}"):
        hosvd(gaussian(4, 3, 2), n_modes)


# errors at all ranks


@tensors
def test_errors_are_those_of_every_truncation(T, n_modes):
    full, _ = hosvd(T, n_modes)
    errors = truncation_errors(full)
    assert errors.shape == full.ranks
    for ranks in every(full.ranks):
        assert errors[tuple(r - 1 for r in ranks)] == pytest.approx(relative(T, full.truncate(ranks)), abs=rounding(T))


@tensors
def test_errors_fall_with_every_rank_to_none(T, n_modes):
    errors = truncation_errors(hosvd(T, n_modes)[0])
    assert errors.flat[-1] == 0
    assert errors.max() <= 1 + 1e-12
    for axis in range(errors.ndim):
        assert (np.diff(errors, axis=axis) <= 1e-12).all()


@tensors
def test_no_truncation_is_worse_than_sqrt_d_of_the_best(T, n_modes):
    full, values = hosvd(T, n_modes)
    size = np.linalg.norm(values[0] / (values[0][0] or 1.0)) or 1.0
    errors = truncation_errors(full)
    for ranks in every(full.ranks):
        # Nothing of these ranks does better than the best of one of them alone.
        tails = [np.linalg.norm(v[r:] / (values[0][0] or 1.0)) / size for v, r in zip(values, ranks, strict=True)]
        error = errors[tuple(r - 1 for r in ranks)]
        assert max(tails) - 1e-6 <= error <= np.linalg.norm(tails) + 1e-6
        assert error <= math.sqrt(n_modes) * max(tails) + 1e-7


def test_small_errors_keep_their_digits():
    """A core that is known: 1 - kept would leave nothing of errors below 1e-8."""
    core = np.diag([1.0, 1e-5, 1e-10, 1e-15])[:, :, None]
    errors = truncation_errors(TuckerFactors(core, (np.eye(4), np.eye(4))))
    expected = [1e-5, 1e-10, 1e-15, 0]
    np.testing.assert_allclose(np.diag(errors), expected, rtol=1e-9)
    np.testing.assert_allclose(errors[1], [1e-5, 1e-10, 1e-10, 1e-10], rtol=1e-9)
    np.testing.assert_allclose(errors[:, 2], [1e-5, 1e-10, 1e-15, 1e-15], rtol=1e-9)


@given(arrays(np.float64, array_shapes(min_dims=1, max_dims=4, max_side=4), elements=st.floats(-1e3, 1e3, width=32)))
def test_errors_are_what_is_cut_off_any_core(core):
    errors = truncation_errors(TuckerFactors(core, tuple(np.eye(n) for n in core.shape)))
    size = np.linalg.norm(core) or 1.0
    for ranks in every(core.shape):
        rest = core.copy()
        rest[tuple(map(slice, ranks))] = 0
        assert errors[tuple(r - 1 for r in ranks)] == pytest.approx(np.linalg.norm(rest) / size, rel=1e-10, abs=1e-150)


def test_a_truncated_hosvd_has_the_errors_of_what_it_kept():
    full, _ = hosvd(gaussian(6, 5, 3), 2)
    cut = full.truncate((4, 3))
    errors = truncation_errors(cut)
    assert errors.shape == (4, 3) and errors[-1, -1] == 0
    assert errors[1, 1] == pytest.approx(relative(cut.dense(), full.truncate((2, 2))))


# refinement


@tensors
def test_refinement_never_errs_more(T, n_modes):
    full, _ = hosvd(T, n_modes)
    for ranks in {tuple((n + 1) // 2 for n in full.ranks), (1,) * n_modes, full.ranks}:
        found = [full.truncate(ranks)]
        for _ in range(3):
            found.append(refine(T, found[-1], sweeps=1))
        errors = [relative(T, each) for each in found]
        assert (np.diff(errors) <= 1e-10).all()
        assert relative(T, refine(T, found[0], sweeps=3)) == pytest.approx(errors[-1], abs=1e-10)
        for U in found[-1].factors:
            np.testing.assert_allclose(U.T @ U, np.eye(U.shape[1]), atol=1e-10)
        assert found[-1].ranks == ranks and found[-1].shape == T.shape


def test_refinement_of_all_ranks_is_the_tensor():
    T = gaussian(6, 5, 3)
    assert relative(T, refine(T, hosvd(T, 2)[0])) < 1e-12


def test_refinement_finds_what_is_planted_from_anywhere(rng):
    T = planted((12, 10, 3, 3), (4, 3))
    anywhere = TuckerFactors(np.zeros((4, 3, 3, 3)), (rng.standard_normal((12, 4)), rng.standard_normal((10, 3))))
    assert relative(T, refine(T, anywhere, sweeps=1)) < 1e-10


def test_bases_that_are_bent_are_straightened_first(rng):
    T = decaying((12, 10, 3, 3), 0.5)
    straight = hosvd(T, 2)[0].truncate((4, 3))
    bends = [rng.standard_normal((r, r)) + 3 * np.eye(r) for r in (4, 3)]
    bent = TuckerFactors(straight.core, tuple(U @ B for U, B in zip(straight.factors, bends, strict=True)))
    assert relative(T, refine(T, bent)) == pytest.approx(relative(T, refine(T, straight)), rel=1e-10)


def test_refined_bases_are_the_best_while_the_others_stay(rng):
    T = gaussian(8, 7, 3)
    found = refine(T, hosvd(T, 2)[0].truncate((3, 3)), sweeps=200)
    best = relative(T, found)
    for mode in range(2):
        for size in (1e-3, 1e-1, 1.0):
            U = found.factors[mode]
            other = [*found.factors]
            other[mode] = np.linalg.qr(U + size * rng.standard_normal(U.shape))[0]
            core = mode_product(mode_product(T, other[0].T, 0), other[1].T, 1)
            assert best < relative(T, TuckerFactors(core, tuple(other)))


def test_the_start_is_of_the_tensors_shape():
    with pytest.raises(InputError, match=r"of shape \(5, 4, 3\); got \(5, 4, 2\)"):
        refine(gaussian(5, 4, 3), hosvd(gaussian(5, 4, 2))[0])


# TensorLy's iteration, begun from its own HOSVD and run until it converges by its defaults


def tensorlys(T, ranks):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of ranks above what the other modes allow
        (core, factors), _ = partial_tucker(T.astype(np.float64), rank=ranks, modes=list(range(len(ranks))))
    return relative(T, TuckerFactors(core, tuple(factors)))


def assert_close_to_tensorlys(T, sliced=1.05):
    full, _ = hosvd(T, 2)
    errors = truncation_errors(full)
    for share in (2, 4, 8):
        ranks = tuple(max(n // share, 1) for n in full.ranks)
        best = tensorlys(T, ranks)
        assert errors[tuple(r - 1 for r in ranks)] <= sliced * best + 1e-12
        assert relative(T, refine(T, full.truncate(ranks))) <= 1.005 * best + 1e-12


@pytest.mark.parametrize("power", [0, 0.25, 0.5, 1, 2])
@pytest.mark.parametrize("shape", [(32, 16, 3, 3), (24, 48, 3, 3), (64, 64, 3, 3), (32, 32, 1, 1)])
def test_slices_and_two_sweeps_are_close_to_tensorlys_iteration(shape, power):
    assert_close_to_tensorlys(decaying(shape, power))


@pytest.mark.parametrize("power", [0, 0.25, 0.5, 1, 2])
def test_where_inputs_are_few_slices_err_more_but_two_sweeps_do_not(power):
    """A single direction of three is much of what the other mode sees; slices err up to 9 % more here."""
    assert_close_to_tensorlys(decaying((32, 3, 3, 3), power), sliced=1.1)


@pytest.mark.parametrize("layer", ["conv1", "conv2", "conv3"])
def test_so_they_are_on_a_trained_network(mnist, layer):
    assert_close_to_tensorlys(mnist[0].get_submodule(layer).weight.detach().numpy())
