"""The staircase: ranks worth having, each faster than dense and than all that are larger."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lowrank_kit.records import LayerPlan, LayerTimes

# Few different times, so that many are equal.
times = st.lists(st.integers(1, 12), max_size=12)


def timed(seconds, dense_s=10.0):
    plans = tuple(LayerPlan(rank) for rank in range(1, len(seconds) + 1))
    return LayerTimes("layer", plans, np.array(seconds, dtype=float), dense_s, {})


@pytest.mark.parametrize(
    ("seconds", "kept"),
    [
        ([1, 2, 3], [0, 1, 2]),
        ([3, 2, 1], [2]),
        ([5, 5, 5], [2]),
        ([2, 4, 3, 9, 8], [0, 2, 4]),
        ([9, 10, 11], [0]),
        ([10, 10], []),
        ([11, 12], []),
        ([], []),
    ],
)
def test_stairs_by_hand(seconds, kept):
    assert timed(seconds).staircase.tolist() == kept


@given(times, st.integers(1, 12))
def test_what_is_kept_is_faster_than_dense_and_than_everything_larger(seconds, dense_s):
    found = timed(seconds, dense_s)
    for index in found.staircase:
        assert seconds[index] < min([dense_s, *seconds[index + 1 :]])


@given(times, st.integers(1, 12))
def test_what_is_dropped_has_something_larger_that_is_as_fast(seconds, dense_s):
    """And where it is no faster than dense, that is the dense layer."""
    found = timed(seconds, dense_s)
    stairs = {*found.staircase.tolist()}
    for index in {*range(len(seconds))} - stairs:
        larger = [seconds[other] for other in stairs if other > index]
        assert min([dense_s, *larger]) <= seconds[index]


@given(times, st.integers(1, 12))
def test_stairs_rise_in_rank_and_in_time(seconds, dense_s):
    found = timed(seconds, dense_s)
    assert (np.diff(found.staircase) > 0).all()
    assert (np.diff(found.seconds[found.staircase]) > 0).all()


@given(times, st.integers(1, 12))
def test_the_fastest_of_all_is_a_stair_if_it_is_faster_than_dense(seconds, dense_s):
    fastest = min([dense_s, *seconds])
    kept = timed(seconds, dense_s).staircase
    assert bool(len(kept)) == (fastest < dense_s)
    assert len(kept) == 0 or seconds[kept[0]] == fastest


@given(times, st.integers(1, 12))
def test_the_stairs_of_stairs_are_all_of_them(seconds, dense_s):
    kept = timed(seconds, dense_s).staircase
    again = timed([seconds[index] for index in kept], dense_s)
    assert again.staircase.tolist() == [*range(len(kept))]


@pytest.mark.parametrize("seconds", [[], [11], [1, 2]])
def test_stairs_are_indices_however_few(seconds):
    found = timed(seconds)
    assert found.staircase.dtype.kind == "i"
    assert len(found.seconds[found.staircase]) == len(found.staircase)
