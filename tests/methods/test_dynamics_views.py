"""What is looked at, all at once, against one layer and one vector at a time."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.linalg import subspace_angles

from lowrank_kit.maths.dynamics import start
from lowrank_kit.methods.dynamics_views import bearings, looks, repeated


@pytest.fixture
def film(rng):
    """Weights (5, 3, 6, 6) that turn slowly."""
    return rng.standard_normal((3, 6, 6)) + np.cumsum(0.1 * rng.standard_normal((5, 3, 6, 6)), axis=0)


def vectors(weight):
    """U and V, as columns."""
    U, _, Vh = np.linalg.svd(weight)
    return U, Vh.T


@pytest.mark.parametrize(("top", "bottom"), [(2, 2), (1, 0), (3, 2)])
def test_looks_are_those_of_a_plain_loop(film, top, bottom):
    found = looks(film, bearings(film[0], top, bottom))
    assert {name: part.shape for name, part in found.items()} == {
        "values": (5, 3, 6),
        "repeated": (5, 3),
        "angles": (5, 3, 2, top + bottom + 1),
    }
    one_by_one = [*range(top), *range(6 - bottom, 6)]
    for t, weights in enumerate(film):
        for layer, weight in enumerate(weights):
            np.testing.assert_allclose(found["values"][t, layer], np.linalg.svd(weight, compute_uv=False), rtol=1e-12)
            for side, (now, then) in enumerate(zip(vectors(weight), vectors(film[0, layer]), strict=True)):
                cosines = [abs(now[:, k] @ then[:, k]) for k in one_by_one]
                between = subspace_angles(now[:, top : 6 - bottom], then[:, top : 6 - bottom]).max()
                expected = [*np.arccos(np.clip(cosines, 0, 1)), between]
                np.testing.assert_allclose(found["angles"][t, layer, side], expected, atol=1e-6)


def test_a_span_between_repeated_values_keeps_its_place_though_its_vectors_do_not():
    """Of a block as the law of parsimony has it, a solver may take any vectors of the middle."""
    U, V = (start("orthogonal", (8, 8), 1.0, seed)[0] for seed in (0, 1))
    values = np.array([3.0, 2, 1, 1, 1, 1, 0.5, 0.2])
    weights = np.stack([((U * v) @ V.T)[None] for v in (values, values * [1.5, 1.2, 0.9, 0.9, 0.9, 0.9, 0.9, 0.7])])
    found = looks(weights, bearings(weights[0], 2, 2))
    np.testing.assert_allclose(found["angles"], 0, atol=1e-7)
    assert found["repeated"].tolist() == [[4], [4]]


@pytest.mark.parametrize(
    ("d", "asked", "given"), [(6, (2, 2), (2, 2)), (6, (3, 3), (3, 2)), (6, (6, 6), (5, 0)), (2, (1, 1), (1, 0))]
)
def test_a_direction_is_left_between_both_ends(rng, d, asked, given):
    weights = rng.standard_normal((2, 3, d, d))
    origin = bearings(weights[0], *asked)
    assert (origin.top, origin.bottom) == given
    np.testing.assert_allclose(
        origin.U[1].T @ weights[0, 1] @ origin.V[1],
        np.diag(np.diag(origin.U[1].T @ weights[0, 1] @ origin.V[1])),
        atol=1e-12,
    )
    assert looks(weights, origin)["angles"].shape == (2, 3, 2, sum(given) + 1)


@given(st.lists(st.integers(1, 5), min_size=1, max_size=6), st.floats(1e-6, 1e6))
def test_the_largest_group_is_counted(groups, scale):
    values = scale * np.repeat(np.arange(len(groups), 0.0, -1), groups)
    assert repeated(values) == (max(groups) if max(groups) > 1 else 0)


def test_repeated_values_of_many_layers_at_once():
    values = np.array([[[3.0, 3, 1], [3, 2, 1]], [[1, 1, 1], [2, 1, 1]]])
    assert repeated(values).tolist() == [[2, 0], [3, 2]]


@pytest.mark.parametrize(("apart", "expected"), [(5e-10, 2), (3e-9, 0)])
def test_values_are_the_same_up_to_rounding_beside_the_largest(apart, expected):
    assert repeated(np.array([1.0, 0.3 + apart, 0.3])) == expected
    assert repeated(100 * np.array([1.0, 0.3 + apart, 0.3])) == expected


def test_a_zero_layer_repeats_throughout():
    assert repeated(np.zeros(4)) == 4
