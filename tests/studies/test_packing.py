"""What goes into a database as bytes comes out as it was."""

import numpy as np
import pytest

from lowrank_kit.records import Timing
from lowrank_kit.studies.packing import packed, packed_timing, unpacked, unpacked_timing


@pytest.mark.parametrize(("largest", "bytes_each"), [(0, 1), (255, 1), (256, 2), (70_000, 4), (2**40, 8)])
def test_classes_take_as_few_bytes_as_they_need(largest, bytes_each):
    classes = np.array([0, largest, 0, largest // 2])
    assert len(packed(classes)) == 4 * bytes_each
    found = unpacked(packed(classes), 4)
    assert found.dtype == np.int64
    assert found.tolist() == classes.tolist()


def test_classes_that_are_not_contiguous_are_packed_in_their_order():
    assert unpacked(packed(np.arange(10)[::-3]), 4).tolist() == [9, 6, 3, 0]


def test_a_timing_keeps_its_conditions_and_its_times():
    timing = Timing(np.array([1.25e-5, 3.0e-3, 0.7]), 4, "chip", "float32", "contiguous", 2, 0.25)
    again = unpacked_timing(*packed_timing(timing))
    assert (again.conditions, again.busy) == (timing.conditions, timing.busy)
    np.testing.assert_allclose(again.raw_s, timing.raw_s, rtol=1e-7)
    assert again.speedup(timing) == pytest.approx(1)
