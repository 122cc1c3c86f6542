"""Learning of a single direction, against the differential equation, and against descents in small steps."""

from itertools import islice

import numpy as np
import pytest
from scipy.integrate import solve_ivp

from lowrank_kit.maths.dynamics import Objective, Rule, aligned, descend, mode_strength

depths = pytest.mark.parametrize("depth", [1, 2, 3, 4, 7])


@depths
@pytest.mark.parametrize(("value", "start"), [(3.0, 0.5), (0.4, 0.3), (12.0, 0.2)])
def test_the_strength_solves_its_equation(depth, value, start):
    """dx/dt = x^(L-1) (s - x^L), integrated numerically until nothing moves any more."""
    end = 40.0 if depth == 1 else 40 / (value * start ** (depth - 2))
    times = np.concatenate([[0.0], np.geomspace(1e-3 * end, end, 300)])
    flow = solve_ivp(
        lambda _, x: x ** (depth - 1) * (value - x**depth), (0, end), [start], "Radau", times, rtol=1e-9, atol=1e-12
    )
    found = mode_strength(times, value, start, depth)
    np.testing.assert_allclose(found, flow.y[0] ** depth, atol=3e-5 * value)
    assert found[0] == pytest.approx(start**depth)
    assert found[-1] == pytest.approx(value, rel=1e-6)


@depths
def test_the_strength_only_grows(depth):
    found = mode_strength(np.linspace(0, 30, 5000), 2.0, 0.4, depth)
    assert (np.diff(found) >= 0).all()
    assert found.max() <= 2.0 * (1 + 1e-12)


def farthest(target, depth, rate, end):
    """How far a descent's strengths are from what is foretold, over time."""
    U, S, Vh = np.linalg.svd(target)
    steps = round(end / rate)
    path = descend(aligned(target, depth, 0.5), Objective(target), Rule(rate))
    walked = np.array([np.diag(U.T @ product @ Vh.T) for _, product in islice(path, steps + 1)])
    times = rate * np.arange(steps + 1)
    told = np.stack([mode_strength(times, value, 0.5, depth) for value in S], axis=1)
    assert told[-1, 0] > 0.99 * S[0], "the end is far enough for something to be learnt"
    return np.abs(walked - told).max()


@pytest.mark.parametrize("depth", [1, 2, 3, 4])
def test_descents_follow_the_flow_up_to_their_steps(depth):
    rng = np.random.default_rng(0)
    target = (rng.standard_normal((4, 4)) + 3 * np.eye(4)) / 2
    assert np.linalg.svd(target, compute_uv=False).min() > 0.5
    coarse, fine = (farthest(target, depth, rate, 6.0) for rate in (4e-3, 1e-3))
    assert fine < 1e-2
    assert coarse / fine == pytest.approx(4, rel=0.1)


@pytest.mark.parametrize("depth", [2, 3, 4])
@pytest.mark.parametrize("start", [1.0, 1.5, 0.0])
def test_only_starts_below_the_target_are_foretold(depth, start):
    assert np.isnan(mode_strength(np.arange(4.0), 1.0, start, depth)).all()


def test_one_layer_may_also_shrink():
    times = np.linspace(0, 9, 50)
    np.testing.assert_allclose(mode_strength(times, 1.0, 3.0, 1), 1 + 2 * np.exp(-times), rtol=1e-12)


def test_deeper_networks_wait_longer():
    times = np.linspace(0, 40, 4001)
    reached = [times[np.argmax(mode_strength(times, 1.0, 0.1, depth) > 0.5)] for depth in (1, 2, 3)]
    assert 0 < reached[0] < reached[1] < reached[2]
