"""The Marchenko-Pastur law integrates to one and describes samples."""

import numpy as np
import pytest
from scipy.integrate import quad

from lowrank_kit.checks import InputError
from lowrank_kit.maths.matrix import singular_values
from lowrank_kit.maths.random_matrix import (
    hard_threshold,
    marchenko_pastur_density,
    marchenko_pastur_edges,
    marchenko_pastur_median,
)

shapes = pytest.mark.parametrize("shape", [(100, 400), (400, 100), (300, 200), (250, 250)])


@shapes
@pytest.mark.parametrize("std", [0.03, 1.0])
def test_density_integrates_to_one(shape, std):
    a, b = marchenko_pastur_edges(shape, std)
    total, _ = quad(lambda s: float(marchenko_pastur_density(s, shape, std)), a, b, limit=200)
    assert total == pytest.approx(1, abs=1e-6)


@shapes
def test_density_is_zero_outside_the_edges(shape):
    a, b = marchenko_pastur_edges(shape, 0.5)
    assert 0 <= a < b
    outside = [s for s in (a * 0.9, a * 0.999) if s > 0] + [b * 1.001, b * 2]
    assert (marchenko_pastur_density(np.array(outside), shape, 0.5) == 0).all()
    assert marchenko_pastur_density(np.linspace(a, b, 9)[1:-1], shape, 0.5).min() > 0


@shapes
def test_a_gaussian_matrix_follows_the_law(shape):
    std = 0.2
    found = singular_values(std * np.random.default_rng(0).standard_normal(shape))
    a, b = marchenko_pastur_edges(shape, std)
    slack = 0.02 * b  # the edges are those of infinite matrices
    assert found[-1] > a - slack
    assert found[0] < b + slack
    for share in (0.25, 0.5, 0.75):
        below, _ = quad(
            lambda s: float(marchenko_pastur_density(s, shape, std)), a, np.quantile(found, share), limit=200
        )
        assert below == pytest.approx(share, abs=0.03)


def test_edges_by_hand():
    assert marchenko_pastur_edges((4, 9), 2.0) == (2.0, 10.0)
    assert marchenko_pastur_edges((9, 9), 1.0) == (0.0, 6.0)


@shapes
def test_the_median_halves_the_density_and_samples(shape):
    a, _ = marchenko_pastur_edges(shape, 1.0)
    median = marchenko_pastur_median(shape)
    below, _ = quad(lambda s: float(marchenko_pastur_density(s, shape, 1.0)), a, median, limit=200)
    assert below == pytest.approx(0.5, abs=1e-6)
    found = np.median(singular_values(np.random.default_rng(0).standard_normal(shape)))
    assert median == pytest.approx(found, rel=0.02)


def test_the_threshold_of_a_square_matrix_is_four_over_the_root_of_three():
    assert hard_threshold(np.ones(900), (900, 900), 1.0) / 30 == pytest.approx(4 / np.sqrt(3), abs=1e-12)


def test_the_threshold_of_a_square_matrix_by_its_median():
    assert hard_threshold(np.ones(400), (400, 400)) == pytest.approx(2.858, abs=5e-4)


@pytest.mark.parametrize("beta", [0.05, 0.1, 0.25, 0.5, 0.8, 1.0])
def test_the_factor_of_the_median_is_near_the_published_cubic(beta):
    """0.56 b^3 - 0.95 b^2 + 1.82 b + 1.43, which its authors find within 0.02 (Gavish and Donoho 2014)."""
    shape = (round(1000 * beta), 1000)
    cubic = 0.56 * beta**3 - 0.95 * beta**2 + 1.82 * beta + 1.43
    assert hard_threshold(np.ones(shape[0]), shape) == pytest.approx(cubic, abs=0.02)


@shapes
def test_known_and_unknown_noise_agree_and_nothing_of_it_is_above(shape):
    values = singular_values(0.3 * np.random.default_rng(1).standard_normal(shape))
    known, unknown = hard_threshold(values, shape, 0.3), hard_threshold(values, shape)
    assert unknown == pytest.approx(known, rel=0.02)
    assert hard_threshold(values, shape[::-1]) == unknown
    assert unknown > values[0]


def test_the_threshold_counts_strong_directions():
    rng = np.random.default_rng(2)
    signal = 40 * rng.standard_normal((300, 7)) @ rng.standard_normal((7, 120)) / np.sqrt(300)
    values = singular_values(signal + rng.standard_normal((300, 120)))
    assert np.count_nonzero(values > hard_threshold(values, (300, 120))) == 7


def test_the_threshold_wants_all_values():
    with pytest.raises(InputError, match="all 3 singular values of the matrix; got 2"):
        hard_threshold(np.ones(2), (3, 4))
