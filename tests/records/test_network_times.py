"""What a network should take: the dense time less what its layers save, and how far off that has been."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lowrank_kit.records import NetworkTimes

fractions = st.floats(0.01, 2)
layers = st.lists(st.lists(fractions, min_size=2, max_size=5), min_size=1, max_size=4)


def made(*shares, dense_s=0.008, batch=1):
    """Layers "0", "1" ..., whose times are exact in single precision."""
    return NetworkTimes(batch, dense_s, {str(i): np.array(part, dtype=np.float32) for i, part in enumerate(shares)})


def at(times, *ranks):
    return times.predict({str(i): rank for i, rank in enumerate(ranks)})


def off_by(*errors, predicted=1.0):
    """Settings of one prediction each, found to take so much longer or shorter."""
    found = np.full(len(errors), predicted)
    return NetworkTimes(1, 1.0, {}, found, found / (1 + np.array(errors)))


def test_what_layers_save_is_taken_off_the_dense_time():
    times = made([0.125, 0.25, 0.5], [0.0625, 0.25])
    assert at(times, 1, 2) == 0.008 * (1 - 0.375)
    assert at(times, 2, 1) == 0.008 * (1 - 0.25 - 0.1875)


def test_a_pair_of_ranks_is_one_place():
    times = made([[0.125, 0.25], [0.25, 0.375], [0.375, 0.5]])
    assert at(times, (3, 1)) == 0.008 * (1 - 0.125)
    assert at(times, (1, 2)) == 0.008 * (1 - 0.25)


@given(layers)
def test_all_dense_is_the_dense_time_to_the_bit(shares):
    assert at(made(*shares), *map(len, shares)) == 0.008


@given(layers, st.randoms())
def test_it_takes_some_time_always_and_more_where_a_layer_does(shares, random):
    ranks = [random.randint(1, len(part)) for part in shares]
    times, index = made(*shares), random.randrange(len(shares))
    found = at(times, *ranks)
    assert found > 0
    other = [*ranks[:index], random.randint(1, len(shares[index])), *ranks[index + 1 :]]
    slower = times.shares[str(index)][other[index] - 1] > times.shares[str(index)][ranks[index] - 1]
    assert not slower or at(times, *other) >= found


def test_layers_that_take_longer_alone_than_the_network_leave_it_their_share():
    assert at(made([0.5, 2.0], [1.0, 2.0]), 1, 2) == 0.008 * 2.5 / 4


def test_a_cut_layer_that_was_not_timed_leaves_it_open():
    times = made([math.nan, math.nan, 0], [0.25, 0.5])
    assert at(times, 1, 2) is None
    assert at(times, 3, 1) == 0.006
    known = times.knowing("0", np.array([0.125, 0.25, 0.25]))
    assert at(known, 1, 1) == 0.008 * (1 - 0.375)
    assert known.shares["0"].dtype == np.float32


def test_nothing_is_known_before_the_dense_network_is_timed():
    assert at(made([0.25, 0.5], dense_s=math.nan), 2) is None


def test_a_setting_is_judged_by_what_was_predicted_before_it_was_timed():
    times = made([0.5, 1.0]).seen({"0": 1}, 0.005, 0.01)
    assert (times.predicted.tolist(), times.observed.tolist()) == ([0.004], [0.005])
    assert times.dense_s == 0.01
    assert at(times, 1) == 0.005


@pytest.mark.parametrize(("shares", "ranks"), [([0.25, 0.5, 0.5], 3), ([0.25, 0.5, 0.5], 2), ([math.nan, 0], 1)])
def test_dense_settings_and_those_not_predicted_tell_the_pace_alone(shares, ranks):
    times = made(shares).seen({"0": ranks}, 0.011, 0.012)
    assert len(times.predicted) == len(times.observed) == 0
    assert times.dense_s == 0.012


@pytest.mark.parametrize("n", [0, 4])
def test_of_few_settings_no_error_is_told(n):
    assert off_by(*[0.1] * n).error(1.0) is None


@given(st.lists(st.floats(-0.5, 1), min_size=5, max_size=10))
def test_nine_in_ten_stayed_within_the_error(errors):
    found = off_by(*errors).error(1.0)
    within = np.abs(errors) <= found + 1e-9
    assert within.mean() >= 0.9
    assert np.isclose(np.abs(errors), found).any()
    assert len(errors) == 10 or within.all()


def test_the_nearest_ten_count():
    near, far = np.full(10, 1.0), np.full(5, 3.0)
    times = NetworkTimes(1, 1.0, {}, np.append(far, near), np.append(far / 2, near / 1.25))
    assert times.error(1.2) == pytest.approx(0.25)
    assert times.error(2.9) == pytest.approx(1.0)
