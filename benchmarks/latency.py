"""Times foretold and times planned by: held-out layers, layouts, and networks planned by time beside by parameters."""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

from torch import nn

from benchmarks.cifar10.images import FOLDER, Scale, load, split
from benchmarks.figures import Figure
from lowrank_kit.checks import InputError
from lowrank_kit.measurement.latency import latency
from lowrank_kit.measurement.latency_table import read_table
from lowrank_kit.measurement.measure import measure, measure_pair
from lowrank_kit.measurement.roofline import measured_ceilings
from lowrank_kit.methods.latency_planning import LatencyPlanner
from lowrank_kit.methods.outlook import judged
from lowrank_kit.methods.planning import plan
from lowrank_kit.models import zoo
from lowrank_kit.models.layers import channels_last
from lowrank_kit.models.shapes import block_of, inputs_of, layer_of
from lowrank_kit.models.store import restore
from lowrank_kit.models.surgery import Factorisation
from lowrank_kit.models.vision import vgg8
from lowrank_kit.records import Data, LatencyTable, LayerPlan, LayerShape, RankPlan
from lowrank_kit.studies.latency_jobs import SETTINGS, jobs
from lowrank_kit.studies.latency_record import record

BATCHES = (1, 32)
# Of the parameters, or of the time. The smallest share of parameters is taken that loses at most so much on validation
# examples - vgg8 has no width to spare - then the smallest share of time that loses
# no more than that, but for SLACK.
SHARES = (0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
BUDGETS = (0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95)
LOSS, SLACK = {"mnist-cnn": 0.01, "vgg8": 0.065}, 0.001
# The dense network that the CIFAR-10 runs leave behind; without it, that part is left out.
VGG8 = FOLDER.expanduser() / "runs" / "vgg8" / "dense-0" / "network"
# VGG16's second layer, with three quarters of the multiply-adds.
SPATIAL, RANK = LayerShape(64, 64, (3, 3), (224, 224), (224, 224)), 72
BUDGET_S = 3.0


def run() -> list[Figure]:
    return [*_foretold(), *_layouts(), *_planned()]


def _foretold() -> Iterator[Figure]:
    """Fitted on the kernels of twenty layers, judged on twenty other layers, dense and in factors."""
    first = SETTINGS["cpu"][0]
    drawn = [job for job in jobs("cpu") if job.network in ("fitted", "held-out") and job.setting.dtype == first.dtype]
    asked = [job for job in drawn if job.setting.layout == first.layout or job.layer.shape.is_linear]
    with TemporaryDirectory() as folder:
        rows = read_table(record(Path(folder), asked=asked, minutes=60, tell=lambda _: None))
    table = LatencyTable(rows, (measured_ceilings(),))
    found = judged(table, table.conditions[0])
    below = 100 * float((found.bound_s > 1.05 * found.measured_s).mean())
    yield Figure(f"of {len(found)} held-out times within 25 %, fitted", 100 * found.within(), "%", 70, floor=True)
    yield Figure("  the same by the bare roofline", 100 * found.within(bare=True), "%", 0, floor=True)
    yield Figure("  times below the bare roofline, a bound", below, "%", 10)


def _layouts() -> Iterator[Figure]:
    """A spatial pair of fewer multiply-adds beside its dense layer, in both layouts."""
    for layout in ("contiguous", "channels_last"):
        dense = layer_of(SPATIAL)
        pair = [dense, block_of(dense, LayerPlan(RANK, "spatial"))]
        placed = [channels_last(layer) for layer in pair] if layout == "channels_last" else pair
        before, after = latency(placed, inputs_of(SPATIAL, 1), budget_s=BUDGET_S)
        share = after.median_s / before.median_s
        yield Figure(f"spatial pair of three quarters of the multiply-adds, {layout}", share, "x the dense time", 2)


def _planned() -> Iterator[Figure]:
    yield from _beside("mnist-cnn", *zoo.load("mnist-cnn"))
    try:
        data = split(load(FOLDER))
        model = restore(VGG8, vgg8())
    except InputError as fault:
        print(f"vgg8 is left out: {fault}")
        return
    scale = Scale.of(data.train.x)
    yield from _beside("vgg8", model, Data("cifar10", scale.examples(data.validation), scale.examples(data.test)))


def _beside(name: str, model: nn.Module, data: Data) -> Iterator[Figure]:
    """Planned by time beside planned by parameters: the fastest plan that is as accurate on validation examples."""
    found = Factorisation(channels_last(model), data)
    wanted = _accuracy(model, data) - LOSS[name]
    candidates = (found.compress(plan(found, budget=share, data=data)) for share in SHARES)
    by_params = next(network for network in candidates if _accuracy(network, data) >= wanted)
    least = _accuracy(by_params, data) - SLACK
    for batch in BATCHES:
        by_time = _as_accurate(LatencyPlanner(found, data.validation, batch=batch, method="any"), data, least)
        ours = found.compress(by_time)
        before, after = measure_pair(by_params, ours, data, batch=batch, latency_budget_s=BUDGET_S)
        dense, _ = measure_pair(found.model, ours, data, batch=batch, latency_budget_s=BUDGET_S)
        change, (low, high) = after.change(before), after.timing.speedup_interval(before.timing)
        print(f"{name}, batch {batch}: {after.change(dense)} against dense; {by_time.ranks}")
        label = f"{name}, batch {batch}, planned by time beside by parameters [{low:.2f}, {high:.2f}]"
        yield Figure(label, after.speedup(before), "x as fast", 1, floor=True)
        yield Figure("  its change in accuracy, upper end", 100 * change.high, "points", 0, floor=True)


def _as_accurate(planner: LatencyPlanner, data: Data, least: float) -> RankPlan:
    """The fastest plan found that is no less accurate on validation examples."""
    for budget in BUDGETS:
        with suppress(InputError):
            planned = planner.at(budget)
            if _accuracy(planner.found.compress(planned), data) >= least:
                return planned
    return RankPlan({}, planner.found.weights)


def _accuracy(model: nn.Module, data: Data) -> float:
    return measure(model, data.validation, latency_budget_s=0).accuracy
