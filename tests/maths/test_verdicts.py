"""Every verdict is reached, the first that holds is given, and a block that grows faster stays so."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lowrank_kit.maths.kernel_times import COSTS
from lowrank_kit.maths.verdicts import GAIN, VERDICTS, verdict

costs = st.lists(st.integers(0, 1000), min_size=len(COSTS), max_size=len(COSTS)).map(lambda c: np.array(c, dtype=float))
wastes = st.floats(0, 1)


def spent(launch=0.0, compute=0.0, weight=0.0, read=0.0, written=0.0, laid_out=0.0, fresh=0.0):
    """Seconds in the order of COSTS."""
    return np.array([launch, compute, weight, read, written, laid_out, fresh], dtype=float)


DENSE = spent(10, 70, 5, 5, 5, 3, 2)  # 100 in all


@pytest.mark.parametrize(
    ("block", "waste", "expected"),
    [
        (spent(10, 60, 10, 10), 0.9, "faster"),
        (spent(60, 20, 10, 10), 0.0, "launch"),
        (spent(10, 70, 20), 0.5, "tile"),
        (spent(10, 40, 20, 20, 20), 0.0, "memory"),
        (spent(10, 80, 20), 0.0, "compute"),
    ],
)
def test_every_verdict_has_its_case(block, waste, expected):
    assert verdict(DENSE, block, waste) == expected


def test_those_cases_are_all_verdicts():
    assert VERDICTS == ("faster", "launch", "tile", "memory", "compute")


@pytest.mark.parametrize("cost", COSTS[2:])
def test_everything_but_launch_and_arithmetic_is_memory(cost):
    moved = {cost.replace(" ", "_"): 60}
    assert verdict(DENSE, spent(launch=30, compute=50, **moved), 0.0) == "memory"


def test_moves_are_weighed_together():
    assert verdict(DENSE, spent(30, 40, 9, 9, 9, 9, 9), 0.0) == "memory"


@pytest.mark.parametrize(("after", "expected"), [(100.0, "faster"), (100.001, "launch")])
def test_a_twentieth_is_the_least_gain(after, expected):
    assert GAIN == 1.05
    assert verdict(spent(compute=105), spent(launch=after), 0.0) == expected


@pytest.mark.parametrize(("before", "expected"), [(105 * 0.8, "tile"), (83.9, "compute")])
def test_tiles_are_to_blame_where_it_would_be_faster_without_their_waste(before, expected):
    """Of 100 s of arithmetic 20 are on channels that the block does not have."""
    assert verdict(spent(compute=before), spent(compute=100), 0.2) == expected


def test_being_faster_comes_before_all_others():
    block = spent(launch=90)
    assert verdict(spent(compute=105 * 0.9), block, 1.0) == "faster"
    assert verdict(spent(compute=90), block, 1.0) == "launch"


def test_tiles_come_before_launches():
    """Most of the time starts kernels, and yet full tiles would make it faster."""
    block = spent(launch=60, compute=40)
    assert verdict(DENSE, block, 0.5) == "tile"
    assert verdict(DENSE, block, 0.0) == "launch"


def test_launches_are_to_blame_only_where_they_take_the_most():
    assert verdict(DENSE, spent(40, 40, 30), 0.0) == "compute"
    assert verdict(DENSE, spent(40, 30, 40), 0.0) == "memory"
    assert verdict(DENSE, spent(40.1, 40, 30), 0.0) == "launch"
    assert verdict(DENSE, spent(30, 40, 40), 0.0) == "compute"


@given(costs, costs, wastes)
def test_a_verdict_is_always_one_of_five(dense, block, waste):
    assert verdict(dense, block, waste) in VERDICTS


@given(costs, costs, wastes, wastes, st.floats(0, 1))
def test_what_is_faster_stays_so_when_all_of_it_grows_faster(dense, block, waste, other, share):
    if verdict(dense, block, waste) == "faster":
        assert verdict(dense, share * block, other) == "faster"


@given(costs, wastes, st.integers(0, len(COSTS) - 1), st.floats(0, 1))
def test_what_is_faster_stays_so_when_one_cost_falls(block, waste, index, share):
    dense, less = 1.05 * block + 1, block.copy()
    less[index] *= share
    assert verdict(dense, block, waste) == verdict(dense, less, waste) == "faster"


@given(costs, costs, wastes, wastes)
def test_more_waste_never_clears_the_tiles(dense, block, waste, other):
    low, high = sorted((waste, other))
    if verdict(dense, block, low) == "tile":
        assert verdict(dense, block, high) == "tile"


@given(costs, costs, wastes, st.sampled_from([2.0**-20, 0.5, 8.0]))
def test_units_do_not_matter(dense, block, waste, unit):
    assert verdict(unit * dense, unit * block, waste) == verdict(dense, block, waste)
