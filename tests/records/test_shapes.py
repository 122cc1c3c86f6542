"""Shapes by closed formulas, and what a plan makes of them by the counts of its factors."""

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lowrank_kit.checks import InputError
from lowrank_kit.records import LayerPlan, LayerShape, tucker_params

CONV = LayerShape(64, 32, (3, 5), (28, 20), (14, 10))
LINEAR = LayerShape(96, 40, (), (7,), (7,))
GROUPED = LayerShape(12, 8, (3, 3), (9, 6), (9, 6), groups=4)
LINE = LayerShape(6, 4, (5,), (30,), (15,))
SOLID = LayerShape(6, 4, (3, 1, 2), (5, 6, 7), (5, 6, 6))
POINT = LayerShape(16, 8, (1, 1), (7, 7), (4, 4))


@st.composite
def shapes(draw, sides=(0, 3), groups=3):
    few = st.integers(1, 6)
    n, g = draw(st.integers(*sides)), draw(st.integers(1, groups))
    kernel, size, out = (tuple(draw(few) for _ in range(n)) for _ in range(3))
    if n == 0:
        size = out = (draw(few),)
        g = 1
    return LayerShape(g * draw(few), g * draw(few), kernel, size, out, g)


def totals(parts):
    return sum(part.weights for part in parts), sum(part.macs for part in parts)


def assert_chained(shape, parts):
    """Each takes what the one before puts out, the first what the layer takes, the last puts out what it puts out."""
    assert (parts[0].inputs, parts[0].size) == (shape.inputs, shape.size)
    assert (parts[-1].outputs, parts[-1].out_size) == (shape.outputs, shape.out_size)
    for before, behind in pairwise(parts):
        assert (before.outputs, before.out_size) == (behind.inputs, behind.size)
    assert {part.groups for part in parts} == {shape.groups}


def test_a_convolution_multiplies_every_weight_at_every_position_it_puts_out():
    assert CONV.weights == 64 * 32 * 15
    assert CONV.macs == 64 * 32 * 15 * 14 * 10
    assert CONV.traffic(8) == 64 * 32 * 15 + 8 * (32 * 28 * 20 + 64 * 14 * 10)


def test_a_linear_layer_multiplies_every_weight_for_every_vector():
    assert LINEAR.is_linear
    assert not CONV.is_linear
    assert (LINEAR.weights, LINEAR.macs, LINEAR.traffic(3)) == (3840, 3840 * 7, 3840 + 3 * 7 * (96 + 40))
    assert LayerShape(10, 4).macs == 40


def test_a_group_sees_its_own_inputs_alone():
    assert (GROUPED.weights, GROUPED.macs) == (12 * 2 * 9, 12 * 2 * 9 * 54)
    assert GROUPED.traffic(2) == GROUPED.weights + 2 * 54 * (8 + 12)


@pytest.mark.parametrize(
    ("shape", "methods"),
    [
        (CONV, ("svd", "spatial", "tucker")),
        (LINEAR, ("svd",)),
        (GROUPED, ("svd", "spatial")),
        (LINE, ("svd", "tucker")),
        (SOLID, ("svd", "tucker")),
        (POINT, ("svd",)),
        (LayerShape(4, 4, (1, 5), (9, 9), (9, 9)), ("svd", "tucker")),
    ],
    ids=str,
)
def test_methods_are_those_that_suit(shape, methods):
    assert shape.methods == methods


@pytest.mark.parametrize(
    ("shape", "method", "ranks"),
    [
        (CONV, "svd", (64,)),
        (CONV, "aware", (64,)),
        (CONV, "spatial", (96,)),
        (CONV, "tucker", (64, 32)),
        (LINEAR, "svd", (40,)),
        (GROUPED, "svd", (3,)),
        (GROUPED, "spatial", (6,)),
        (LayerShape(64, 3, (3, 3), (8, 8), (8, 8)), "svd", (27,)),
    ],
)
def test_full_ranks_are_those_of_the_matrix_or_the_modes(shape, method, ranks):
    assert shape.full_ranks(method) == ranks


def test_two_factors_walk_first_and_then_stand():
    reduce, expand = CONV.factorised(LayerPlan(8))
    assert reduce == LayerShape(8, 32, (3, 5), (28, 20), (14, 10))
    assert expand == LayerShape(64, 8, (1, 1), (14, 10), (14, 10))
    assert LINEAR.factorised(LayerPlan(5)) == (LayerShape(5, 40, (), (7,), (7,)), LayerShape(96, 5, (), (7,), (7,)))


def test_spatial_factors_walk_down_and_then_across():
    down, across = CONV.factorised(LayerPlan(8, "spatial"))
    assert down == LayerShape(8, 32, (3, 1), (28, 20), (14, 20))
    assert across == LayerShape(64, 8, (1, 5), (14, 20), (14, 10))


def test_tucker_reduces_before_the_stride_and_expands_behind_it():
    reduce, core, expand = CONV.factorised(LayerPlan((20, 10), "tucker"))
    assert reduce == LayerShape(10, 32, (1, 1), (28, 20), (28, 20))
    assert core == LayerShape(20, 10, (3, 5), (28, 20), (14, 10))
    assert expand == LayerShape(64, 20, (1, 1), (14, 10), (14, 10))


def test_every_group_has_a_rank_of_its_own():
    reduce, expand = GROUPED.factorised(LayerPlan(2))
    assert (reduce.outputs, expand.inputs, reduce.groups, expand.groups) == (8, 8, 4, 4)
    down, across = GROUPED.factorised(LayerPlan(2, "spatial"))
    assert (down.outputs, across.inputs, down.kernel, across.kernel) == (8, 8, (3, 1), (1, 3))


@given(shapes(), st.integers(1, 9))
def test_a_matrix_of_rank_r_takes_r_of_rows_and_columns_in_each_group(shape, rank):
    parts = shape.factorised(LayerPlan(rank))
    rows, columns = shape.outputs // shape.groups, shape.inputs // shape.groups * math.prod(shape.kernel)
    assert_chained(shape, parts)
    weights, macs = totals(parts)
    assert weights == shape.groups * rank * (rows + columns)
    assert macs == weights * math.prod(shape.out_size)
    assert shape.factorised(LayerPlan(rank, "aware")) == parts
    assert shape.weights == shape.groups * rows * columns


@given(shapes(sides=(2, 2)), st.integers(1, 9))
def test_spatial_factors_take_r_of_rows_at_one_size_and_columns_at_another(shape, rank):
    parts = shape.factorised(LayerPlan(rank, "spatial"))
    (height, width), g = shape.kernel, shape.groups
    rows, columns = shape.outputs // g * width, shape.inputs // g * height
    assert_chained(shape, parts)
    weights, macs = totals(parts)
    assert weights == g * rank * (rows + columns)
    across, down = shape.out_size[0] * shape.out_size[1], shape.out_size[0] * shape.size[1]
    assert macs == g * rank * (rows * across + columns * down)


@given(shapes(sides=(1, 3), groups=1), st.integers(1, 9), st.integers(1, 9))
def test_tucker_factors_take_the_numbers_of_two_bases_and_a_core(shape, outputs, inputs):
    parts = shape.factorised(LayerPlan((outputs, inputs), "tucker"))
    assert_chained(shape, parts)
    weights, macs = totals(parts)
    assert weights == tucker_params((outputs, inputs), (shape.outputs, shape.inputs, *shape.kernel))
    before, behind = math.prod(shape.size), math.prod(shape.out_size)
    core = outputs * inputs * math.prod(shape.kernel)
    assert macs == shape.inputs * inputs * before + (core + shape.outputs * outputs) * behind


@given(shapes())
def test_ranks_below_half_of_both_sides_always_save(shape):
    """r (m + n) < m n wherever r < min(m, n) / 2."""
    (full,) = shape.full_ranks("svd")
    for rank in range(1, -(-full // 2)):
        assert totals(shape.factorised(LayerPlan(rank)))[0] < shape.weights


@given(shapes(), st.integers(1, 9))
def test_traffic_grows_with_the_batch_by_inputs_and_outputs(shape, batch):
    one = shape.traffic(1) - shape.traffic(0)
    assert shape.traffic(0) == shape.weights
    assert shape.traffic(batch) == shape.weights + batch * one
    assert one == shape.inputs * math.prod(shape.size) + shape.outputs * math.prod(shape.out_size)


@pytest.mark.parametrize("shape", [LINEAR, LINE, SOLID], ids=str)
def test_spatial_factors_need_a_kernel_of_two_sides(shape):
    with pytest.raises(InputError, match="'spatial' needs a kernel with two sides; got the layer") as fault:
        shape.factorised(LayerPlan(2, "spatial"))
    assert str(shape) in str(fault.value)


@pytest.mark.parametrize("shape", [LINEAR, GROUPED], ids=str)
def test_tucker_factors_need_a_convolution_without_groups(shape):
    with pytest.raises(InputError, match="'tucker' needs a convolution without groups; got the layer") as fault:
        shape.factorised(LayerPlan((2, 2), "tucker"))
    assert str(shape) in str(fault.value)


def test_a_shape_reads_as_its_weight_and_what_it_runs_on():
    assert str(CONV) == "64 x 32 x 3 x 5 on 28 x 20"
    assert str(LINEAR) == "96 x 40 on 7"
    assert str(GROUPED) == "12 x 2 x 3 x 3 in 4 groups on 9 x 6"


def test_equal_shapes_are_one():
    assert len({CONV, LayerShape(64, 32, (3, 5), (28, 20), (14, 10)), LINEAR}) == 2


@pytest.mark.parametrize("share", [0.25, 0.5, 1.0])
def test_a_narrow_layer_walks_as_before_with_fewer_channels(share):
    shape = LayerShape(64, 32, (3, 3), (9, 9), (5, 5), 4)
    narrow = shape.narrowed(share)
    assert (narrow.kernel, narrow.size, narrow.out_size, narrow.groups) == ((3, 3), (9, 9), (5, 5), 4)
    assert (narrow.outputs % 4, narrow.inputs % 4) == (0, 0)
    assert narrow.macs / shape.macs == pytest.approx(share, rel=0.15)
    assert LayerShape(1, 1).narrowed(0.01) == LayerShape(1, 1)
