"""Tables of pairs of ranks: estimates at once, then measured along a path, then put to the test."""

from functools import partial
from itertools import islice

import numpy as np
import pytest
import torch
from torch import nn

from lowrank_kit.checks import InputError
from lowrank_kit.measurement.measure import measure
from lowrank_kit.measurement.quality import predictions
from lowrank_kit.methods.prediction import try_plans
from lowrank_kit.methods.tucker_tables import estimated_ranks, measure_tucker_drops, random_pairs, tabulate_tucker
from lowrank_kit.models.running import EXAMPLES_A_BATCH
from lowrank_kit.models.surgery import Factorisation, compress
from lowrank_kit.records import Data, LayerPlan, Spectrum


@pytest.fixture(scope="module")
def few(mnist):
    """Fewer of the images, so that it goes fast."""
    data = mnist[1]
    return Data("few", data.validation.stratified(200)[0], data.test.stratified(300)[0])


@pytest.fixture(scope="module")
def factorisation(mnist):
    return Factorisation(mnist[0])


@pytest.fixture(scope="module")
def estimated(factorisation, few):
    return tabulate_tucker(factorisation, few, measure(factorisation.model, few, latency_budget_s=0))


@pytest.fixture(scope="module")
def measured(estimated, factorisation, few):
    *_, tables = measure_tucker_drops(estimated, factorisation, few, points=5)
    return tables


@pytest.fixture(scope="module")
def tried(measured, factorisation, few):
    return [*try_plans(measured, factorisation, few, n=16, draw=random_pairs)]


def accuracy(model, examples):
    return (predictions(model, examples) == examples.y).mean()


# estimates


def test_tables_begin_with_what_is_known_at_once(estimated, factorisation, few):
    assert estimated.accuracy == accuracy(factorisation.model, few.test)
    assert [t.name for t in estimated.layers] == ["conv1", "conv2", "conv3"]
    assert [t.shape for t in estimated.layers] == [(32, 1, 5, 5), (64, 32, 3, 3), (128, 64, 3, 3)]
    assert {*estimated.whole} == {"fc1", "head"}
    assert not any(t.measured for t in estimated.layers)
    for table in estimated.layers:
        for mine, theirs in zip(table.modes, factorisation.modes(table.name)[1], strict=True):
            np.testing.assert_array_equal(mine.values, theirs.values)


def test_estimated_drops_are_the_energy_cut_off(estimated):
    for table in estimated.layers:
        for pair in [(1, 1), (5, 1), (9, 1)]:
            expected = (estimated.accuracy - 0.1) * table.error_at(pair) ** 2
            assert table.drop_at(pair) == pytest.approx(expected, abs=1e-3)


@pytest.mark.parametrize("model", [nn.Linear(12, 4), nn.Sequential(nn.Conv2d(3, 4, 1)), nn.Conv2d(4, 4, 3, groups=2)])
def test_a_network_without_such_convolutions_has_no_tables(model, digits):
    with pytest.raises(InputError, match="a convolution with a kernel larger than 1 and without groups; it has none"):
        tabulate_tucker(Factorisation(model), digits[1], measure(*digits, latency_budget_s=0))


# ranks above the noise


def test_planted_components_are_found_in_both_modes(rng):
    core = rng.standard_normal((5, 3, 3, 3))
    weight = np.einsum("or,rs...,is->oi...", rng.standard_normal((40, 5)), core, rng.standard_normal((24, 3)))
    noisy = nn.Conv2d(24, 40, 3)
    with torch.no_grad():
        noisy.weight.copy_(torch.from_numpy(weight + 0.1 * rng.standard_normal(weight.shape)))
    assert estimated_ranks(Factorisation(noisy).modes("")[1]) == (5, 3)


def test_where_nothing_stands_out_the_layer_stays_whole():
    torch.manual_seed(0)
    assert estimated_ranks(Factorisation(nn.Conv2d(24, 40, 3)).modes("")[1]) == (40, 24)


def test_a_single_input_is_kept():
    values = np.r_[9.0, 5.0, np.linspace(0.1, 0.05, 23)]
    assert estimated_ranks((Spectrum(np.r_[values, np.zeros(7)], (32, 25)), Spectrum(np.ones(1), (1, 800)))) == (2, 1)


# measured drops


def test_measured_drops_are_the_true_loss_on_validation(measured, factorisation, few, by_hand):
    model = factorisation.model
    dense = accuracy(model, few.validation)
    for table in measured.layers:
        assert table.measured and 2 <= len(table.knots) <= 5
        assert (np.diff(table.knots) > 0).all()
        assert table.knots[-1] == table.error_at((1, 1))
        found = 0
        for o, i in zip(*np.nonzero(np.isin(table.errors, table.knots.astype(np.float32))), strict=True):
            pair = int(o) + 1, int(i) + 1
            small = compress(model, by_hand(model, {table.name: pair}, "tucker"))
            truth = dense - accuracy(small, few.validation)
            # Two ways to the same scores differ in their last digits: a tie may fall the other way.
            assert abs(table.drop_at(pair) - truth) * len(few.validation) <= 1.001
            found += 1
        assert found >= len(table.knots)


def test_layers_become_measured_one_after_another_in_short_steps(estimated, factorisation, few):
    head, batches_run, steps = factorisation.layers["head"], [], []
    hook = head.register_forward_hook(lambda _, inputs, output: batches_run.append(len(output)))
    try:
        running = measure_tucker_drops(estimated, factorisation, few, points=2)
        seen = [tuple(t.measured for t in next(running).layers)]  # the dense network is run first
        batches_run.clear()
        for tables in running:
            seen.append(tuple(t.measured for t in tables.layers))
            steps.append(len(batches_run) - sum(steps))
    finally:
        hook.remove()
    assert [*dict.fromkeys(seen)] == [(False,) * 3, (True, False, False), (True, True, False), (True,) * 3]
    assert {*steps} == {0, 1} and max(batches_run) <= EXAMPLES_A_BATCH


def test_a_short_path_is_measured_whole(estimated, factorisation, few):
    running = measure_tucker_drops(estimated, factorisation, few, points=16)
    first = next(tables.layers[0] for tables in running if tables.layers[0].measured)
    # Pairs (1, 1) to (14, 1) of conv1 save something.
    np.testing.assert_array_equal(first.knots, first.errors[13::-1, 0].astype(float))


def test_a_layer_that_no_pair_makes_smaller_is_measured_at_the_least(images, split):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 2, (1, 2)), nn.Conv2d(2, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    found, data = Factorisation(model), split(images)
    *_, tables = measure_tucker_drops(
        tabulate_tucker(found, data, measure(model, data, latency_budget_s=0)), found, data
    )
    assert all(t.measured for t in tables.layers)
    assert tables.layers[0].drop_at((1, 1)) == 0 or tables.layers[0].saves((1, 1))


def test_only_validation_examples_are_looked_at(measured, estimated, factorisation, few):
    other = Data("other", few.validation, few.test.take(slice(0, 1)))
    *_, again = measure_tucker_drops(estimated, factorisation, other, points=5)
    for one, two in zip(again.layers, measured.layers, strict=True):
        np.testing.assert_array_equal(one.drops, two.drops)


# random plans


def test_random_pairs_are_reproducible_and_save_or_are_dense(estimated):
    found = [*random_pairs(estimated, 200, seed=3)]
    assert found == [*random_pairs(estimated, 200, seed=3)] != [*random_pairs(estimated, 200, seed=4)]
    for table in estimated.layers:
        seen = {plan[table.name] for plan in found}
        assert all(pair == table.full_rank or table.saves(pair) for pair in seen)
        assert all(LayerPlan(pair, "tucker").rank == pair for pair in seen)
        assert {pair[0] for pair in seen} >= {table.full_rank[0]}
        assert min(pair[0] for pair in seen) <= table.full_rank[0] / 8


def test_observed_is_the_accuracy_of_the_plan_on_test(tried, measured, factorisation, few):
    last = tried[-1]
    assert len(last.predicted) == len(last.observed) == 16
    for i, ranks in enumerate(islice(random_pairs(measured, 16), 4)):
        assert last.predicted[i] == measured.predict(ranks)
        assert last.observed[i] == accuracy(compress(factorisation.model, measured.plan(ranks)), few.test)


def test_predictions_are_within_their_stated_error_for_most_plans(tried, factorisation, few):
    tables, kept = tried[-1], 0
    for ranks in random_pairs(tables, 20, seed=9):
        predicted = tables.predict(ranks)
        truth = accuracy(factorisation.compress(tables.plan(ranks)), few.test)
        kept += abs(predicted - truth) <= tables.prediction_error(predicted)
    assert kept >= 13


def test_the_head_is_left_alone(images, split):
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.Conv2d(8, 8, 3), nn.Conv2d(8, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten()
    )
    data = split(images)
    tables = tabulate_tucker(Factorisation(model), data, measure(model, data, latency_budget_s=0))
    assert [t.is_head for t in tables.layers] == [False, False, True]
    assert {plan["2"] for plan in random_pairs(tables, 20)} == {(4, 8)}
    steps = partial(try_plans, tables, Factorisation(model), data, n=2, draw=random_pairs)
    assert len([*steps()][-1].observed) == 2
