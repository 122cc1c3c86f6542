"""Ranks that suit the hardware, and times of layers alone under a clock that the test makes."""

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from lowrank_kit.measurement import layer_times as room
from lowrank_kit.measurement.layer_times import POINTS, layer_times, rank_grid, tile_of, time_layer
from lowrank_kit.models.blocks import rank_of
from lowrank_kit.models.layers import channels_last, is_channels_last
from lowrank_kit.models.low_rank import LowRank
from lowrank_kit.models.shapes import layer_of, layer_shapes
from lowrank_kit.models.tucker import Tucker
from lowrank_kit.records import LayerPlan, LayerShape, Timing

channels, sides, tiles = st.integers(1, 300), st.integers(1, 20), st.sampled_from([1, 8, 64])
linears = st.builds(lambda m, n, v: LayerShape(m, n, (), (v,), (v,)), channels, channels, sides)


@st.composite
def convolutions(draw):
    kernel = draw(st.sampled_from([(1, 1), (3, 3), (5, 3), (1, 7), (3,), (3, 3, 3)]))
    size = tuple(draw(sides) for _ in kernel)
    stride, groups = draw(st.integers(1, 2)), draw(st.sampled_from([1, 1, 4]))
    out = tuple(-(-side // stride) for side in size)
    return LayerShape(groups * draw(channels), groups * draw(channels), kernel, size, out, groups)


layers_and_methods = st.one_of(linears, convolutions()).flatmap(
    lambda shape: st.tuples(st.just(shape), st.sampled_from([*shape.methods, "aware"]))
)


def macs(shape, plan):
    return sum(part.macs for part in shape.factorised(plan))


def tile_within(full, tile):
    """The tile halved until the least full rank holds two, or it is one."""
    fitting = [tile >> halvings for halvings in range(tile.bit_length()) if min(full) >= 2 * (tile >> halvings)]
    return max(fitting, default=1)


class Bench:
    """Stands for `latency`: times by the ranks of a block, and a list of all calls."""

    def __init__(self, rounds=3):
        self.calls, self.rounds = [], rounds

    def __call__(self, models, x, *, batch, budget_s, stop):
        self.calls.append((models, x, batch, budget_s, stop))
        return [self.timing(model, batch) for model in models]

    def timing(self, model, batch):
        # 10 s for a dense layer, a second for each of a block's ranks; the median is the middle of them.
        seconds = float(np.sum(rank_of(model))) if isinstance(model, (LowRank, Tucker)) else 10.0
        times = seconds * np.array([0.5, 2.0, 1.0][: self.rounds])
        return Timing(times, batch, "a device", "float32", "contiguous", 1)


@pytest.fixture
def bench(monkeypatch):
    found = Bench()
    monkeypatch.setattr(room, "latency", found)
    return found


@pytest.fixture
def cnn_plans():
    svd = [LayerPlan(rank) for rank in (1, 2, 3)]
    return {"7": svd[:1], "0": svd, "2": [LayerPlan((2, 3), "tucker"), LayerPlan((4, 4), "tucker")], "4": svd[1:]}


@given(layers_and_methods, tiles)
def test_ranks_are_multiples_of_the_tile_that_fits_and_cost_less_than_dense(case, tile):
    (shape, method), full = case, case[0].full_ranks(case[1])
    plans, fitting = rank_grid(shape, method, tile), tile_within(full, tile)
    assert len(plans) <= POINTS
    for plan in plans:
        assert plan.method == method
        assert len(plan.ranks) == len(full)
        assert all(rank % fitting == 0 and fitting <= rank <= size for rank, size in zip(plan.ranks, full, strict=True))
        assert macs(shape, plan) < shape.macs


@given(layers_and_methods, tiles)
def test_ranks_rise(case, tile):
    for less, more in pairwise(plan.ranks for plan in rank_grid(*case, tile)):
        assert less != more
        assert all(one <= other for one, other in zip(less, more, strict=True))


@given(linears, tiles)
def test_a_tile_that_saves_is_the_least_rank(shape, tile):
    least = LayerPlan(tile_within(shape.full_ranks("svd"), tile))
    plans = rank_grid(shape, "svd", tile)
    assert plans[:1] == ([least] if macs(shape, least) < shape.macs else [])


@given(convolutions().filter(lambda shape: "tucker" in shape.methods), tiles)
def test_the_two_ranks_of_tucker_are_one_share_of_their_modes(shape, tile):
    """Each is the share rounded to tiles, but at least one: there is a share that rounds to both."""
    full = shape.full_ranks("tucker")
    fitting = tile_within(full, tile)
    for plan in rank_grid(shape, "tucker", tile):
        half, pairs = fitting / 2, zip(plan.rank, full, strict=True)
        bounds = [((r - half) * (r > fitting) / n, (r + half) / n) for r, n in pairs]
        (low, high), (other_low, other_high) = bounds
        assert max(low, other_low) <= min(high, other_high) * (1 + 1e-9)


@pytest.mark.parametrize(
    ("shape", "method", "tile", "ranks"),
    [
        (LayerShape(64, 64), "svd", 8, [8, 16, 24]),
        (LayerShape(64, 64), "svd", 64, []),
        (LayerShape(128, 128), "svd", 64, []),
        (LayerShape(192, 192), "svd", 64, [64]),
        (LayerShape(20, 1000), "svd", 8, [8, 16]),
        (LayerShape(10, 512), "svd", 8, [4, 8]),
        (LayerShape(3, 64), "svd", 8, [1, 2]),
        (LayerShape(64, 64, (3, 3), (8, 8), (8, 8)), "tucker", 16, [(16, 16), (32, 32), (48, 48)]),
        (LayerShape(64, 16, (3, 3), (8, 8), (8, 8)), "tucker", 8, [(32, 8), (40, 8), (48, 8)]),
        (LayerShape(64, 64, (3, 3), (8, 8), (8, 8), groups=8), "svd", 8, [4]),
    ],
    ids=str,
)
def test_grids_by_hand(shape, method, tile, ranks):
    assert [plan.rank for plan in rank_grid(shape, method, tile)] == ranks


@pytest.mark.parametrize("shape", [LayerShape(1, 1), LayerShape(1, 500), LayerShape(2, 2), LayerShape(4, 4)], ids=str)
@pytest.mark.parametrize("tile", [1, 8, 64])
def test_of_tiny_layers_nothing_saves_or_little(shape, tile):
    plans = rank_grid(shape, "svd", tile)
    assert plans == ([LayerPlan(1)] if (shape, tile) == (LayerShape(4, 4), 1) else [])


def test_a_large_layers_ranks_are_spread_evenly_on_a_logarithmic_scale():
    ranks = [plan.rank for plan in rank_grid(LayerShape(8192, 8192), "svd", 8)]
    steps = np.diff(np.log2(ranks))
    assert ranks[0] == 8
    assert steps == pytest.approx(math.log2(8192 / 8) / POINTS, rel=0.02)


@pytest.mark.parametrize(
    ("device", "dtype", "tile"),
    [("cuda", "float32", 64), ("cuda", "bfloat16", 64), ("cuda", "float64", 8), ("cpu", "float32", 8), ("mps", "", 8)],
)
def test_tiles_are_those_of_tensor_cores_or_of_vector_registers(device, dtype, tile):
    assert tile_of(device, dtype) == tile


def test_layers_are_told_in_the_order_they_run_each_with_its_own_times(bench, cnn, images, cnn_plans):
    found = list(layer_times(cnn, images.x, cnn_plans))
    assert [timed.layer for timed in found] == ["0", "2", "4", "7"]
    assert [timed.plans for timed in found] == [tuple(cnn_plans[timed.layer]) for timed in found]
    assert [timed.seconds.tolist() for timed in found] == [[1, 2, 3], [5, 8], [2, 3], [1]]
    assert {timed.dense_s for timed in found} == {10.0}
    assert {timed.conditions["device"] for timed in found} == {"a device"}


def test_the_dense_layer_and_its_blocks_take_turns_on_inputs_of_its_own_sizes(bench, cnn, images, cnn_plans):
    list(layer_times(cnn, images.x, cnn_plans, batch=5, budget_s=0.25))
    for (name, shape), (models, x, batch, budget_s, _) in zip(
        layer_shapes(cnn, images.x).items(), bench.calls, strict=True
    ):
        dense, *blocks = models
        assert dense is cnn.get_submodule(name)
        assert [rank_of(block) for block in blocks] == [plan.rank for plan in cnn_plans[name]]
        assert x.shape == ((1, 1, shape.inputs) if shape.is_linear else (1, shape.inputs, *shape.size))
        assert batch == 5
        assert budget_s == 0.25 * len(models)


def test_a_block_holds_random_factors_and_not_zeros(bench, cnn, images, cnn_plans):
    list(layer_times(cnn, images.x, cnn_plans))
    blocks = [block for models, *_ in bench.calls for block in models[1:]]
    factors = [factor for block in blocks for name, factor in block.named_parameters() if "weight" in name]
    assert len(factors) == 2 * 3 + 3 * 2 + 2 * 2 + 2
    assert all(bool((factor != 0).all()) for factor in factors)


@pytest.mark.parametrize("names", [[], ["4"], ["7", "2"]])
def test_only_layers_with_plans_are_timed(bench, cnn, images, cnn_plans, names):
    asked = {name: cnn_plans[name] for name in names} | {"no layer": [LayerPlan(1)]}
    assert [timed.layer for timed in layer_times(cnn, images.x, asked)] == sorted(names)
    assert len(bench.calls) == len(names)


def test_without_a_rank_the_dense_time_is_told(bench, mlp, vectors):
    (found,) = layer_times(mlp, vectors.x, {"2": []})
    assert (found.layer, found.plans, found.dense_s, len(found.seconds)) == ("2", (), 10.0, 0)


def test_layers_that_run_twice_or_never_are_left_out(bench, vectors):
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.again, self.once, self.never = nn.Linear(12, 12), nn.Linear(12, 4), nn.Linear(12, 4)

        def forward(self, x):
            return self.once(self.again(self.again(x)))

    plans = {name: [LayerPlan(2)] for name in ("again", "once", "never")}
    assert [timed.layer for timed in layer_times(Twice(), vectors.x, plans)] == ["once"]


def test_layers_are_timed_one_after_another_as_they_are_asked_for(bench, cnn, images, cnn_plans):
    found = iter(layer_times(cnn, images.x, cnn_plans))
    for n in range(1, 4):
        next(found)
        assert len(bench.calls) == n


@pytest.mark.parametrize("n", [0, 1, 3, 4])
def test_stop_ends_it_between_layers(bench, cnn, images, cnn_plans, n):
    found = list(layer_times(cnn, images.x, cnn_plans, stop=lambda: len(bench.calls) >= n))
    assert [timed.layer for timed in found] == ["0", "2", "4", "7"][:n]
    assert len(bench.calls) == n


def test_stop_is_passed_on_and_a_layer_without_times_is_not_told(bench, cnn, images, cnn_plans):
    def stop():
        return False

    bench.rounds = 0
    assert list(layer_times(cnn, images.x, cnn_plans, stop=stop)) == []
    assert {call[-1] for call in bench.calls} == {stop}


@pytest.mark.parametrize(("dtype", "layout"), [("float64", "contiguous"), ("bfloat16", "channels_last")])
def test_dtype_and_layout_are_the_networks(cnn, images, cnn_plans, dtype, layout):
    """By the real clock, at the least number of rounds; of the times it is only said that they are there."""
    model = cnn.to(getattr(torch, dtype))
    model = channels_last(model) if layout == "channels_last" else model
    found = list(layer_times(model, images.x, {name: cnn_plans[name] for name in "02"}, budget_s=0, batch=3))
    assert [(timed.conditions["dtype"], timed.conditions["layout"]) for timed in found] == [(dtype, layout)] * 2
    assert {timed.conditions["batch"] for timed in found} == {3}
    assert all(timed.dense_s > 0 and (timed.seconds > 0).all() for timed in found)
    assert [len(timed.seconds) for timed in found] == [3, 2]


def test_blocks_have_the_layers_dtype_and_layout(bench, cnn, images, cnn_plans):
    list(layer_times(channels_last(cnn.double()), images.x, cnn_plans))
    blocks = [block for models, *_ in bench.calls for block in models[1:]]
    assert {weight.dtype for block in blocks for weight in block.parameters()} == {torch.float64}
    walking = [
        block.reduce for block in blocks if isinstance(block.reduce, nn.Conv2d) and block.reduce.kernel_size[0] > 1
    ]
    assert len(walking) == 3
    assert all(is_channels_last(factor) for factor in walking)


def test_the_network_is_left_as_it_was(bench, cnn, images, cnn_plans, states):
    cnn.train()
    before, x = states(cnn), images.x.copy()
    list(layer_times(cnn, images.x, cnn_plans))
    assert states.same(before, states(cnn))
    np.testing.assert_array_equal(images.x, x)
    assert all(weight.requires_grad for weight in cnn.parameters())


def test_every_plan_of_a_grid_can_be_built_and_timed(bench):
    """Of layers of all sorts, each alone a network."""
    shapes = [
        LayerShape(40, 24, (), (3,), (3,)),
        LayerShape(32, 16, (3, 3), (6, 6), (3, 3)),
        LayerShape(32, 32, (3, 3), (6, 6), (6, 6), groups=2),
        LayerShape(24, 32, (5,), (9,), (9,)),
    ]
    for shape in shapes:
        model = nn.Sequential(layer_of(shape))
        sides = (*shape.size, shape.inputs) if shape.is_linear else (shape.inputs, *shape.size)
        for method in shape.methods:
            grid = rank_grid(shape, method, 8)
            (found,) = layer_times(model, np.zeros((1, *sides), np.float32), {"0": grid})
            assert found.plans == tuple(grid) != ()
            assert found.seconds.tolist() == [sum(plan.ranks) for plan in grid]


class Turns:
    """Stands for `latency` under `time_layer`: what was asked of it, and two times."""

    def __init__(self):
        self.asked = None

    def __call__(self, models, x, **options):
        self.asked = (models, x, options)
        return [Timing(np.full(3, seconds), 1, "a device", "float32", "contiguous", 1) for seconds in (2.0, 1.0)]


@pytest.fixture
def turns(monkeypatch):
    found = Turns()
    monkeypatch.setattr(room, "latency", found)
    return found


SHAPE = LayerShape(16, 12, (3, 3), (9, 8), (5, 4))


@pytest.mark.parametrize(
    ("plan", "kind"),
    [(LayerPlan(3), LowRank), (LayerPlan(4, "spatial"), LowRank), (LayerPlan((3, 5), "tucker"), Tucker)],
)
def test_a_layer_and_its_block_take_turns(turns, plan, kind):
    assert [timing.median_s for timing in time_layer(SHAPE, plan, batch=4, budget_s=0.3, mode="compiled")] == [2, 1]
    (dense, block), x, options = turns.asked
    assert (type(dense), type(block)) == (nn.Conv2d, kind)
    assert (dense.weight.shape, rank_of(block)) == ((16, 12, 3, 3), plan.rank)
    assert x.shape == (1, 12, 9, 8)
    assert {name: options[name] for name in ("batch", "budget_s", "mode")} == {
        "batch": 4, "budget_s": 0.3, "mode": "compiled",
    }  # fmt: skip
    assert options["stop"]() is False


def test_under_no_plan_a_layer_is_timed_beside_itself(turns):
    time_layer(SHAPE, None)
    dense, other = turns.asked[0]
    assert isinstance(dense, nn.Conv2d) and dense is other


@pytest.mark.parametrize("layout", ["channels_last", "contiguous"])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_both_are_placed_as_asked(turns, layout, dtype):
    time_layer(SHAPE, LayerPlan(3), dtype=dtype, layout=layout)
    dense, block = turns.asked[0]
    assert {weight.dtype for layer in (dense, block) for weight in layer.parameters()} == {getattr(torch, dtype)}
    assert is_channels_last(dense) == is_channels_last(block.reduce) == (layout == "channels_last")


@pytest.mark.parametrize("layout", ["channels_last", "contiguous"])
def test_real_times_of_both_can_be_compared(layout):
    for shape in (SHAPE, LayerShape(16, 12, (), (4,), (4,)), LayerShape(8, 8, (3, 3), (6, 6), (6, 6), 8)):
        for plan in (LayerPlan(1), LayerPlan(6 if shape.groups == 1 else 1), None):
            dense, block = time_layer(shape, plan, batch=2, dtype="bfloat16", layout=layout, budget_s=0)
            assert dense.conditions == block.conditions
            assert (dense.batch, dense.dtype, len(dense.raw_s)) == (2, "bfloat16", len(block.raw_s))
            assert dense.layout == ("contiguous" if shape.is_linear else layout)
            assert dense.speedup_interval(block)[0] > 0


def test_what_is_stopped_before_it_begins_has_no_times():
    assert [len(timing.raw_s) for timing in time_layer(SHAPE, LayerPlan(3), stop=lambda: True)] == [0, 0]
