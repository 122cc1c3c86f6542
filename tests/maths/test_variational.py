"""Empirical variational Bayes: planted ranks in noise, and the closed form against the free energy it minimises."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize

from lowrank_kit.checks import InputError
from lowrank_kit.maths.matrix import singular_values
from lowrank_kit.maths.tensor import hosvd, mode_product
from lowrank_kit.maths.variational import RESOLVED, _edge, _free_energy, evbmf_rank, noise_variance
from lowrank_kit.records import break_even_rank

SHAPES = [(20, 20), (64, 27), (27, 64), (40, 30), (30, 300), (10, 500), (128, 64)]
shapes = pytest.mark.parametrize("shape", SHAPES, ids=str)


def tau(alpha):
    """The square, over M, of what must be in a large matrix for noise of variance 1 to lift it to the threshold."""
    excess = _edge(alpha) - 1 - alpha
    return (excess + math.sqrt(excess**2 - 4 * alpha)) / 2


def planted(shape, rank, strength, seed, std=1.0):
    """Noise, and `rank` components of `strength` times the singular value that can just be seen in it."""
    rng = np.random.default_rng(seed)
    U, V = (np.linalg.qr(rng.standard_normal((n, n)))[0][:, :rank] for n in shape)
    least = std * math.sqrt(max(shape) * tau(min(shape) / max(shape)))
    return strength * least * U @ V.T + std * rng.standard_normal(shape)


@shapes
@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("std", [1e-4, 1.0, 1e5])
def test_planted_components_are_counted_and_the_noise_is_found(shape, seed, std):
    for rank in (1, 2, min(shape) // 5):
        values = singular_values(planted(shape, rank, 3.0, seed, std))
        assert evbmf_rank(values, shape) == rank
        assert evbmf_rank(values, shape, std**2) == rank
        assert noise_variance(values, shape) == pytest.approx(std**2, rel=0.3)


@shapes
@pytest.mark.parametrize("seed", range(10))
def test_pure_noise_has_no_components(shape, seed):
    values = singular_values(np.random.default_rng(seed).standard_normal(shape))
    assert evbmf_rank(values, shape) == evbmf_rank(values, shape, 1.0) == 0
    assert noise_variance(values, shape) == pytest.approx(np.sum(values**2) / math.prod(shape))


@pytest.mark.parametrize("seed", range(10))
def test_components_below_the_threshold_are_missed_and_those_above_it_are_not(seed):
    shape = (100, 150)
    for strength, expected in ((0.7, 0), (1.4, 3)):
        values = singular_values(planted(shape, 3, strength, seed))
        assert evbmf_rank(values, shape) == evbmf_rank(values, shape, 1.0) == expected


def test_both_modes_of_a_convolution_weight_in_noise(rng):
    core = 3 * rng.standard_normal((6, 4, 3, 3))
    for mode, n in enumerate((64, 32)):
        core = mode_product(core, np.linalg.qr(rng.standard_normal((n, n)))[0][:, : core.shape[mode]], mode)
    T = core + 0.1 * rng.standard_normal(core.shape)
    _, values = hosvd(T, 2)
    assert [evbmf_rank(v, (len(v), T.size // len(v))) for v in values] == [6, 4]


# the closed form

PRECISE = {"maxiter": 20_000, "maxfev": 20_000, "xatol": 1e-10, "fatol": 1e-10}


def single_energy(logs, gamma, shape):
    """Twice the free energy of one component of noise variance 1, over that of none, as mean field defines it.

    Means a, b and variances of the posterior of both vectors; the prior's variances are at their best.
    """
    a, b, variance_a, variance_b = np.exp(np.clip(logs, -50, 50))
    L, M = sorted(shape)
    size_a, size_b = a**2 + M * variance_a, b**2 + L * variance_b
    entropies = M * np.log(size_a / M / variance_a) + L * np.log(size_b / L / variance_b)
    return entropies - 2 * gamma * a * b + size_a * size_b


@pytest.mark.parametrize("shape", [(20, 20), (20, 30), (64, 27), (10, 400)], ids=str)
@pytest.mark.parametrize("strength", [1.01, 1.2, 2.0, 10.0])
def test_the_free_energy_is_that_of_the_best_posterior(shape, strength):
    L, M = sorted(shape)
    gamma = strength * math.sqrt(M * _edge(L / M))
    starts = [np.log([math.sqrt(gamma) * s, math.sqrt(gamma) / s, 1 / gamma, 1 / gamma]) for s in (0.7, 1.4)]
    found = [minimize(single_energy, x, (gamma, shape), method="Nelder-Mead", options=PRECISE).fun for x in starts]
    # The kit's free energy of gamma alone, and of what would be if it went, which is x = gamma^2 / M.
    x = gamma**2 / M
    assert min(found) / M == pytest.approx(_free_energy(1.0, np.array([gamma**2]), shape) - x, rel=1e-5, abs=1e-6)
    assert min(found) < 0


@pytest.mark.parametrize("alpha", [1.0, 0.7, 0.3, 0.1, 0.01, 1e-4, 1e-9])
def test_at_the_threshold_to_stay_costs_as_much_as_to_go(alpha):
    edge, found = _edge(alpha), tau(alpha)
    assert math.log1p(found) + alpha * math.log1p(found / alpha) == pytest.approx(found, rel=1e-9)
    # It is stricter than where noise ends (Marchenko and Pastur), and near the papers' approximation.
    assert edge > (1 + math.sqrt(alpha)) ** 2
    if alpha >= 0.01:
        near = 2.5129 * math.sqrt(alpha)
        assert edge == pytest.approx((1 + near) * (1 + alpha / near), rel=0.03)


def test_the_threshold_of_a_square_is_known():
    assert _edge(1.0) == pytest.approx((1 + 2.5129) * (1 + 1 / 2.5129), rel=1e-4)


spectra = st.tuples(st.integers(1, 12), st.integers(0, 30)).flatmap(
    lambda sides: st.tuples(
        st.lists(st.floats(0, 1e3, width=16), min_size=sides[0], max_size=sides[0]).map(np.array),
        st.just((sides[0], sum(sides))),
    )
)


@given(spectra)
def test_the_noise_has_the_least_free_energy_of_all(spectrum):
    values, shape = spectrum
    found = noise_variance(values, shape)
    squares, top = np.square(values), values.max()
    if top == 0:
        assert found == 0
        return
    # Nothing smaller than what rounding may be, nothing larger than all there is.
    assert (RESOLVED * top) ** 2 / (max(shape) * _edge(min(shape) / max(shape))) <= found * (1 + 1e-9)
    assert found <= squares.sum() / math.prod(shape) * (1 + 1e-9)
    least = _free_energy(found, squares, shape)
    for other in np.geomspace(max(found / 1e3, 1e-14 * top**2 / max(shape)), found * 1e3, 1000):
        assert least <= _free_energy(other, squares, shape) + 1e-3


def test_of_several_minima_the_lowest_is_found():
    """Four components with less noise are nearly as likely here as three with more."""
    values, shape = np.array([952.0, 736, 664, 547, 326, 288, 267, 257, 248, 64, 0, 0]), (12, 24)
    tried = np.geomspace(1e3, 1e4, 10_000)
    best = tried[np.argmin([_free_energy(noise, values**2, shape) for noise in tried])]
    assert noise_variance(values, shape) == pytest.approx(best, rel=1e-3)
    assert evbmf_rank(values, shape) == 3
    assert evbmf_rank(values, shape, 2936.0) == 4


@given(spectra)
def test_the_rank_is_at_most_the_break_even_rank(spectrum):
    values, shape = spectrum
    rank = evbmf_rank(values, shape)
    assert rank <= break_even_rank(shape)
    assert rank <= np.count_nonzero(values)


@given(spectra, st.floats(1e-3, 1e3))
def test_scale_order_and_side_change_nothing(spectrum, scale):
    values, shape = spectrum
    noise = noise_variance(values, shape)
    assert noise_variance(values[::-1], shape[::-1]) == noise
    assert noise_variance(scale * values, shape) == pytest.approx(scale**2 * noise, rel=1e-6)
    assert evbmf_rank(values[::-1], shape[::-1]) == evbmf_rank(values, shape)


@given(spectra, st.floats(0, 1e3), st.floats(0, 1e3))
def test_more_noise_hides_more(spectrum, one, other):
    low, high = sorted((one, other))
    values, shape = spectrum
    assert evbmf_rank(values, shape, high) <= evbmf_rank(values, shape, low)


# limits


def test_a_zero_matrix_has_neither():
    assert evbmf_rank(np.zeros(4), (4, 6)) == evbmf_rank(np.zeros(4), (4, 6), 1.0) == 0
    assert evbmf_rank(np.zeros(4), (4, 6), 0.0) == 0
    assert noise_variance(np.zeros(4), (4, 6)) == 0


@pytest.mark.parametrize("shape", [(5, 5), (20, 12), (64, 576)], ids=str)
@pytest.mark.parametrize("std", [1e-200, 1.0, 1e200])
def test_without_noise_the_rank_is_that_of_the_matrix(shape, std, rng):
    for rank in {1, 2, break_even_rank(shape)}:
        W = std * rng.standard_normal((shape[0], rank)) @ rng.standard_normal((rank, shape[1]))
        assert evbmf_rank(singular_values(W), shape) == rank
        assert evbmf_rank(singular_values(W), shape, 0.0) == rank


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (9, 1)])
def test_a_single_row_is_all_noise_unless_the_noise_is_known(shape):
    value = np.array([6.0])
    assert evbmf_rank(value, shape) == 0
    assert noise_variance(value, shape) == pytest.approx(36 / math.prod(shape))
    assert evbmf_rank(value, shape, 0.01) == 1


def test_values_all_alike_are_noise():
    assert evbmf_rank(np.ones(10), (10, 10)) == 0
    assert noise_variance(np.ones(10), (10, 10)) == pytest.approx(0.1)
    # Alike but for the last digit, by which the mean of the smaller ones comes out larger than the mean of all.
    alike = 1 - np.repeat([0, 1, 2], [11, 13, 9]) * 2.0**-53
    assert noise_variance(alike, (33, 40)) == pytest.approx(1 / 40)


def test_values_left_out_are_zeros_and_zeros_may_be_too_many():
    values = np.array([5.0, 1, 1, 0.5, 0, 0])
    assert noise_variance(values[:4], (6, 8)) == noise_variance(values, (6, 8))
    whole = np.array([5.0, 1, 1, 0.5, 0.4, 0.3])
    assert noise_variance(np.append(whole, [1e-8, 1e-9, 0]), (6, 8)) == noise_variance(whole, (6, 8))
    assert evbmf_rank(np.array([]), (6, 8)) == 0


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ([1.0, np.nan], "1 of its 2 are NaN or infinite"),
        ([np.inf, 1.0], "1 of its 2 are NaN or infinite"),
        ([1.0, -0.5], r"none below 0; got -0\.5"),
        ([3.0, 2.0, 1.0], "at most 2 for a 2 x 5 matrix; got 3"),
    ],
)
def test_what_no_matrix_has(values, words):
    for ask in (evbmf_rank, noise_variance):
        with pytest.raises(InputError, match=words):
            ask(np.array(values), (2, 5))


@pytest.mark.parametrize("noise", [-1.0, math.nan, math.inf])
def test_what_no_noise_is(noise):
    with pytest.raises(InputError, match="must be a variance"):
        evbmf_rank(np.ones(2), (2, 5), noise)
