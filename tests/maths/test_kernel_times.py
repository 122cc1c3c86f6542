"""Prices that made the times are found again, a smooth factor is learnt, and a few odd times bend little."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, ConstantKernel

from lowrank_kit.checks import InputError
from lowrank_kit.maths import kernel_times as room
from lowrank_kit.maths.kernel_times import COSTS, FRESH_BYTES, KernelTimes
from lowrank_kit.records import LayerShape, RecordedTime

# Seconds for a launch, a multiply-add, a weight, a number read, written and laid out, by kind of layer.
PRICES = {
    "linear": (5e-6, 1.0e-11, 2e-10, 3e-10, 4e-10, 0.0),
    "point": (8e-6, 2.0e-11, 1e-10, 3e-10, 3e-10, 0.0),
    "other": (1e-5, 1.5e-11, 2e-10, 2e-10, 5e-10, 1e-10),
}
FRESH = 1e-9


def kind(shape):
    return "linear" if shape.is_linear else "point" if set(shape.kernel) == {1} else "other"


def seconds(kernels, fresh=FRESH, tile=16):
    """The times (n,) of kernels by the prices above."""
    return np.array([second(shape, batch, fresh, tile) for shape, batch in kernels])


def second(shape, batch, fresh, tile):
    launch, mac, weight, read, write, lay = PRICES[kind(shape)]
    positions, area = batch * math.prod(shape.out_size), math.prod(shape.kernel)
    channels = math.ceil(shape.outputs / tile) * tile
    macs = channels * (shape.inputs // shape.groups) * area * positions
    written = positions * shape.outputs
    found = launch + mac * macs + weight * shape.weights + write * written
    found += read * batch * math.prod(shape.size) * shape.inputs + lay * positions * shape.inputs * area
    return found + fresh * written * (4 * written >= FRESH_BYTES)


def drawn(seed, n, kinds=("linear", "point", "other"), groups=(1,)):
    """n kernels of all sizes, every kind as often."""
    rng = np.random.default_rng(seed)
    return [(layer(rng, kinds[i % len(kinds)], int(rng.choice(groups))), number(rng, 0, 5)) for i in range(n)]


def layer(rng, kind, groups):
    outputs, inputs = groups * number(rng, 3, 8), groups * number(rng, 3, 8)
    if kind == "linear":
        vectors = (number(rng, 0, 7),)
        return LayerShape(outputs, inputs, (), vectors, vectors)
    side, stride = int(rng.integers(4, 29)), int(rng.integers(1, 3))
    point = 1 if kind == "point" else int(rng.choice([3, 5]))
    return LayerShape(outputs, inputs, (point, point), (side, side), (-(-side // stride),) * 2, groups)


def number(rng, low, high):
    """Between two powers of two."""
    return int(2 ** rng.uniform(low, high))


def smooth(kernels):
    """A factor (n,) that bends slowly with the channels and the number of positions."""
    sides = np.log2([[s.outputs, s.inputs, batch * math.prod(s.out_size)] for s, batch in kernels])
    return np.exp(0.5 * np.sin(sides[:, 0] / 2) + 0.1 * (sides[:, 1] - 5) - 0.3 * np.cos(sides[:, 2] / 3))


def apart(found, expected):
    """How far off each is, as the absolute logarithm of the ratio."""
    return np.abs(np.log(found / expected))


def without_factor(found):
    return replace(found, weights=np.zeros_like(found.weights))


def row(shape, batch, median_s, **told):
    """A line of a table of times, a dense layer unless told otherwise."""
    words = dict.fromkeys(("driver", "torch", "date", "network"), "") | {"device": "a device", "layer": "conv"}
    sides = {name: getattr(shape, name) for name in ("outputs", "inputs", "kernel", "size", "out_size", "groups")}
    how = {"method": "dense", "ranks": (), "fraction": 1.0, "batch": batch, "dtype": "float32", "precision": "ieee"}
    run = {"layout": "contiguous", "mode": "eager", "threads": 1, "rounds": 5, "busy": 0.0, "setup_s": 0.0}
    times = dict.fromkeys(("p05_s", "p25_s", "p75_s", "p95_s"), 0.0) | {"median_s": median_s}
    return RecordedTime(**{**words, **sides, **how, **run, **times, **told})


@pytest.mark.parametrize("seed", range(4))
def test_times_of_known_prices_are_found_again(seed):
    kernels, others = drawn(seed, 60), drawn(100 + seed, 60)
    found = KernelTimes.fit(kernels, seconds(kernels))
    np.testing.assert_allclose(found.seconds(others), seconds(others), rtol=0.01)


def test_the_prices_themselves_are_found():
    big = [(LayerShape(512, n, (), (16384 + n,), (16384 + n,)), 1) for n in (8, 40, 100)]
    kernels = [*drawn(0, 60), *big]
    found = KernelTimes.fit(kernels, seconds(kernels))
    expected = [price for prices in PRICES.values() for price in prices]
    np.testing.assert_allclose(found.prices, [*expected, FRESH], rtol=1e-6, atol=1e-16)


@pytest.mark.parametrize("tile", [1, 8, 64])
def test_channels_are_rounded_up_to_whole_tiles(tile):
    kernels, others = drawn(0, 60), drawn(1, 30)
    found = KernelTimes.fit(kernels, seconds(kernels, tile=tile), tile=tile)
    np.testing.assert_allclose(found.seconds(others), seconds(others, tile=tile), rtol=0.01)
    one, full = ((LayerShape(outputs, 64, (), (900,), (900,)), 8) for outputs in (tile + 1, 2 * tile))
    computed = without_factor(found).costs([one, full])[:, COSTS.index("compute")]
    assert computed[0] == pytest.approx(computed[1])


def test_groups_see_their_own_inputs_alone():
    groups = (1, 2, 4)
    kernels, others = drawn(0, 60, ("point", "other"), groups), drawn(1, 60, ("point", "other"), groups)
    found = KernelTimes.fit(kernels, seconds(kernels))
    np.testing.assert_allclose(found.seconds(others), seconds(others), rtol=0.01)


@pytest.mark.parametrize("itemsize", [2, 4, 8])
def test_fresh_pages_are_paid_alike_by_all_kinds(itemsize):
    """Timed for linear layers alone, their price holds for convolutions, from 32 MB on."""
    last = FRESH_BYTES // itemsize // 512
    sizes = [last + step for step in (-7000, -1000, -1, 0, 1, 1000, 9000)]
    big = [(LayerShape(512, inputs, (), (size,), (size,)), 1) for size in sizes for inputs in (16, 64)]
    kernels = [*drawn(0, 60), *big]
    written = np.array([batch * math.prod(shape.out_size) * shape.outputs for shape, batch in kernels])
    paid = FRESH * written * (written * itemsize >= FRESH_BYTES)
    found = KernelTimes.fit(kernels, seconds(kernels, fresh=0) + paid, itemsize=itemsize)
    assert found.prices[-1] == pytest.approx(FRESH)
    few, many = ((LayerShape(512, 16, (3, 3), (n, 1), (n, 1)), 1) for n in (last - 1, last))
    assert found.costs([few, many])[:, -1].tolist() == pytest.approx([0, FRESH * last * 512], rel=0.01)


def test_a_smooth_factor_is_learnt_and_serves_shapes_that_were_not_timed():
    kernels, others = drawn(0, 200, ("linear", "point")), drawn(1, 100, ("linear", "point"))
    found = KernelTimes.fit(kernels, seconds(kernels) * smooth(kernels))
    truth = seconds(others) * smooth(others)
    with_it, without = (apart(model.seconds(others), truth).mean() for model in (found, without_factor(found)))
    assert with_it < without / 2
    assert with_it < 0.1


def test_far_from_all_that_was_timed_the_factor_is_one():
    kernels = drawn(0, 60)
    found = KernelTimes.fit(kernels, seconds(kernels) * smooth(kernels))
    far = [(LayerShape(2**20, 2**20), 2**10)]
    assert found.seconds(far) == pytest.approx(without_factor(found).seconds(far))


@pytest.mark.parametrize("seed", range(3))
def test_the_factor_is_that_of_a_gaussian_process(seed):
    """scikit-learn's, with the same covariance, on the logarithms of what the prices leave."""
    rng = np.random.default_rng(seed)
    kernels, others = drawn(seed, 60), drawn(100 + seed, 30)
    noisy = seconds(kernels) * np.exp(0.3 * rng.standard_normal(60))
    found = KernelTimes.fit(kernels, noisy)
    bare = without_factor(found)
    covariance = ConstantKernel(0.1) * RBF(2.0)
    oracle = GaussianProcessRegressor(covariance, alpha=0.02, optimizer=None)
    oracle.fit(room._points(kernels), np.log(noisy / bare.seconds(kernels)))
    factor = np.exp(oracle.predict(room._points(others)))
    np.testing.assert_allclose(found.seconds(others), bare.seconds(others) * factor, rtol=1e-9)
    assert apart(factor, 1).max() > 0.05


def test_a_factor_of_two_is_a_step_and_another_kind_is_far():
    conv, twice = ((LayerShape(n, 32, (3, 3), (8, 8), (8, 8)), 4) for n in (64, 128))
    halved = LayerShape(64, 32, (3, 3), (8, 8), (4, 8)), 8
    linear, point = (LayerShape(64, 32, (), (64,), (64,)), 4), (LayerShape(64, 32, (1, 1), (8, 8), (8, 8)), 4)
    points = room._points([conv, twice, halved, linear, point])
    steps = np.linalg.norm(points[:, None] - points, axis=2)
    assert steps[0, 1] == pytest.approx(1)
    assert steps[0, 2] == pytest.approx(2)
    assert steps[3, 4] == pytest.approx(4)


@pytest.mark.parametrize("slower", [3, 10, 100])
def test_prices_heed_no_few_times_that_are_far_too_long(slower):
    """A machine that is disturbed is slower; 5 % of the times are."""
    kernels, others = drawn(0, 60), drawn(1, 60)
    times = seconds(kernels)
    times[[7, 32, 58]] *= slower
    found = without_factor(KernelTimes.fit(kernels, times))
    off = apart(found.seconds(others), seconds(others))
    assert np.median(off) < 0.001
    assert off.max() < 0.1


def test_a_time_that_is_far_too_long_is_felt_nearby_alone():
    kernels, others = drawn(0, 60), drawn(1, 300)
    times = seconds(kernels)
    times[7] *= 10
    off = apart(KernelTimes.fit(kernels, times).seconds(others), seconds(others))
    distance = np.linalg.norm(room._points(others) - room._points(kernels)[7], axis=1)
    assert off[distance > 8].max() < 0.02 < off[distance < 3].max()


@pytest.mark.parametrize("unit", [1e-6, 1 / 1024, 1000.0])
def test_in_other_units_prices_and_times_are_others_by_the_same_factor(unit):
    kernels, others = drawn(0, 60), drawn(1, 30)
    times = seconds(kernels) * smooth(kernels)
    one, other = KernelTimes.fit(kernels, times), KernelTimes.fit(kernels, times * unit)
    np.testing.assert_allclose(other.prices, one.prices * unit, rtol=1e-9)
    np.testing.assert_allclose(other.costs(others), one.costs(others) * unit, rtol=1e-9)


def test_the_order_of_kernels_does_not_matter(rng):
    kernels, others, order = drawn(0, 60), drawn(1, 30), rng.permutation(60)
    times = seconds(kernels) * smooth(kernels)
    one, other = KernelTimes.fit(kernels, times), KernelTimes.fit([kernels[i] for i in order], times[order])
    np.testing.assert_allclose(other.seconds(others), one.seconds(others), rtol=1e-9)
    np.testing.assert_allclose(one.seconds(others[::-1]), one.seconds(others)[::-1], rtol=1e-12)


@given(st.integers(0, 2**16), st.floats(0, 3), st.integers(12, 60))
def test_times_are_always_above_zero_and_finite(seed, spread, n):
    """Whatever the times that were taken, of shapes inside their range and far outside it."""
    rng = np.random.default_rng(seed)
    kernels = drawn(seed, n)
    found = KernelTimes.fit(kernels, 1e-4 * np.exp(spread * rng.standard_normal(n)))
    huge = [(LayerShape(2**16, 2**16, (7, 7), (512, 512), (512, 512)), 256), (LayerShape(1, 1), 1)]
    others = [*drawn(seed + 1, 30), *huge, *kernels]
    times = found.seconds(others)
    assert np.isfinite(times).all()
    assert (times > 0).all()
    assert (found.prices >= 0).all()


def test_costs_add_up_to_the_time_and_bear_its_factor():
    kernels, others = drawn(0, 60), drawn(1, 30)
    found = KernelTimes.fit(kernels, seconds(kernels) * smooth(kernels))
    costs, bare = found.costs(others), without_factor(found).costs(others)
    assert costs.shape == bare.shape == (30, len(COSTS))
    assert (costs >= 0).all()
    np.testing.assert_allclose(costs.sum(axis=1), found.seconds(others))
    factor = found.seconds(others) / without_factor(found).seconds(others)
    np.testing.assert_allclose(costs, bare * factor[:, None])


def test_costs_stand_in_the_order_of_their_names():
    kernels = drawn(0, 60)
    found = without_factor(KernelTimes.fit(kernels, seconds(kernels)))
    shape = LayerShape(32, 48, (3, 5), (9, 10), (9, 5))
    launch, mac, weight, read, write, lay = PRICES["other"]
    spent = dict(zip(COSTS, found.costs([(shape, 4)])[0], strict=True))
    assert spent["launch"] == pytest.approx(launch)
    assert spent["compute"] == pytest.approx(mac * 4 * shape.macs)
    assert spent["weight"] == pytest.approx(weight * shape.weights)
    assert spent["read"] == pytest.approx(read * 4 * 48 * 90)
    assert spent["written"] == pytest.approx(write * 4 * 32 * 45)
    assert spent["laid out"] == pytest.approx(lay * 4 * 45 * 48 * 15)
    assert spent["fresh"] == 0


@pytest.mark.parametrize(("kernel", "area"), [((), 0), ((1, 1), 0), ((1, 2), 2), ((1,), 0), ((3,), 3), ((2, 2, 2), 8)])
def test_only_a_kernel_of_several_points_is_laid_out_anew(kernel, area):
    kernels = drawn(0, 60)
    fitted = KernelTimes.fit(kernels, seconds(kernels))
    found = without_factor(replace(fitted, prices=np.ones_like(fitted.prices)))
    size = (10,) + (1,) * max(len(kernel) - 1, 0)
    (spent,) = found.costs([(LayerShape(32, 64, kernel, size, size), 4)])
    assert spent[COSTS.index("laid out")] == area * 64 * 4 * 10
    assert spent[COSTS.index("written")] == 32 * 4 * 10


@pytest.mark.parametrize("n", [0, 1, 9])
def test_fewer_than_ten_kernels_are_too_few(n):
    kernels = drawn(0, n)
    with pytest.raises(InputError, match=rf"at least ten kernels are needed, all above zero; got {n}, of which {n}"):
        KernelTimes.fit(kernels, seconds(kernels))


@pytest.mark.parametrize("value", [0.0, -1e-6, np.nan, np.inf])
def test_every_time_must_be_above_zero(value):
    kernels = drawn(0, 12)
    times = seconds(kernels)
    times[[3, 5]] = value
    with pytest.raises(InputError, match="all above zero; got 12, of which 10 are"):
        KernelTimes.fit(kernels, times)


def test_ten_kernels_are_enough():
    kernels = drawn(0, 10)
    np.testing.assert_allclose(KernelTimes.fit(kernels, seconds(kernels)).seconds(kernels), seconds(kernels), rtol=0.01)


@pytest.mark.parametrize("missing", PRICES)
def test_of_a_kind_without_times_none_is_told(missing):
    kernels = drawn(0, 20, [name for name in PRICES if name != missing])
    others = [*kernels, *drawn(1, 1, [missing])]
    found = KernelTimes.fit(kernels, seconds(kernels))
    assert len(found.seconds(kernels)) == 20
    with pytest.raises(InputError, match="times of its kind, and there were none; got the layer") as fault:
        found.seconds(others)
    assert str(others[-1][0]) in str(fault.value)


def test_a_tables_dense_layers_are_fitted_and_nothing_else():
    kernels, others = drawn(0, 60), drawn(1, 10)
    shapes = [shape for shape, _ in kernels]
    rows = [row(shape, batch, time) for (shape, batch), time in zip(kernels, seconds(kernels), strict=True)]
    factors = [row(shape, 1, 9.0, method="svd", ranks=(2,)) for shape in shapes[:5]]
    networks = [row(shapes[0], 1, 9.0, layer="")]
    found = KernelTimes.of([*factors, *rows, *networks])
    np.testing.assert_allclose(found.seconds(others), seconds(others), rtol=0.01)
    np.testing.assert_array_equal(found.prices, KernelTimes.fit(kernels, seconds(kernels)).prices)


@pytest.mark.parametrize(("dtype", "itemsize"), [("float32", 4), ("bfloat16", 2), ("float16", 2), ("float64", 8)])
def test_a_table_tells_how_many_bytes_a_number_has(dtype, itemsize):
    kernels = drawn(0, 12)
    rows = [row(*kernel, time, dtype=dtype) for kernel, time in zip(kernels, seconds(kernels), strict=True)]
    assert KernelTimes.of(rows).itemsize == itemsize


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("device", "another"),
        ("dtype", "float64"),
        ("precision", "tf32"),
        ("mode", "graph"),
        ("threads", 2),
    ],
)
def test_times_under_unlike_conditions_are_not_fitted_together(name, value):
    kernels = drawn(0, 12)
    rows = [row(*kernel, time) for kernel, time in zip(kernels, seconds(kernels), strict=True)]
    rows[4] = replace(rows[4], **{name: value})
    with pytest.raises(InputError, match="under the same conditions"):
        KernelTimes.of(rows)
    rows[4] = replace(row(*kernels[4], rows[4].median_s), layout="channels_last")
    assert len(KernelTimes.of(rows).points) == 12


def test_a_table_without_dense_layers_is_too_few():
    with pytest.raises(InputError, match="at least ten kernels"):
        KernelTimes.of([])
