"""How rank-adaptive training finds its ranks: by tolerance or budget, between floor and ceiling."""

import math
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from torch import nn

from lowrank_kit.methods.adaptive import Adaptation, kept_rank
from tests.methods.adaptive_trainings import go_on, ranks, row, trained, views, weights


def errors(training, steps):
    """Of every truncation on the way, the relative error of every weight."""
    found, truncate = [], training.truncate

    def look():
        before = weights(training)
        truncate()
        found.append([float((w - before[n]).norm() / before[n].norm()) for n, w in weights(training).items()])

    training.truncate = look
    go_on(training, steps)
    return np.array(found)


@views
@pytest.mark.parametrize("tolerance", [0.05, 0.2, 0.5])
def test_no_truncation_errs_more_than_the_tolerance(view, tolerance):
    training = trained(0, adaptation=Adaptation(tolerance, local_steps=3), rank=1.0, view=view)
    found = errors(training, 18)
    assert found.shape == (6, 3) and found.max() <= tolerance
    assert tolerance < 0.5 or found.max() > 0.5 * tolerance  # the spectra of random weights are flat


@pytest.mark.parametrize("values", [[4.0, 3.0, 0.4, 0.3], [1.0], [0.0, 0.0], [5.0, 5.0, 5.0]])
@pytest.mark.parametrize("bound", [0.0, 0.3, 0.5, 4.0, 100.0])
def test_the_kept_rank_is_the_smallest_whose_tail_stays_within_the_bound(values, bound):
    tails = [float(np.linalg.norm(values[j:])) for j in range(len(values) + 1)]
    assert kept_rank(np.array(values), bound) == next(j for j, tail in enumerate(tails) if tail <= bound)


@views
@pytest.mark.parametrize("budget", [0.5, 0.2])
def test_a_budget_is_reached_step_by_step_and_then_kept(view, budget):
    training = trained(0, adaptation=Adaptation(budget=budget, local_steps=1), view=view, rank=0.7)
    start = training.n_factored
    go_on(training, 30)
    sizes = [start, *training.trajectory["size"]]
    aims = [max(budget * training.n_dense, 0.9 * size) for size in sizes]
    assert all(size <= aim for size, aim in zip(sizes[1:], aims, strict=False))
    assert training.n_factored <= budget * training.n_dense
    # It comes down at its pace, about a tenth: one direction of a small layer may be more.
    assert all(after > 0.7 * before for before, after in pairwise(sizes))
    assert training.n_factored > 0.75 * budget * training.n_dense


def test_a_budget_below_what_the_floor_leaves_ends_at_the_floor():
    training = trained(30, adaptation=Adaptation(budget=0.01, local_steps=1, floor=3))
    assert ranks(training) == {"conv2": (3, 3), "conv3": (3, 3), "fc1": (3, 3)}
    assert training.n_factored > 0.01 * training.n_dense


def test_a_budget_takes_first_what_errs_least():
    training = trained(30, adaptation=Adaptation(budget=0.3, local_steps=1, floor=1))
    tolerance, values = training.trajectory["tolerance"][-1], training.trajectory["values"][-1]
    for layer, found, after in zip(training.layers.values(), values, ranks(training).values(), strict=True):
        bound = tolerance * np.linalg.norm(found[0][~np.isnan(found[0])]) / math.sqrt(layer.independent_modes)
        assert [max(kept_rank(part[~np.isnan(part)], bound), 1) for part in found] == [*after]


@views
def test_floors_and_ceilings_are_kept(view):
    training = trained(0, adaptation=Adaptation(0.9, floor=4, ceiling=7, local_steps=2), view=view)
    for _ in range(6):
        go_on(training, 2)
        for layer in training.layers.values():
            assert all(min(4, n) <= r <= 7 for r, n in zip(layer.ranks, layer.limits, strict=True))
    free = trained(12, adaptation=Adaptation(1e-6, ceiling=7, local_steps=2), view=view)
    assert max(max(pair) for pair in ranks(free).values()) == 7
    if view == "kernel":  # modes smaller than a floor are kept whole
        assert {layer.ranks[2:] for layer in training.layers.values() if len(layer.ranks) == 4} == {(3, 3)}


def test_a_ceiling_does_not_freeze_the_ranks_that_have_reached_it():
    training = trained(3, adaptation=Adaptation(1e-6, ceiling=4, local_steps=3))
    before = [basis.detach().clone() for basis in training.layers["conv2"].bases]
    go_on(training, 3)
    assert training.layers["conv2"].ranks == (4, 4)
    for basis, old in zip(training.layers["conv2"].bases, before, strict=True):
        assert (basis @ basis.mT - old @ old.mT).detach().abs().max() > 1e-3


def test_no_rank_falls_while_it_burns_in():
    training = trained(0, adaptation=Adaptation(0.6, local_steps=2, burn_in=6), rank=0.5)
    start = ranks(training)
    go_on(training, 12)
    found = [row(training, "ranks", at) for at in range(6)]
    for before, after in zip([start, *found[:2]], found[:3], strict=True):
        assert all(new >= old for name in start for new, old in zip(after[name], before[name], strict=True))
    assert any(new < old for name in start for new, old in zip(found[3][name], found[2][name], strict=True))


def test_a_burn_in_holds_for_a_budget_too():
    training = trained(0, adaptation=Adaptation(budget=0.1, local_steps=2, burn_in=4))
    start = training.n_factored
    go_on(training, 4)
    assert training.n_factored >= start
    go_on(training, 2)
    assert training.n_factored <= 0.9 * start


def test_another_adaptation_takes_effect_at_the_next_truncation():
    training = trained(3, adaptation=Adaptation(0.01, local_steps=3))
    before = training.n_factored
    training.adaptation = replace(training.adaptation, tolerance=0.6, ceiling=5)
    go_on(training, 3)
    assert training.n_factored < before and max(max(pair) for pair in ranks(training).values()) <= 5
    assert training.trajectory["tolerance"].tolist() == [0.01, 0.6]


def test_a_matrix_has_one_rank():
    training = trained(12, adaptation=Adaptation(budget=0.2, local_steps=1), view="matrix")
    assert all(first == second for first, second in ranks(training).values())
    narrow = nn.Sequential(nn.Flatten(), nn.Linear(192, 20), nn.Linear(20, 3), nn.Linear(3, 4)).double()
    training = trained(4, adaptation=Adaptation(0.2, floor=5, local_steps=2), model=narrow)
    assert ranks(training) == {"2": (3, 3)}


def test_a_rank_can_grow():
    training = trained(12, adaptation=Adaptation(0.01, local_steps=3), rank=0.2)
    assert ranks(training)["conv2"] > (3, 2) and ranks(training)["fc1"] > (4, 4)
