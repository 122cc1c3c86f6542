"""One record holds everything; a pair may be compared."""

import numpy as np
import pytest

from lowrank_kit.measurement.cost import macs, n_params, size_bytes
from lowrank_kit.measurement.measure import measure, measure_pair
from lowrank_kit.measurement.quality import predictions
from lowrank_kit.models.surgery import compress


def test_a_measurement_holds_what_was_measured(digits):
    model, data = digits
    found = measure(model, data, batch=3, latency_budget_s=0.001)
    assert (found.label, found.n_params, found.size_bytes) == ("Sequential", n_params(model), size_bytes(model))
    assert found.macs == macs(model, data.test.x)
    assert found.n_examples == len(data.test)
    np.testing.assert_array_equal(found.labels, data.test.y)
    np.testing.assert_array_equal(found.predictions, predictions(model, data.test))
    assert found.timing.batch == 3
    assert len(found.latency_s) >= 5


def test_given_examples_take_the_place_of_the_test_set(digits):
    model, data = digits
    found = measure(model, data.validation, label="mine", latency_budget_s=0)
    assert (found.label, found.n_examples, found.timing) == ("mine", len(data.validation), None)


def test_a_pair_is_compared_in_accuracy_and_time(digits, by_hand):
    model, data = digits
    plan = by_hand(model, {"fc1": 2, "fc2": 2})
    dense, small = measure_pair(model, compress(model, plan), data, plan=plan, latency_budget_s=0.001)
    assert (dense.label, small.label) == ("dense", "compressed")
    assert (dense.plan, small.plan) == (None, plan)
    assert dense.timing.conditions == small.timing.conditions
    assert small.speedup(dense) > 0
    assert small.change(dense).value == pytest.approx(small.accuracy - dense.accuracy)
    assert small.change(dense).high < 0
    assert small.n_params < dense.n_params
