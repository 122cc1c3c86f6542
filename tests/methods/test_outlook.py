"""An outlook says of every rank what the table, the model of times and the roof say of it one by one."""

from dataclasses import replace

import numpy as np
import pytest

from lowrank_kit.checks import InputError
from lowrank_kit.maths.kernel_times import KernelTimes
from lowrank_kit.maths.verdicts import VERDICTS, verdict
from lowrank_kit.methods.outlook import all_plans, fitted_times, judged, network_outlook, outlook
from lowrank_kit.records import Ceilings, Conditions, LatencyTable, Layer, LayerPlan, LayerShape, RecordedTime, Rival
from lowrank_kit.studies.catalogue import CATALOGUE
from tests.known_times import CPU, GPU, HELD_OUT, NETWORK, known_table

CONV = LayerShape(32, 24, (3, 3), (14, 14), (7, 7))
LINEAR = LayerShape(48, 40)
ROOF = Ceilings("a device", "float32", "ieee", 1, "2", "today", 4e10, ((1e4, 9e10), (1e8, 2e10)), 3e-6, 4)
HERE = Conditions("float32", "ieee", "channels_last", "eager", 1)
TOLD = {"device": "a device", "batch": 2, **HERE._asdict()}
RESNET = [layer for layer in CATALOGUE if layer.network == "resnet50"]


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


def looked(shape, times, rows, method="svd", plans=()):
    return outlook(Layer("net", "layer", shape), times, ROOF, method, TOLD, rows, plans)


@pytest.mark.parametrize(
    ("shape", "method", "ranks"),
    [(CONV, "svd", (8,)), (CONV, "spatial", (12,)), (CONV, "tucker", (8, 6)), (LINEAR, "svd", (10,))],
)
def test_every_rank_is_what_its_parts_are(times, shape, method, ranks):
    rows = [row(shape, "dense", (), 1e-3), row(shape, method, ranks, 6e-4), row(shape, "narrow", (), 5e-4)]
    found = looked(shape, times, rows, method)
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
    assert found.rivals == (Rival("narrow", 0.5, pytest.approx(5e-4)),)


def test_without_a_timed_rank_there_is_an_outlook_all_the_same(times):
    found = looked(LINEAR, times, [row(LINEAR, "dense", (), 1e-3)])
    assert (len(found.timed), len(found.medians), len(found.measured_speedup)) == (0, 0, 0)
    assert found.foretold_speedup == pytest.approx(found.dense_costs.sum() / found.foretold_s)
    alone = looked(LINEAR, times, [row(LINEAR, "svd", (4,), 1e-3)])
    assert alone.dense_timed is None
    assert len(alone.measured_speedup) == 0


def test_given_ranks_alone_are_foretold_beside_the_timed_ones(times):
    rows = [row(LINEAR, "dense", (), 1e-3), row(LINEAR, "svd", (10,), 6e-4)]
    found = looked(LINEAR, times, rows, plans=[LayerPlan(3)])
    assert found.ranks[:, 0].tolist() == [3, 10]


def test_small_ranks_are_faster_and_the_largest_are_not(times):
    found = looked(replace(CONV, size=(56, 56), out_size=(56, 56)), times, [])
    assert found.verdicts[7] == "faster"
    assert found.verdicts[-1] != "faster"


@pytest.mark.parametrize(
    ("shape", "method", "first", "last", "n"),
    [
        (LINEAR, "svd", 1, 39, 39),
        (CONV, "spatial", 1, 71, 71),
        (CONV, "tucker", (1, 1), (31, 23), 31),
        (LayerShape(512, 512, (3, 3), (7, 7), (7, 7)), "tucker", (8, 8), (504, 504), 63),
        (LayerShape(256, 300), "svd", 1, 255, 255),
        (LayerShape(257, 300), "svd", 2, 256, 128),
        (LayerShape(4096, 25088), "svd", 16, 4080, 255),
        (LayerShape(2, 9), "svd", 1, 1, 1),
        (LayerShape(1, 9), "svd", 1, 1, 1),
        (LayerShape(8, 8, (3, 3), (7, 7), (7, 7), 8), "svd", 1, 1, 1),
        (LayerShape(1, 1, (3, 3), (7, 7), (7, 7)), "tucker", (1, 1), (1, 1), 1),
        (LayerShape(4, 1, (3, 3), (7, 7), (7, 7)), "tucker", (1, 1), (3, 1), 3),
    ],
)
def test_all_plans_are_below_the_full_rank(shape, method, first, last, n):
    found = all_plans(shape, method)
    assert (found[0].rank, found[-1].rank, len(found)) == (first, last, n)


@pytest.mark.parametrize("method", ["svd", "spatial", "tucker"])
def test_never_more_plans_than_a_slider_has_steps(method):
    for layer in CATALOGUE:
        if method in layer.shape.methods:
            plans = all_plans(layer.shape, method)
            assert 1 <= len(plans) <= (64 if method == "tucker" else 256)
            assert len({plan.ranks for plan in plans}) == len(plans)


def test_what_was_timed_is_taken_under_the_same_conditions_alone(times):
    """A linear layer has but one layout, and the same method counts."""
    dense = row(CONV, "dense", (), 1e-3)
    unlike = {"device": "b", "batch": 1, "dtype": "bfloat16", "precision": "tf32", "layout": "contiguous",
              "mode": "graph", "threads": 2}  # fmt: skip
    svd = row(CONV, "svd", (8,), 6e-4)
    others = [replace(found, **{name: value}) for name, value in unlike.items() for found in (dense, svd)]
    found = looked(CONV, times, [*others, row(CONV, "tucker", (8, 6), 1e-4)])
    assert (found.dense_timed, len(found.timed)) == (None, 0)
    found = looked(CONV, times, [*others, dense, svd])
    assert found.ranks[found.timed].tolist() == [[8]] and found.dense_timed[0] == pytest.approx(1e-3)
    linear = replace(row(LINEAR, "svd", (7,), 6e-4), layout="contiguous")
    assert looked(LINEAR, times, [linear]).ranks[looked(LINEAR, times, [linear]).timed].tolist() == [[7]]


def test_rivals_are_narrow_layers_and_other_dtypes_at_their_fastest(times):
    dense = row(CONV, "dense", (), 1e-3)
    rows = [
        dense,
        replace(row(CONV, "narrow", (), 5e-4), fraction=0.25),
        replace(row(CONV, "narrow", (), 2e-4), fraction=0.25, dtype="bfloat16"),
        replace(dense, dtype="bfloat16", median_s=8e-4),
        replace(dense, dtype="bfloat16", median_s=7e-4, layout="contiguous", mode="compiled"),
        replace(dense, dtype="int8", median_s=3e-4, layout="contiguous"),
        replace(dense, dtype="int8", median_s=1e-4, threads=2),
        replace(dense, precision="tf32", median_s=1e-4),
    ]
    found = looked(CONV, times, rows).rivals
    assert [tuple(rival) for rival in found] == [
        ("narrow", 0.25, pytest.approx(5e-4)),
        ("bfloat16", 1.0, 7e-4),
        ("int8", 1.0, 3e-4),
    ]


@pytest.fixture(scope="module", params=[CPU, GPU], ids=lambda device: device.name)
def device(request):
    return request.param


@pytest.fixture(scope="module")
def table(device):
    return known_table(device)


def plan_of(found, index):
    ranks = tuple(found.ranks[index].tolist())
    return LayerPlan(ranks if len(ranks) == 2 else ranks[0], found.method)


@pytest.mark.parametrize("method", ["svd", "spatial", "tucker"])
@pytest.mark.parametrize("batch", [1, 32])
def test_a_networks_outlook_is_what_the_law_of_its_times_says(device, table, method, batch):
    for conditions in table.conditions:
        found = network_outlook(RESNET, table, method, batch, conditions)
        assert [one.layer for one in found.layers] == RESNET
        assert found.conditions == {"device": device.name, "batch": batch, **conditions._asdict()}
        assert (found.network, found.method, found.date) == ("resnet50", method, "2026-01-02")
        assert found.roof == table.roof(conditions)
        for one in found.layers:
            shape = one.layer.shape
            assert one.method == (method if method in shape.methods else "svd")
            assert one.dense_s == pytest.approx(device.seconds((shape,), batch, conditions), rel=1e-6)
            for index in (0, len(one.ranks) // 3, -1):
                parts = shape.factorised(plan_of(one, index))
                launch, compute = device.costs(parts, batch, conditions)
                assert one.foretold_s[index] == pytest.approx(launch + compute, rel=1e-6)
                assert one.costs[index][:2] == pytest.approx([launch, compute], rel=1e-6)


@pytest.mark.parametrize("method", ["svd", "tucker"])
def test_verdicts_are_those_of_the_law(device, table, method):
    """Where they are not a hair's breadth from another."""
    seen = set()
    for one in network_outlook(RESNET, table, method).layers:
        dense = np.append(device.costs((one.layer.shape,), 1, table.conditions[0]), np.zeros(5))
        for index in range(len(one.ranks)):
            parts = one.layer.shape.factorised(plan_of(one, index))
            done = sum(part.macs / part.outputs * (-(-part.outputs // device.tile) * device.tile) for part in parts)
            waste = 1 - sum(part.macs for part in parts) / done
            block = np.append(device.costs(parts, 1, table.conditions[0]), np.zeros(5))
            near = {verdict(dense * factor, block, waste) for factor in (1 - 1e-9, 1, 1 + 1e-9)}
            assert one.verdicts[index] in near
            seen |= near
    assert seen >= {"faster", "launch" if device is GPU else "compute"}


def test_what_was_recorded_stands_beside_under_its_own_conditions_alone(device, table):
    first, other, *_ = table.conditions
    timed = [0.125, 0.25, 0.5]
    for one in network_outlook(RESNET, table, "svd", 1, first).layers:
        (full,) = one.layer.shape.full_ranks("svd")
        assert one.ranks[one.timed][:, 0].tolist() == [round(share * full) for share in timed]
        assert one.medians == pytest.approx(NETWORK * one.foretold_s[one.timed], rel=1e-6)
        assert one.dense_timed == pytest.approx([factor * NETWORK * one.dense_s for factor in (1, 0.9, 1.2)], rel=1e-6)
        assert [rival.name for rival in one.rivals] == ["narrow", "narrow", "int8"]
        assert [rival.share for rival in one.rivals] == [0.25, 0.5, 1.0]
    for one in network_outlook(RESNET, table, "svd", 1, other).layers:
        # A processor's other conditions differ in the layout alone, which linear layers do not have.
        has_none = device is GPU or not one.layer.shape.is_linear
        assert (len(one.timed) == 0, one.dense_timed is None) == (has_none, has_none)
    batch = network_outlook(RESNET, table, "svd", 7).layers
    assert all(one.dense_timed is None and one.rivals == () for one in batch)


def test_trust_is_how_far_off_the_held_out_layers_were(table):
    for conditions in table.conditions:
        found = network_outlook(RESNET[:1], table, conditions=conditions).judged
        assert len(found) == 2 * 4 * 3
        assert found.off == pytest.approx(1 / HELD_OUT - 1)
        assert found is judged(table, conditions), "fitted once"
        assert (found.within(0.2), found.within(0.3)) == (0, 1)


def test_layers_held_out_and_those_of_networks_are_not_fitted_on(table):
    fitted = tuple(row for row in table.rows if row.network == "fitted")
    bare = LatencyTable(fitted, table.roofs)
    for conditions in table.conditions:
        np.testing.assert_array_equal(fitted_times(bare, conditions).prices, fitted_times(table, conditions).prices)
    nothing = network_outlook(RESNET[:1], bare).judged
    assert len(nothing) == 0 and np.isnan(nothing.off)


def test_the_first_conditions_are_taken_where_none_are_asked(table):
    first, other, *_ = table.conditions
    assert network_outlook(RESNET[:1], table).conditions["dtype"] == first.dtype
    plain, asked = (network_outlook(RESNET[:1], table, conditions=c) for c in (None, other))
    assert plain.dense_s[0] != pytest.approx(asked.dense_s[0], rel=0.1)


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"method": "cp"}, "`method` must be one of 'svd', 'spatial', 'tucker'; got 'cp'."),
        ({"method": "aware"}, "`method` must be one of 'svd', 'spatial', 'tucker'; got 'aware'."),
        ({"batch": 0}, "`batch` must be at least 1; got 0."),
        (
            {"conditions": HERE._replace(threads=2)},
            "`conditions` must be some under which a processor was recorded (float32 · channels_last · eager · "
            "1 thread; float32 · contiguous · eager · 1 thread; bfloat16 · channels_last · eager · 1 thread).",
        ),
    ],
)
def test_what_there_is_no_outlook_of_gets_a_sentence(asked, words):
    with pytest.raises(InputError) as refusal:
        network_outlook(RESNET, known_table(CPU), **asked)
    assert str(refusal.value).startswith(words)


def test_a_table_without_anything_to_fit_on_says_what_to_do():
    table = known_table(CPU)
    bare = LatencyTable(tuple(row for row in table.rows if row.network != "fitted"), table.roofs)
    with pytest.raises(InputError, match="a processor has too few times to predict from; `lowrank-kit record-latency`"):
        network_outlook(RESNET, bare)
