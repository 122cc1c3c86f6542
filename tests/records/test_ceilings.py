"""Bounds by their formulas, rates by how much is moved, and no layer under its roof."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lowrank_kit.records import Ceilings, LayerPlan, LayerShape

CEILINGS = Ceilings(
    "a device",
    "float32",
    "ieee",
    1,
    "2.11",
    "2026-01-01",
    macs_per_s=1e9,
    copies=((1e3, 4e9), (1e5, 8e9), (1e7, 2e9)),
    launch_s=1e-5,
    itemsize=4,
)
CONV = LayerShape(8, 4, (3, 3), (10, 10), (5, 5))
LINEAR = LayerShape(64, 32)

few = st.integers(1, 64)
linears = st.builds(LayerShape, few, few)
convolutions = st.builds(lambda m, n, k, s: LayerShape(m, n, (k, k), (s, s), (s, s)), few, few, few, few)
shapes = linears | convolutions
sizes = st.floats(1, 1e9)
rates = st.floats(1e6, 1e12)
copies = st.dictionaries(sizes, rates, min_size=1, max_size=6).map(lambda d: tuple(sorted(d.items())))


def test_arithmetic_takes_its_multiply_adds_over_the_rate():
    assert CEILINGS.compute_s(CONV, 3) == pytest.approx(3 * 8 * 4 * 9 * 25 / 1e9)
    assert CEILINGS.compute_s(LINEAR, 1) == pytest.approx(64 * 32 / 1e9)


def test_moving_takes_weight_inputs_and_outputs_over_the_rate_of_so_many_bytes():
    small, large = 4 * (64 * 32 + 96), 4 * (64 * 32 + 1000 * 96)
    assert 1e3 < small < 1e5 < large < 1e7
    assert CEILINGS.memory_s(LINEAR, 1) == pytest.approx(small / 8e9)
    assert CEILINGS.memory_s(LINEAR, 1000) == pytest.approx(large / 2e9)
    assert CEILINGS.memory_s(CONV, 2) == pytest.approx(4 * (288 + 2 * (400 + 200)) / 8e9)


@pytest.mark.parametrize("itemsize", [2, 8])
def test_numbers_of_other_sizes_move_other_bytes(itemsize):
    found = replace(CEILINGS, itemsize=itemsize, copies=((1e9, 1e9),))
    assert found.memory_s(LINEAR, 5) == pytest.approx(itemsize * (64 * 32 + 5 * 96) / 1e9)
    assert found.compute_s(LINEAR, 5) == CEILINGS.compute_s(LINEAR, 5)


@pytest.mark.parametrize(
    ("moved", "rate"), [(0, 8e9), (1e3, 8e9), (1e3 + 1, 8e9), (1e5, 8e9), (1e5 + 1, 2e9), (1e7, 2e9), (1e12, 2e9)]
)
def test_the_rate_is_the_fastest_at_which_as_much_was_copied(moved, rate):
    """What goes slower in small pieces can't be blamed on the memory, and beyond all sizes the last one holds."""
    assert CEILINGS.bytes_per_s(moved) == rate


@given(copies, sizes, sizes)
def test_more_never_moves_faster_nor_in_less_time(measured, one, other):
    found, (less, more) = replace(CEILINGS, copies=measured), sorted((one, other))
    assert found.bytes_per_s(more) <= found.bytes_per_s(less)
    assert less / found.bytes_per_s(less) <= more / found.bytes_per_s(more)
    assert found.bytes_per_s(less) in dict(measured).values()


@given(copies, rates, st.lists(shapes, max_size=4), few)
def test_no_layer_is_under_its_arithmetic_or_its_traffic(measured, rate, layers, batch):
    found = replace(CEILINGS, macs_per_s=rate, copies=measured)
    bound = found.bound_s(layers, batch)
    compute, memory = ([part(shape, batch) for shape in layers] for part in (found.compute_s, found.memory_s))
    assert bound >= max(sum(compute), sum(memory)) * (1 - 1e-12)
    assert bound <= (sum(compute) + sum(memory)) * (1 + 1e-12)
    assert bound == pytest.approx(sum(found.bound_s([shape], batch) for shape in layers))


@given(copies, rates, shapes, few, few)
def test_more_examples_never_take_less(measured, rate, shape, batch, more):
    found = replace(CEILINGS, macs_per_s=rate, copies=measured)
    assert found.bound_s([shape], batch) <= found.bound_s([shape], batch + more)


def test_each_layer_is_bound_by_what_is_slower_for_it():
    """The first by arithmetic, the second by memory: together by neither alone."""
    found = replace(CEILINGS, copies=((1e9, 1e9),))
    square, thin = LayerShape(100, 100), LayerShape(1, 1000)
    assert found.compute_s(square, 64) > found.memory_s(square, 64)
    assert found.compute_s(thin, 64) < found.memory_s(thin, 64)
    assert found.bound_s([square, thin], 64) == found.compute_s(square, 64) + found.memory_s(thin, 64)
    assert found.bound_s(iter([square, thin]), 64) == found.bound_s([thin, square], 64)
    assert found.bound_s([], 64) == 0


def test_a_block_is_bound_by_its_factors_one_behind_the_other():
    parts = CONV.factorised(LayerPlan(2))
    assert len(parts) == 2
    assert CEILINGS.bound_s(parts, 8) == pytest.approx(sum(CEILINGS.bound_s([part], 8) for part in parts))
