"""The Marchenko-Pastur law integrates to one and describes samples."""

import numpy as np
import pytest
from scipy.integrate import quad

from lowrank_kit.maths.matrix import singular_values
from lowrank_kit.maths.random_matrix import marchenko_pastur_density, marchenko_pastur_edges

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
