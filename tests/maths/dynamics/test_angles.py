"""Angles against rotations by known angles, and against SciPy."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.linalg import subspace_angles

from lowrank_kit.maths.dynamics import largest_angles, start, vector_angles


def frame(d, seed=0):
    return start("orthogonal", (d, d), 1.0, seed)[0]


@pytest.mark.parametrize("angle", [0.0, 1e-12, 1e-8, 1e-3, 0.7, np.pi / 2])
@pytest.mark.parametrize("sign", [1, -1])
def test_a_vector_turned_by_an_angle(angle, sign):
    Q = frame(6)
    then = Q[:, :2]
    now = sign * (np.cos(angle) * then + np.sin(angle) * Q[:, 2:4])
    # Exact where the arc cosine knows nothing below 1e-8.
    np.testing.assert_allclose(vector_angles(now, then), angle, rtol=1e-3, atol=2e-16 if angle else 1e-15)


def test_signs_do_not_count_and_no_angle_is_obtuse(rng):
    now, then = frame(5, 1), frame(5, 2)
    found = vector_angles(now, then)
    np.testing.assert_allclose(found, np.arccos(np.abs(np.sum(now * then, axis=0))), atol=1e-7)
    np.testing.assert_array_equal(vector_angles(now * rng.choice([-1, 1], 5), then), found)
    assert ((found >= 0) & (found <= np.pi / 2)).all()


def test_angles_over_time():
    then, film = frame(5)[:, :3], np.stack([frame(5, seed)[:, :3] for seed in range(4)])
    np.testing.assert_allclose(vector_angles(film, then), [vector_angles(now, then) for now in film], rtol=1e-12)


@given(st.integers(2, 9).flatmap(lambda d: st.tuples(st.just(d), st.integers(1, d - 1))), st.integers(0, 99))
def test_spans_turn_by_their_largest_principal_angle(size, seed):
    d, k = size
    film, then = np.stack([frame(d, seed)[:, :k], frame(d, seed + 1)[:, :k]]), frame(d, seed + 2)
    expected = [subspace_angles(now, then[:, :k])[0] for now in film]
    np.testing.assert_allclose(largest_angles(film, then[:, k:]), expected, atol=1e-7)


@pytest.mark.parametrize("k", [2, 4], ids=["fewer than the rest", "more than the rest"])
def test_a_span_that_rests_and_one_that_turns(k):
    Q, mixed = frame(6), frame(k, 1)
    assert largest_angles(Q[:, :k] @ mixed, Q[:, k:]) == pytest.approx(0, abs=1e-7)
    turned = np.concatenate([Q[:, : k - 1], np.cos(0.3) * Q[:, k - 1 : k] + np.sin(0.3) * Q[:, k : k + 1]], axis=1)
    assert largest_angles(turned @ mixed, Q[:, k:]) == pytest.approx(0.3)
    away = np.concatenate([Q[:, : k - 1], Q[:, k : k + 1]], axis=1)
    assert largest_angles(away, Q[:, k:]) == pytest.approx(np.pi / 2)
