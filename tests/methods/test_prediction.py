"""Predictions: what is measured is the truth, what is not is told apart."""

from itertools import islice, pairwise

import numpy as np
import pytest
from torch import nn

from lowrank_kit.checks import InputError
from lowrank_kit.measurement.cost import macs, n_params
from lowrank_kit.measurement.measure import measure
from lowrank_kit.measurement.quality import predictions
from lowrank_kit.methods.prediction import measure_drops, random_ranks, tabulate, try_plans
from lowrank_kit.models.running import EXAMPLES_A_BATCH, batches
from lowrank_kit.models.surgery import Factorisation, compress
from lowrank_kit.records import Data


def tabulated(factorisation, data):
    return tabulate(factorisation, data, measure(factorisation.model, data, latency_budget_s=0))


@pytest.fixture(scope="module")
def estimated(digits_factorisation, digits):
    return tabulated(digits_factorisation, digits[1])


@pytest.fixture(scope="module")
def measured(estimated, digits_factorisation, digits):
    *_, tables = measure_drops(estimated, digits_factorisation, digits[1], points=9)
    return tables


@pytest.fixture(scope="module")
def tried(measured, digits_factorisation, digits):
    return [*try_plans(measured, digits_factorisation, digits[1], n=20)]


def accuracy(model, examples):
    return (predictions(model, examples) == examples.y).mean()


# estimates


def test_tables_begin_with_what_is_known_at_once(estimated, digits):
    model, data = digits
    assert estimated.accuracy == accuracy(model, data.test)
    assert (estimated.n_classes, estimated.n_examples, estimated.name) == (10, len(data.test), "digits-mlp")
    assert [t.name for t in estimated.layers] == ["fc1", "fc2", "head"]
    assert [t.is_head for t in estimated.layers] == [False, False, True]
    assert not any(t.measured.any() for t in estimated.layers)


def test_estimated_drops_are_the_energy_cut_off(estimated):
    for table in estimated.layers:
        expected = (estimated.accuracy - 0.1) * (1 - table.spectrum.energy)
        np.testing.assert_allclose(table.drop, expected)
        assert (np.diff(table.drop) <= 1e-12).all()
        assert table.drop[-1] == pytest.approx(0, abs=1e-12)


def test_prediction_error_is_unknown_before_plans_were_tried(estimated, measured):
    assert estimated.prediction_error(0.9) is None
    assert measured.prediction_error(0.9) is None


def test_a_network_without_layers_has_no_tables(digits):
    with pytest.raises(
        InputError, match=r"`model` must have a linear or convolution layer that factors make smaller; it has none"
    ):
        tabulated(Factorisation(nn.Sequential(nn.ReLU())), digits[1])


def test_a_network_whose_layers_cannot_be_made_smaller_has_no_tables(vectors, split):
    model = nn.Sequential(nn.Linear(12, 1), nn.Linear(1, 4))
    with pytest.raises(InputError, match=r"a linear or convolution layer that factors make smaller; it has none"):
        tabulated(Factorisation(model), split(vectors))


def test_tables_count_layers_of_one_weight_as_often_as_they_are_run(vectors, split):
    model = nn.Sequential(*(nn.Linear(12, 12) for _ in range(3)), nn.Linear(12, 4))
    model[1].weight = model[2].weight = model[0].weight
    factorisation = Factorisation(model)
    tables = tabulated(factorisation, split(vectors))
    for rank in (1, 3, 5, 12):
        ranks = {"0": rank, "3": 4}
        small = factorisation.compress(tables.plan(ranks))
        assert tables.macs_at(ranks) == macs(small, vectors.x)
        assert tables.n_params_at(ranks) == n_params(small)


def test_the_head_is_the_layer_that_is_run_last(vectors, split):
    class Backwards(nn.Module):
        def __init__(self):
            super().__init__()
            self.out, self.spare, self.middle, self.into = (
                nn.Linear(n, m) for n, m in [(8, 4), (8, 8), (8, 8), (12, 8)]
            )

        def forward(self, x):
            return self.out(self.middle(self.into(x)))

    found = tabulated(Factorisation(Backwards()), split(vectors))
    assert {t.name: (t.is_head, t.macs, t.rank_macs) for t in found.layers} == {
        "out": (True, 32, 12),
        "spare": (False, 0, 0),
        "middle": (False, 64, 16),
        "into": (False, 96, 20),
    }


# measured drops


def test_measured_drops_are_the_true_loss_on_validation(measured, digits, by_hand):
    model, data = digits
    dense = accuracy(model, data.validation)
    for table in measured.layers:
        ranks = np.flatnonzero(table.measured) + 1
        assert {1, table.break_even_rank} <= {*ranks.tolist()}
        assert len(ranks) <= 9
        for rank in ranks.tolist():
            cut = compress(model, by_hand(model, {table.name: rank}), break_even_guard=False)
            truth = dense - accuracy(cut, data.validation)
            # Two ways to the same scores differ in their last digits: a tie may fall the other way.
            assert abs(table.drop[rank - 1] - truth) * len(data.validation) <= 1.001


def test_full_rank_loses_nothing_and_the_rest_lies_between_neighbours(measured):
    for table in measured.layers:
        assert table.drop[-1] == 0
        assert not table.measured[table.break_even_rank :].any()
        known = [*np.flatnonzero(table.measured), table.full_rank - 1]
        for low, high in pairwise(known):
            between = table.drop[low : high + 1]
            assert between.min() >= min(between[0], between[-1]) - 1e-12
            assert between.max() <= max(between[0], between[-1]) + 1e-12


def test_layers_become_measured_one_after_another(estimated, digits_factorisation, digits):
    seen = [
        tuple(t.measured.any() for t in tables.layers)
        for tables in measure_drops(estimated, digits_factorisation, digits[1], points=2)
    ]
    order = [(True, False, False), (True, True, False), (True, True, True)]
    assert [state for state in dict.fromkeys(seen) if any(state)] == order


def test_no_step_is_longer_than_a_batch(estimated, digits_factorisation, digits):
    head, batches_run, steps = digits_factorisation.layers["head"], [], []
    hook = head.register_forward_hook(lambda _, inputs, output: batches_run.append(len(output)))
    try:
        running = measure_drops(estimated, digits_factorisation, digits[1], points=2)
        next(running)  # the dense network is run first
        batches_run.clear()
        for tables in running:  # noqa: B007 (the last ones are looked at)
            steps.append(len(batches_run) - sum(steps))
    finally:
        hook.remove()
    assert all(t.measured.any() for t in tables.layers)
    assert {*steps} == {0, 1}
    assert max(batches_run) <= EXAMPLES_A_BATCH
    assert sum(batches_run) == 3 * 2 * len(digits[1].validation)  # three layers at two ranks


def test_without_points_every_rank_that_saves_is_measured(vectors, split, mlp):
    factorisation, data = Factorisation(mlp), split(vectors)
    *_, tables = measure_drops(tabulated(factorisation, data), factorisation, data)
    for table in tables.layers:
        assert np.flatnonzero(table.measured).tolist() == [*range(table.break_even_rank)]


def test_only_validation_examples_are_looked_at(measured, estimated, digits_factorisation, digits):
    data = digits[1]
    other = Data("other", data.validation, data.test.take(slice(0, 1)))
    *_, again = measure_drops(estimated, digits_factorisation, other, points=9)
    for one, two in zip(again.layers, measured.layers, strict=True):
        np.testing.assert_array_equal(one.drop, two.drop)


# random plans


def test_random_ranks_are_reproducible_and_within_limits(estimated):
    found = [*random_ranks(estimated, 200, seed=3)]
    assert found == [*random_ranks(estimated, 200, seed=3)] != [*random_ranks(estimated, 200, seed=4)]
    for ranks in found:
        assert ranks["head"] == 10
        for table in estimated.layers[:2]:
            assert isinstance(ranks[table.name], int)
            assert 1 <= ranks[table.name] <= table.break_even_rank
    for table in estimated.layers[:2]:
        seen = {ranks[table.name] for ranks in found}
        assert {1, table.break_even_rank} <= seen
        assert len(seen) > table.break_even_rank / 2


def test_observed_is_the_accuracy_of_the_plan_on_test(tried, measured, digits):
    model, data = digits
    last = tried[-1]
    for i, ranks in enumerate(islice(random_ranks(measured, 20), 5)):
        plan = measured.plan(ranks)
        assert last.predicted[i] == measured.predict(ranks)
        assert last.observed[i] == measure(compress(model, plan), data, latency_budget_s=0).accuracy


def test_plans_become_known_one_after_another(tried, digits):
    known = [len(t.predicted) for t in tried]
    assert known == [len(t.observed) for t in tried] == sorted(known)
    assert [*dict.fromkeys(known)] == [*range(21)]
    a_plan = len(batches(digits[1].test.x)) + 1
    assert len(known) == 20 * a_plan > 40
    assert known[a_plan - 2 : a_plan] == [0, 1]


def test_prediction_error_is_unknown_until_fifteen_plans_were_tried(tried):
    for tables in tried:
        assert (tables.prediction_error(0.9) is None) is (len(tables.predicted) < 15)


def test_predictions_are_within_their_stated_error_for_most_plans(tried, digits_factorisation, digits):
    data, tables, kept = digits[1], tried[-1], 0
    for ranks in random_ranks(tables, 30, seed=9):
        predicted = tables.predict(ranks)
        truth = accuracy(digits_factorisation.compress(tables.plan(ranks)), data.test)
        kept += abs(predicted - truth) <= tables.prediction_error(predicted)
    assert kept >= 20


def test_trying_again_starts_afresh(tried, digits_factorisation, digits):
    again = try_plans(tried[-1], digits_factorisation, digits[1])
    start = next(again)
    assert len(start.predicted) == len(start.observed) == 0
    first = next(tables for tables in again if len(tables.predicted))
    assert first.observed.tolist() == tried[-1].observed[:1].tolist()
