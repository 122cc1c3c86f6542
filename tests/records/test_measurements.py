"""Intervals against closed formulas, a simulation and values worked out by hand; times only under equal conditions."""

from dataclasses import replace

import numpy as np
import pytest

from lowrank_kit.checks import InputError
from lowrank_kit.records import Change, Measurement, Timing

Z = 1.959963984540054


def measured(correct, label="net"):
    correct = np.asarray(correct, dtype=int)
    return Measurement(label, 10, 40, 20, np.ones_like(correct), correct)


def paired(both, gained, lost, neither):
    """A measurement and the one it is compared with: counts of examples each, one or none gets right."""
    counts = (both, gained, lost, neither)
    return measured(np.repeat([1, 1, 0, 0], counts)), measured(np.repeat([1, 0, 1, 0], counts))


@pytest.mark.parametrize(("right", "n"), [(0, 1), (1, 1), (0, 20), (20, 20), (990, 1000), (7, 10)])
def test_accuracy_interval_is_wilsons(right, n):
    p = right / n
    centre = (p + Z**2 / (2 * n)) / (1 + Z**2 / n)
    half = Z / (1 + Z**2 / n) * np.sqrt(p * (1 - p) / n + Z**2 / (4 * n**2))
    found = measured(np.arange(n) < right)
    assert found.accuracy == p
    assert found.interval == pytest.approx((centre - half, centre + half), abs=1e-12)


def test_wilson_by_hand():
    # Newcombe 1998, table I: 81 of 263.
    assert measured(np.arange(263) < 81).interval == pytest.approx((0.2553, 0.3662), abs=5e-5)


def test_change_by_hand():
    new, old = paired(both=80, gained=3, lost=9, neither=8)
    change = new.change(old)
    up, down, n = 4 / 102, 10 / 102, 100
    half = Z * np.sqrt((up + down - (up - down) ** 2) / 102)
    assert (change.value, change.n_examples) == (-0.06, n)
    assert (change.low, change.high) == pytest.approx((up - down - half, up - down + half))
    assert (change.low, change.high) == pytest.approx((-0.129809, 0.012162), abs=1e-6)


def test_a_change_says_its_interval_and_that_it_is_paired():
    new, old = paired(both=80, gained=3, lost=9, neither=8)
    assert str(new.change(old)) == "-6.0 points [-13.0, +1.2], n = 100, paired"
    assert str(Change(0.0, -0.02, 0.02, 7)) == "+0.0 points [-2.0, +2.0], n = 7, paired"


def test_change_turns_its_sign_with_the_order():
    new, old = paired(30, 2, 7, 11)
    there, back = new.change(old), old.change(new)
    assert (back.value, back.low, back.high) == pytest.approx((-there.value, -there.high, -there.low))


def test_no_difference_still_has_an_interval():
    new, old = paired(50, 0, 0, 0)
    change = new.change(old)
    assert change.value == 0
    assert change.low == -change.high < 0


@pytest.mark.parametrize("counts", [(0, 1, 0, 0), (0, 0, 1, 0), (0, 10, 0, 0), (0, 0, 0, 1)])
def test_change_stays_within_what_is_possible(counts):
    new, old = paired(*counts)
    change = new.change(old)
    assert -1 <= change.low <= change.value <= change.high <= 1


@pytest.mark.parametrize("chances", [(0.85, 0.03, 0.07, 0.05), (0.96, 0.01, 0.02, 0.01), (0.4, 0.2, 0.2, 0.2)])
def test_change_interval_covers_the_truth(chances):
    rng = np.random.default_rng(0)
    truth = chances[1] - chances[2]
    covered = 0
    for counts in rng.multinomial(200, chances, size=1500):
        new, old = paired(*counts)
        change = new.change(old)
        covered += change.low <= truth <= change.high
    assert covered / 1500 >= 0.93


def test_changes_are_paired():
    one, other = measured([1, 1, 0]), replace(measured([1, 1, 0]), labels=np.array([1, 0, 1]))
    for compare in (one.change, one.agreement):
        with pytest.raises(InputError, match="paired: both measurements must be on the same examples"):
            compare(other)
        with pytest.raises(InputError, match="got 3 and 2 examples"):
            compare(measured([1, 1]))


def test_per_class_and_agreement():
    labels = np.array([0, 0, 3, 3])
    one = Measurement("a", 1, 4, 1, labels, np.array([0, 3, 3, 3]))
    other = Measurement("b", 1, 4, 1, labels, np.array([0, 3, 3, 0]))
    assert one.per_class == {0: 0.5, 3: 1.0}
    assert one.agreement(other) == 0.75
    assert one.accuracy == 0.75


def test_a_measurement_without_time_has_no_speedup():
    timing = Timing(np.ones(3), 8, "cpu", "float32", "contiguous", 1)
    with pytest.raises(InputError, match="both measurements must hold a latency"):
        measured([1]).speedup(replace(measured([1]), timing=timing))
    assert measured([1]).latency_s is None


def test_repr_tells_accuracy_with_interval_and_n():
    assert repr(measured([1, 1, 1, 0], "mine")).startswith("Measurement(mine: accuracy 75.0% [30.1%, 95.4%], n = 4;")
