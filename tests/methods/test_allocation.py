"""Laws of the ladder, on random spectra."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lowrank_kit.checks import InputError
from lowrank_kit.methods.allocation import RULES, ladder
from lowrank_kit.records import Spectrum, factor_params


@st.composite
def networks(draw):
    """Spectra of one to four layers, some decaying fast, with what a number of each costs."""
    found, weight = {}, {}
    for i in range(draw(st.integers(1, 4))):
        m, n = draw(st.integers(1, 12)), draw(st.integers(1, 40))
        decay = draw(st.floats(0, 3))
        found[f"layer{i}"] = Spectrum(np.exp(-decay * np.arange(min(m, n))), (m, n), f"layer{i}")
        weight[f"layer{i}"] = draw(st.sampled_from([1.0, 4.0, 196.0]))
    return found, weight


rules = st.sampled_from([*RULES])
# What layers that are not on the ladder cost.
elsewhere = st.sampled_from([0.0, 100.0])


def dense_cost(found, weight):
    return sum(weight[name] * s.shape[0] * s.shape[1] for name, s in found.items())


def cost_of(ranks, found, weight, total):
    """The fraction kept, from its definition."""
    numbers = {
        name: factor_params(rank, found[name].shape) if rank < min(found[name].shape) else np.prod(found[name].shape)
        for name, rank in ranks.items()
    }
    elsewhere = total - dense_cost(found, weight)
    return (sum(weight[n] * k for n, k in numbers.items()) + elsewhere) / total


@given(networks(), rules, elsewhere)
def test_a_ladder_rises_from_rank_one_to_dense(network, rule, elsewhere):
    found, weight = network
    steps = ladder(found, rule, weight, dense_cost(found, weight) + elsewhere)
    full = [min(s.shape) for s in found.values()]
    assert (np.diff(steps.ranks, axis=0) >= 0).all()
    assert (np.diff(steps.cost) > 0).all()
    assert steps.ranks[-1].tolist() == full
    assert steps.cost[-1] == 1
    for rank, spectrum in zip(steps.ranks[0], found.values(), strict=True):
        assert rank == (1 if spectrum.break_even_rank else min(spectrum.shape))


@given(networks(), rules, elsewhere)
def test_every_step_costs_what_it_says_and_saves_or_is_dense(network, rule, elsewhere):
    found, weight = network
    total = dense_cost(found, weight) + elsewhere
    steps = ladder(found, rule, weight, total)
    for row, cost in zip(steps.ranks.tolist(), steps.cost, strict=True):
        ranks = dict(zip(steps.layers, row, strict=True))
        assert cost == pytest.approx(cost_of(ranks, found, weight, total))
        for name, rank in ranks.items():
            assert rank <= found[name].break_even_rank or rank == min(found[name].shape)


@given(networks(), rules, st.floats(0.001, 1))
def test_a_budget_takes_the_dearest_step_within_it(network, rule, budget):
    found, weight = network
    steps = ladder(found, rule, weight, dense_cost(found, weight))
    if budget < steps.cheapest:
        with pytest.raises(InputError, match="`budget` must be at least"):
            steps.at(budget)
        return
    ranks = list(steps.at(budget).values())
    step = steps.ranks.tolist().index(ranks)
    assert steps.cost[step] <= budget + 1e-9
    assert step == len(steps.cost) - 1 or steps.cost[step + 1] > budget


@given(networks(), rules)
def test_a_budget_that_names_a_steps_cost_has_that_step(network, rule):
    found, weight = network
    steps = ladder(found, rule, weight, dense_cost(found, weight))
    for row, cost in zip(steps.ranks.tolist(), steps.cost, strict=True):
        assert [*steps.at(float(cost)).values()] == row


@given(networks())
def test_the_energy_rule_keeps_one_energy_everywhere(network):
    found, weight = network
    for row in ladder(found, "energy", weight, dense_cost(found, weight)).ranks.tolist():
        # At every step there is a level that each layer reaches and that each, one rank lower, would miss.
        ranks = [(s, r) for s, r in zip(found.values(), row, strict=True) if r <= s.break_even_rank]
        reached = min((s.energy[r - 1] for s, r in ranks), default=1.0)
        missed = max((s.energy[r - 2] for s, r in ranks if r > 1), default=0.0)
        assert missed < reached + 1e-12


def test_the_uniform_rule_keeps_one_share_everywhere():
    found = {name: Spectrum(np.ones(min(shape)), shape) for name, shape in {"a": (40, 40), "b": (40, 120)}.items()}
    steps = ladder(found, "uniform", {"a": 1.0, "b": 1.0}, 40 * 40 + 40 * 120)
    assert steps.at(0.5) == {"a": 10, "b": 15}
    assert steps.at(1.0) == {"a": 40, "b": 40}


def test_the_energy_rule_gives_ranks_to_the_spectra_that_need_them():
    found = {"steep": Spectrum(0.1 ** np.arange(20.0), (20, 60)), "flat": Spectrum(np.ones(20), (20, 60))}
    ranks = ladder(found, "energy", {"steep": 1.0, "flat": 1.0}, 2 * 20 * 60).at(0.5)
    assert ranks["steep"] < 3
    assert ranks["flat"] > 10


def test_an_unreachable_budget_names_the_cheapest():
    steps = ladder({"a": Spectrum(np.ones(10), (10, 10))}, "energy", {"a": 1.0}, total=200)
    assert steps.cheapest == 0.6
    with pytest.raises(
        InputError, match=r"at least 0\.6000 for this network, which is rank 1 in every layer.*got 0\.5\."
    ):
        steps.at(0.5)


@pytest.mark.parametrize("budget", [0, -1, 1.5, float("nan")])
def test_a_budget_is_a_fraction(budget):
    with pytest.raises(InputError, match="`budget` must be a fraction above 0 and at most 1"):
        ladder({"a": Spectrum(np.ones(10), (10, 10))}, "energy", {"a": 1.0}, 100).at(budget)


def test_an_unknown_rule_and_an_empty_network():
    with pytest.raises(InputError, match="`rule` must be one of 'energy', 'uniform'; got 'even'"):
        ladder({"a": Spectrum(np.ones(3), (3, 3))}, "even", {"a": 1.0}, 9)
    with pytest.raises(InputError, match="no layer to plan"):
        ladder({}, "energy", {}, 9)


def test_layers_that_cost_nothing_have_no_budget():
    with pytest.raises(InputError, match=r"nothing to plan: no nn\.Linear or nn\.Conv2d is reached by the example"):
        ladder({"a": Spectrum(np.ones(3), (3, 3))}, "energy", {"a": 0.0}, 0)
