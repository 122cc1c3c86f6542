"""Capacities are the smallest ranks that are enough, one layer at a time and all together."""

import numpy as np
import pytest

from lowrank_kit.checks import InputError
from lowrank_kit.measurement.quality import logits
from lowrank_kit.methods.capacity import functional_capacities, joint_capacity
from lowrank_kit.methods.curves import rank_curves
from lowrank_kit.models.surgery import Factorisation
from lowrank_kit.records import LayerPlan, RankPlan


@pytest.fixture(scope="module")
def seen(digits):
    return digits[1].train.stratified(300)[0]


@pytest.fixture(scope="module")
def capacities(digits_factorisation, seen):
    return functional_capacities(digits_factorisation, seen)


@pytest.fixture(scope="module")
def search(digits_factorisation, seen, capacities):
    return joint_capacity(digits_factorisation, seen, capacities)


def recall(factorisation, examples, ranks):
    plan = RankPlan({name: LayerPlan(rank) for name, rank in ranks.items()}, factorisation.weights)
    cut = factorisation.compress(plan, break_even_guard=False)
    return float((logits(cut, examples.x).argmax(axis=1) == examples.y).mean())


@pytest.mark.parametrize("tolerance", [0.0, 0.01, 0.1, 0.5])
@pytest.mark.parametrize("layer", ["fc1", "fc2", "head"])
def test_a_capacity_is_enough_and_the_rank_below_is_not(digits_factorisation, seen, layer, tolerance):
    found = functional_capacities(digits_factorisation, seen, [layer], tolerance=tolerance)[layer]
    curve = rank_curves(digits_factorisation, seen, {layer: [r for r in (found - 1, found) if r > 0]})[layer]
    needed = curve.dense_accuracy - tolerance - 1e-9
    assert curve.at(found) >= needed
    assert found == 1 or curve.at(found - 1) < needed


def test_where_recall_grows_it_is_the_smallest_rank_of_all(digits_factorisation, seen):
    curve = rank_curves(digits_factorisation, seen, {"head": range(1, 11)})["head"]
    assert np.all(np.diff(curve.accuracy) >= -0.005)
    assert functional_capacities(digits_factorisation, seen, ["head"], tolerance=0.05) == {"head": curve.capacity(0.05)}


def test_more_tolerance_never_needs_more_rank(digits_factorisation, seen):
    found = [
        functional_capacities(digits_factorisation, seen, ["fc2"], tolerance=t)["fc2"] for t in (0, 0.01, 0.2, 0.6)
    ]
    assert found == sorted(found, reverse=True)


def test_the_method_may_be_another(digits, seen):
    factorisation = Factorisation(*digits)
    (found,) = functional_capacities(factorisation, seen, ["fc2"], method="aware").values()
    curves = rank_curves(factorisation, seen, {"fc2": [found - 1, found]}, method="aware")
    assert curves["fc2"].capacity(0.01) == found


class TestJoint:
    def test_it_stays_within_the_tolerance(self, search, digits_factorisation, seen):
        assert search.best.recall >= search.dense_recall - search.tolerance - 1e-9
        assert recall(digits_factorisation, seen, search.best.ranks) == pytest.approx(search.best.recall, abs=0.004)
        assert search.n_examples == 300

    def test_it_starts_with_the_capacities_of_single_layers(self, search, capacities):
        assert search.alone.ranks == capacities
        assert not search.alone.changed

    def test_numbers_are_counted(self, search):
        ranks, whole = search.alone.ranks, {"fc1": (128, 64), "fc2": (128, 128), "head": (10, 128)}
        stored = sum(min(ranks[n] * sum(s), s[0] * s[1]) for n, s in whole.items())
        assert search.alone.stored == stored
        assert search.dense_stored == 128 * 64 + 128 * 128 + 10 * 128

    def test_shrinking_goes_down_one_layer_at_a_time(self, search):
        shrunk = [step for step in search.steps if step.changed]
        assert shrunk
        for before, after in zip(search.steps[-len(shrunk) - 1 :], shrunk, strict=False):
            assert after.stored < before.stored
            assert {n for n in after.ranks if after.ranks[n] != before.ranks[n]} == {after.changed}
            assert after.recall >= search.dense_recall - search.tolerance - 1e-9

    def test_nothing_shrinks_any_further(self, search, digits_factorisation, seen):
        for name, rank in search.best.ranks.items():
            less = {**search.best.ranks, name: rank - 1}
            assert recall(digits_factorisation, seen, less) < search.dense_recall - search.tolerance + 1e-9

    def test_a_generous_tolerance_ends_at_rank_one(self, digits_factorisation, seen):
        search = joint_capacity(digits_factorisation, seen, {"fc2": 3}, tolerance=0.95)
        assert search.best.ranks == {"fc2": 1}


@pytest.mark.parametrize("tolerance", [-0.1, 1, 5])
def test_a_tolerance_is_a_fraction(digits_factorisation, seen, tolerance):
    with pytest.raises(InputError, match=r"from 0 to below 1; got .* Write 0\.01 for 1 %"):
        functional_capacities(digits_factorisation, seen, ["fc1"], tolerance=tolerance)


def test_unknown_layers_are_refused(digits_factorisation, seen):
    with pytest.raises(InputError, match="`layer` must be one of"):
        functional_capacities(digits_factorisation, seen, ["fc9"])
    with pytest.raises(InputError, match="`layer` must be one of"):
        joint_capacity(digits_factorisation, seen, {"fc9": 3})
