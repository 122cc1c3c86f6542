from dataclasses import replace

import numpy as np
import pytest

from lowrank_kit.checks import InputError
from lowrank_kit.records import Timing


@pytest.fixture
def timing():
    return Timing(np.array([3.0, 1.0, 2.0]), 8, "cpu", "float32", "contiguous", 1)


@pytest.fixture
def noise():
    return np.random.default_rng(3)


def test_speedup_is_above_one_where_faster(timing):
    fast = replace(timing, raw_s=timing.raw_s / 4)
    assert fast.speedup(timing) == 4
    assert timing.speedup(fast) == 0.25
    assert (timing.median_s, timing.p95_s) == (2.0, pytest.approx(2.9))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("batch", 1),
        ("device", "gpu"),
        ("dtype", "float16"),
        ("layout", "channels_last"),
        ("threads", 2),
        ("mode", "graph"),
        ("precision", "tf32"),
    ],
)
def test_times_under_other_conditions_are_not_compared(timing, name, value):
    other = replace(timing, **{name: value})
    sentence = rf"same conditions; got unlike {name} \({getattr(timing, name)!r} and {value!r}\)"
    for compare in (timing.speedup, timing.speedup_interval):
        with pytest.raises(InputError, match=sentence):
            compare(other)


def test_neither_load_nor_setup_is_a_condition(timing):
    assert timing.speedup(replace(timing, busy=0.9, setup_s=30.0)) == 1


def test_a_disturbance_that_strikes_both_leaves_the_interval_narrow(timing, noise):
    disturbed = noise.lognormal(0, 1, 200)
    before, now = (replace(timing, raw_s=seconds * disturbed) for seconds in (2.0, 1.0))
    low, high = now.speedup_interval(before)
    assert low == pytest.approx(2) == high
    apart = replace(timing, raw_s=2 * noise.lognormal(0, 1, 200))
    low, high = now.speedup_interval(apart)
    assert high - low > 0.3


def test_the_interval_covers_the_true_ratio_about_as_often_as_it_says(timing, noise):
    covered = 0
    for _ in range(200):
        before, now = (replace(timing, raw_s=mean * noise.lognormal(0, 0.2, 40)) for mean in (3.0, 2.0))
        low, high = now.speedup_interval(before)
        covered += low <= 1.5 <= high
    assert 0.9 <= covered / 200 <= 0.99  # four standard errors around 0.95


def test_the_interval_is_the_same_each_time(timing, noise):
    other = replace(timing, raw_s=noise.lognormal(0, 1, 3))
    assert timing.speedup_interval(other) == timing.speedup_interval(other)


@pytest.mark.parametrize(("one", "other"), [(3, 2), (0, 0), (0, 3)])
def test_an_interval_needs_rounds_of_both(timing, one, other):
    now, before = (replace(timing, raw_s=np.ones(k)) for k in (one, other))
    with pytest.raises(InputError, match=f"as many of both; got {one} and {other} rounds"):
        now.speedup_interval(before)


def test_a_row_holds_conditions_and_quantiles(timing):
    row = replace(timing, raw_s=np.arange(101.0), busy=0.1, setup_s=2.5).to_row()
    assert row == {
        "batch": 8,
        "device": "cpu",
        "dtype": "float32",
        "layout": "contiguous",
        "threads": 1,
        "mode": "eager",
        "precision": "ieee",
        "p05_s": 5.0,
        "p25_s": 25.0,
        "median_s": 50.0,
        "p75_s": 75.0,
        "p95_s": 95.0,
        "rounds": 101,
        "busy": 0.1,
        "setup_s": 2.5,
    }


def test_a_busy_machine_is_noticed(timing):
    assert not timing.is_disturbed
    assert replace(timing, busy=0.5).is_disturbed


def test_a_time_without_its_conditions_cannot_be_built():
    with pytest.raises(TypeError):
        Timing(np.ones(3))
