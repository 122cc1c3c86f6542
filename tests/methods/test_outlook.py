"""An outlook says of every rank what the table, the model of times and the roof say of it one by one."""

from dataclasses import replace

import numpy as np
import pytest

from lowrank_kit.maths.kernel_times import KernelTimes
from lowrank_kit.maths.verdicts import VERDICTS
from lowrank_kit.methods.outlook import all_plans, outlook
from lowrank_kit.records import Ceilings, LayerPlan, LayerShape, RecordedTime

CONV = LayerShape(32, 24, (3, 3), (14, 14), (7, 7))
LINEAR = LayerShape(48, 40)
ROOF = Ceilings("a device", "float32", "ieee", 1, "2", "today", 4e10, ((1e4, 9e10), (1e8, 2e10)), 3e-6, 4)


def row(shape, method, ranks, seconds, batch=2):
    spread = dict(
        zip(("p05_s", "p25_s", "median_s", "p75_s", "p95_s"), seconds * np.arange(0.8, 1.3, 0.1), strict=True)
    )
    return RecordedTime(
        "a device", "", "2", "today", "net", "layer", shape.outputs, shape.inputs, shape.kernel, shape.size,
        shape.out_size, shape.groups, method, ranks, 0.5, batch, "float32", "ieee", "channels_last", "eager", 1,
        **spread, rounds=9, busy=0.0, setup_s=0.0,
    )  # fmt: skip


@pytest.fixture(scope="module")
def times():
    """Fitted on kernels that take 5 microseconds and 30 billion multiply-adds a second."""
    rng = np.random.default_rng(2)
    shapes = [LayerShape(*map(int, rng.integers(8, 200, 2)), (), (v,), (v,)) for v in rng.integers(1, 50, 30)]
    for side in (1, 3):
        sizes = rng.integers(4, 20, 30)
        shapes += [
            LayerShape(*map(int, rng.integers(8, 100, 2)), (side,) * 2, (int(s),) * 2, (int(s),) * 2) for s in sizes
        ]
    kernels = [(shape, batch) for shape in shapes for batch in (1, 4)]
    return KernelTimes.fit(kernels, np.array([5e-6 + shape.macs * batch / 3e10 for shape, batch in kernels]), tile=8)


@pytest.mark.parametrize(
    ("shape", "method", "ranks"),
    [(CONV, "svd", (8,)), (CONV, "spatial", (12,)), (CONV, "tucker", (8, 6)), (LINEAR, "svd", (10,))],
)
def test_every_rank_is_what_its_parts_are(times, shape, method, ranks):
    rows = [row(shape, "dense", (), 1e-3), row(shape, method, ranks, 6e-4), row(shape, "narrow", (), 5e-4)]
    found = outlook(rows, times, ROOF, method)
    plans = sorted(
        {*all_plans(shape, method), LayerPlan(ranks if len(ranks) == 2 else ranks[0], method)}, key=lambda p: p.ranks
    )
    assert [tuple(pair) for pair in found.ranks] == [plan.ranks for plan in plans]
    for index, plan in enumerate(plans):
        form = shape.factorised(plan)
        assert found.macs[index] == 2 * sum(part.macs for part in form)
        assert found.moved[index] == sum(part.traffic(2) for part in form)
        assert found.bound_s[index] == pytest.approx(ROOF.bound_s(form, 2))
        assert found.costs[index] == pytest.approx(times.costs([(part, 2) for part in form]).sum(axis=0))
    assert (found.dense_macs, found.dense_moved) == (2 * shape.macs, shape.traffic(2))
    assert found.dense_costs == pytest.approx(times.costs([(shape, 2)])[0])
    assert found.foretold_s == pytest.approx(found.costs.sum(axis=1))
    assert set(found.verdicts) <= {*VERDICTS}
    (index,) = found.timed
    assert tuple(found.ranks[index]) == ranks
    assert (found.medians[0], found.lows[0], found.highs[0]) == pytest.approx((6e-4, 4.8e-4, 7.2e-4))
    assert found.dense_timed == pytest.approx((1e-3, 8e-4, 1.2e-3))
    assert found.measured_speedup == pytest.approx([1 / 0.6])
    assert found.saved_macs == pytest.approx(found.dense_macs / found.macs)


def test_without_a_timed_rank_there_is_an_outlook_all_the_same(times):
    found = outlook([row(LINEAR, "dense", (), 1e-3)], times, ROOF, "svd")
    assert (len(found.timed), len(found.medians), len(found.measured_speedup)) == (0, 0, 0)
    assert found.foretold_speedup == pytest.approx(found.dense_costs.sum() / found.foretold_s)
    alone = outlook([row(LINEAR, "svd", (4,), 1e-3)], times, ROOF, "svd")
    assert alone.dense_timed is None
    assert len(alone.measured_speedup) == 0


def test_given_ranks_alone_are_foretold_beside_the_timed_ones(times):
    rows = [row(LINEAR, "dense", (), 1e-3), row(LINEAR, "svd", (10,), 6e-4)]
    found = outlook(rows, times, ROOF, "svd", [LayerPlan(3)])
    assert found.ranks[:, 0].tolist() == [3, 10]


def test_small_ranks_are_faster_and_the_largest_are_not(times):
    found = outlook([row(replace(CONV, size=(56, 56), out_size=(56, 56)), "dense", (), 1e-3)], times, ROOF, "svd")
    assert found.verdicts[7] == "faster"
    assert found.verdicts[-1] != "faster"


@pytest.mark.parametrize(
    ("shape", "method", "first", "last", "n"),
    [
        (LINEAR, "svd", 1, 39, 39),
        (CONV, "spatial", 1, 71, 71),
        (CONV, "tucker", (1, 1), (31, 23), 31),
        (LayerShape(512, 512, (3, 3), (7, 7), (7, 7)), "tucker", (8, 8), (504, 504), 63),
    ],
)
def test_all_plans_are_below_the_full_rank(shape, method, first, last, n):
    found = all_plans(shape, method)
    assert (found[0].rank, found[-1].rank, len(found)) == (first, last, n)
