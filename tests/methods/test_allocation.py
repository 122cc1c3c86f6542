"""Laws of the ladder, on random spectra."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lowrank_kit.checks import InputError
from lowrank_kit.methods.allocation import RULES, Price, ladder, params_prices, path_of
from lowrank_kit.records import Spectrum, tucker_params, tucker_saves


@st.composite
def networks(draw):
    """Spectra of one to four layers, some in groups or decaying fast, with the price of each."""
    found, prices = {}, {}
    for i in range(draw(st.integers(1, 4))):
        m, n, groups = draw(st.integers(1, 12)), draw(st.integers(1, 40)), draw(st.sampled_from([1, 1, 3]))
        decay, weight = draw(st.floats(0, 3)), draw(st.sampled_from([1.0, 4.0, 196.0]))
        name = f"layer{i}"
        found[name] = Spectrum(np.exp(-decay * np.arange(min(m, n))), (m, n), name, groups)
        prices[name] = Price(weight * groups * m * n, weight * groups * (m + n))
    return found, prices


rules = st.sampled_from([*RULES])
# What layers that are not on the ladder cost.
elsewhere = st.sampled_from([0.0, 100.0])


def dense_cost(prices):
    return sum(price.dense for price in prices.values())


def cost_of(ranks, found, prices, total):
    """The fraction kept, from its definition."""
    full = {name: min(s.shape) for name, s in found.items()}
    kept = [prices[n].per_rank * rank if rank < full[n] else prices[n].dense for n, rank in ranks.items()]
    return (sum(kept) + total - dense_cost(prices)) / total


def plain(found):
    return params_prices(found), sum(s.shape[0] * s.shape[1] for s in found.values())


@given(networks(), rules, elsewhere)
def test_a_ladder_rises_from_rank_one_to_dense(network, rule, elsewhere):
    found, prices = network
    steps = ladder(found, rule, prices, dense_cost(prices) + elsewhere)
    full = [min(s.shape) for s in found.values()]
    assert (np.diff(steps.ranks, axis=0) >= 0).all()
    assert (np.diff(steps.cost) > 0).all()
    assert steps.ranks[-1].tolist() == full
    assert steps.cost[-1] == 1
    for rank, spectrum in zip(steps.ranks[0], found.values(), strict=True):
        assert rank == (1 if spectrum.break_even_rank else min(spectrum.shape))


@given(networks(), rules, elsewhere)
def test_every_step_costs_what_it_says_and_saves_or_is_dense(network, rule, elsewhere):
    found, prices = network
    total = dense_cost(prices) + elsewhere
    steps = ladder(found, rule, prices, total)
    for row, cost in zip(steps.ranks.tolist(), steps.cost, strict=True):
        ranks = dict(zip(steps.layers, row, strict=True))
        assert cost == pytest.approx(cost_of(ranks, found, prices, total))
        for name, rank in ranks.items():
            assert rank <= found[name].break_even_rank or rank == min(found[name].shape)


@given(networks(), rules, st.floats(1, 4))
def test_a_rank_that_saves_numbers_but_nothing_of_the_cost_is_dense(network, rule, dearer):
    found, prices = network
    prices = {name: Price(price.dense, dearer * price.per_rank) for name, price in prices.items()}
    steps = ladder(found, rule, prices, dense_cost(prices))
    assert (np.diff(steps.cost) > 0).all() and steps.cost[-1] == 1
    for row, cost in zip(steps.ranks.tolist(), steps.cost, strict=True):
        ranks = dict(zip(steps.layers, row, strict=True))
        assert cost == pytest.approx(cost_of(ranks, found, prices, dense_cost(prices)))
        for name, rank in ranks.items():
            assert rank * prices[name].per_rank < prices[name].dense or rank == min(found[name].shape)


@given(networks(), rules, st.floats(0.001, 1))
def test_a_budget_takes_the_dearest_step_within_it(network, rule, budget):
    found, prices = network
    steps = ladder(found, rule, prices, dense_cost(prices))
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
    found, prices = network
    steps = ladder(found, rule, prices, dense_cost(prices))
    for row, cost in zip(steps.ranks.tolist(), steps.cost, strict=True):
        assert [*steps.at(float(cost)).values()] == row


@given(networks())
def test_the_energy_rule_keeps_one_energy_everywhere(network):
    found, prices = network
    for row in ladder(found, "energy", prices, dense_cost(prices)).ranks.tolist():
        # At every step there is a level that each layer reaches and that each, one rank lower, would miss.
        ranks = [(s, r) for s, r in zip(found.values(), row, strict=True) if r <= s.break_even_rank]
        reached = min((s.energy[r - 1] for s, r in ranks), default=1.0)
        missed = max((s.energy[r - 2] for s, r in ranks if r > 1), default=0.0)
        assert missed < reached + 1e-12


def test_the_uniform_rule_keeps_one_share_everywhere():
    found = {name: Spectrum(np.ones(min(shape)), shape) for name, shape in {"a": (40, 40), "b": (40, 120)}.items()}
    steps = ladder(found, "uniform", *plain(found))
    assert steps.at(0.5) == {"a": 10, "b": 15}
    assert steps.at(1.0) == {"a": 40, "b": 40}


def test_the_energy_rule_gives_ranks_to_the_spectra_that_need_them():
    found = {"steep": Spectrum(0.1 ** np.arange(20.0), (20, 60)), "flat": Spectrum(np.ones(20), (20, 60))}
    ranks = ladder(found, "energy", *plain(found)).at(0.5)
    assert ranks["steep"] < 3
    assert ranks["flat"] > 10


def test_an_unreachable_budget_names_the_cheapest():
    steps = ladder({"a": Spectrum(np.ones(10), (10, 10))}, "energy", {"a": Price(100, 20)}, total=200)
    assert steps.cheapest == 0.6
    with pytest.raises(
        InputError, match=r"at least 0\.6000 for this network, which is rank 1 in every layer.*got 0\.5\."
    ):
        steps.at(0.5)


@pytest.mark.parametrize("budget", [0, -1, 1.5, float("nan")])
def test_a_budget_is_a_fraction(budget):
    with pytest.raises(InputError, match="`budget` must be a fraction above 0 and at most 1"):
        ladder({"a": Spectrum(np.ones(10), (10, 10))}, "energy", {"a": Price(100, 20)}, 100).at(budget)


def test_an_unknown_rule_and_an_empty_network():
    with pytest.raises(InputError, match="`rule` must be one of 'energy', 'uniform'; got 'even'"):
        ladder({"a": Spectrum(np.ones(3), (3, 3))}, "even", {"a": Price(9, 6)}, 9)
    with pytest.raises(InputError, match="no layer to plan"):
        ladder({}, "energy", {}, 9)


def test_layers_that_cost_nothing_have_no_budget():
    with pytest.raises(InputError, match="nothing to plan: no linear or convolution layer is reached by the example"):
        ladder({"a": Spectrum(np.ones(3), (3, 3))}, "energy", {"a": Price(0, 0)}, 0)


def test_the_uniform_rule_does_not_mind_groups():
    alone, grouped = (Spectrum(np.ones(10), (10, 30), "a", groups) for groups in (1, 4))
    ranks = [ladder({"a": s}, "uniform", params_prices({"a": s}), 300 * s.groups).at(0.5) for s in (alone, grouped)]
    assert ranks[0] == ranks[1] == {"a": 3}


def test_prices_in_parameters_are_those_of_all_groups():
    assert params_prices({"a": Spectrum(np.ones(4), (4, 9), "a", 3)}) == {"a": Price(3 * 36, 3 * 13)}


def test_ranks_of_many_budgets_are_those_of_each():
    found = {"a": Spectrum(0.5 ** np.arange(20.0), (20, 60)), "b": Spectrum(np.ones(12), (12, 12))}
    steps = ladder(found, "energy", *plain(found))
    budgets = np.linspace(steps.cheapest, 1, 23)
    assert steps.table(budgets).tolist() == [[*steps.at(float(budget)).values()] for budget in budgets]
    assert steps.table(np.array([steps.cheapest / 2])).tolist() == [[1, 1]]


# pairs of ranks


@st.composite
def convolutions(draw):
    """Spectra of one to three layers, of which some are matrices, with the price of each and the shapes of tensors."""
    found, prices, shapes = {}, {}, {}
    for i in range(draw(st.integers(1, 3))):
        name, k = f"layer{i}", draw(st.sampled_from([1, 4, 9]))
        m, n = draw(st.integers(1, 12)), draw(st.integers(1, 12))
        decays = [np.exp(-draw(st.floats(0, 2)) * np.arange(size)) for size in (m, n)]
        if k == 1:
            found[name] = Spectrum(decays[0][: min(m, n)], (m, n), name)
            prices[name] = Price(m * n, m + n)
            continue
        shapes[name] = (m, n, k)
        found[name] = tuple(Spectrum(v, (len(v), m * n * k // len(v)), name) for v in decays)
        # Positions in front of a stride are dearer than those behind it.
        q, p = draw(st.sampled_from([(1, 1), (4, 1), (49, 12)]))
        prices[name] = Price(p * m * n * k, (p * m, q * n), p * k)
    return found, prices, shapes


@given(convolutions(), rules, elsewhere)
def test_a_ladder_of_pairs_rises_to_dense_and_saves_at_every_step(network, rule, elsewhere):
    found, prices, shapes = network
    total = dense_cost(prices) + elsewhere
    steps = ladder(found, rule, prices, total)
    full = {name: s.shape if name in shapes else min(s.shape) for name, s in found.items() if name not in shapes}
    full |= {name: shape[:2] for name, shape in shapes.items()}
    assert (np.diff(steps.ranks, axis=0) >= 0).all()
    assert (np.diff(steps.cost) > 0).all() and steps.cost[-1] == 1
    for cost in steps.cost:
        ranks, kept = steps.at(float(cost)), total - dense_cost(prices)
        for name, rank in ranks.items():
            price = prices[name]
            if rank == full[name]:
                kept += price.dense
                continue
            a_cost = price.of(np.array([np.atleast_1d(rank)]))[0]
            assert a_cost < price.dense
            assert name not in shapes or tucker_saves(rank, shapes[name])
            kept += a_cost
        assert cost == pytest.approx(kept / total)
    assert steps.at(1.0) == full


@given(convolutions())
def test_the_energy_rule_keeps_one_energy_in_every_mode(network):
    found, prices, shapes = network
    steps = ladder(found, "energy", prices, dense_cost(prices))
    for cost in steps.cost:
        reached, missed = [], []
        for name, rank in steps.at(float(cost)).items():
            if name not in shapes or not tucker_saves(rank, shapes[name]):
                continue
            for mode, r in zip(found[name], rank, strict=True):
                reached.append(mode.energy[r - 1])
                missed.append(mode.energy[r - 2] if r > 1 else 0.0)
        assert max(missed, default=0) < min(reached, default=1) + 1e-12


def test_the_uniform_rule_keeps_one_share_of_both_sizes_and_of_every_layer():
    shapes = {"a": (64, 64, 9), "b": (32, 96, 9)}
    found = {
        name: tuple(Spectrum(np.ones(size), (size, m * n * k // size)) for size in (m, n))
        for name, (m, n, k) in shapes.items()
    }
    found["c"] = Spectrum(np.ones(40), (40, 40))
    ranks = ladder(found, "uniform", params_prices(found), 64 * 64 * 9 + 32 * 96 * 9 + 1600).at(0.3)
    for name, shape in shapes.items():
        (outputs, inputs), (m, n, k) = ranks[name], shape
        assert abs(outputs / m - inputs / n) < 1 / 32
        assert tucker_params(ranks[name], shape) / (m * n * k) == pytest.approx(0.3, abs=0.03)
    assert ranks["c"] == 6


@pytest.mark.parametrize("rule", RULES)
def test_a_path_goes_to_full_ranks(rule, rng):
    modes = tuple(Spectrum(np.sort(rng.random(n))[::-1], (n, 90 // n)) for n in (6, 5))
    levels, ranks = path_of(rule, modes)
    assert (np.diff(levels) > 0).all()
    assert ranks[-1].tolist() == [6, 5] and ranks.min() == 1
    assert (np.diff(ranks, axis=0) >= 0).all() and (np.diff(ranks, axis=0).sum(axis=1) > 0).all()
