"""The network behind a board: what is measured when a hand lets go of a slider."""

import copy
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, ClassVar, Literal

import numpy as np
from torch import nn

from lowrank_kit.measurement.cost import macs, n_params, size_bytes
from lowrank_kit.measurement.latency import latency
from lowrank_kit.measurement.measure import measure
from lowrank_kit.measurement.quality import Stopped, predictions
from lowrank_kit.methods.latency_prediction import LatencyPredictor
from lowrank_kit.methods.prediction import measure_drops, random_ranks, tabulate, try_plans
from lowrank_kit.methods.tucker_tables import measure_tucker_drops, random_pairs, tabulate_tucker
from lowrank_kit.models.surgery import Factorisation
from lowrank_kit.models.tucker import Tucker
from lowrank_kit.records import Data, Measurement, NetworkTables, RankPlan, RankTables, TuckerTables

__all__ = ["BENCHES", "Bench", "Finding", "TuckerBench"]

FIRST = 200
POINTS = 12
LATENCY_BUDGET_S = 0.9

Stage = Literal["first", "test", "validation", "latency"]


@dataclass(frozen=True, eq=False)
class Finding:
    """One measured step: a `first` slice or all of the `test` examples, the `validation` ones, test with `latency`.

    `errors` are the relative errors of the weights that layers in Tucker form stand for, refined as they are.
    """

    stage: Stage
    measured: Measurement
    dense: Measurement
    errors: Mapping[str, float] = field(default_factory=dict)


class Bench:
    """A private copy of a network with its factors, its data and the dense predictions everything is paired with.

    `tables` are taken over where they belong to these weights and made from the spectra otherwise; `steps` make them
    better.
    """

    tabulate: ClassVar[Callable[..., NetworkTables]] = staticmethod(tabulate)
    draw: ClassVar[Callable[..., Iterable[Mapping[str, Any]]]] = staticmethod(random_ranks)
    steps: ClassVar[tuple[Callable[..., Iterator[Any]], ...]] = (partial(measure_drops, points=POINTS), try_plans)

    def __init__(self, model: nn.Module, data: Data, tables: NetworkTables | None = None):
        self.model = copy.deepcopy(model).eval()
        self.data = data
        self.factorisation = Factorisation(self.model)
        self.dense = measure(self.model, data.test, label="dense", latency_budget_s=0)
        self.dense_validation = measure(self.model, data.validation, label="dense", latency_budget_s=0)
        belong = tables is not None and (tables.weights, tables.data) == (self.factorisation.weights, data.fingerprint)
        self.tables = tables if tables is not None and belong else self.tabulate(self.factorisation, data, self.dense)
        order = data.test.stratified_order()
        self.first, self.rest = np.sort(order[:FIRST]), np.sort(order[FIRST:])
        self.predictors: dict[int, LatencyPredictor] = {}

    @property
    def is_stored(self) -> bool:
        """Whether the tables were recorded before, with all that `refine` would add."""
        return bool(self.tables.recorded)

    def refine(self) -> Iterator[NetworkTables]:
        """Ever better tables: each layer's drop measured, then random plans tried."""
        for step in self.steps:
            for better in step(self.tables, self.factorisation, self.data):
                self.tables = better
                yield better

    def predictor(self, batch: int) -> LatencyPredictor:
        """What learns the times of so many examples at once."""
        if batch not in self.predictors:
            found = LatencyPredictor(self.tables, self.factorisation, self.data.test.x, batch=batch, draw=self.draw)
            self.predictors[batch] = found
        return self.predictors[batch]

    def note(self, ranks: Mapping[str, Any], found: Finding) -> None:
        """A setting that was timed: from now on its prediction's error is known."""
        if found.measured.timing is not None and found.dense.timing is not None:
            timing = found.measured.timing
            self.predictor(timing.batch).see(ranks, timing, found.dense.timing)

    def trial(self, plan: RankPlan, batch: int, stop: Callable[[], bool]) -> Iterator[Finding]:
        """Measure the network under a plan, one finding after another, until `stop()` is true.

        The dense network is timed in turn with it.
        """
        with suppress(Stopped):
            model = self.factorisation.compress(plan)
            errors = self._errors(model, plan)
            for finding in self._findings(model, plan, batch, stop):
                yield replace(finding, errors=errors)

    def _errors(self, model: nn.Module, plan: RankPlan) -> dict[str, float]:
        blocks = {name: model.get_submodule(name) for name, layer in plan.layers.items() if layer.method == "tucker"}
        weights = {name: self.factorisation.layers[name].weight.detach().double() for name in blocks}
        return {
            name: float((block.weight.detach() - weights[name]).norm() / weights[name].norm().clamp_min(1e-300))
            for name, block in blocks.items()
            if isinstance(block, Tucker)
        }

    def _findings(self, model: nn.Module, plan: RankPlan, batch: int, stop: Callable[[], bool]) -> Iterator[Finding]:
        test, dense = self.data.test, self.dense
        compressed = partial(
            replace,
            label="compressed",
            plan=plan,
            n_params=n_params(model),
            size_bytes=size_bytes(model),
            macs=macs(model, test.x),
        )
        found = np.empty(len(test), dtype=int)
        found[self.first] = predictions(model, test.take(self.first), stop=stop)
        first = dense.take(self.first)
        yield Finding("first", compressed(first, predictions=found[self.first]), first)

        # Before the rest of the test examples, so that a setting that is soon left still has its point.
        validated = predictions(model, self.data.validation, stop=stop)
        yield Finding("validation", compressed(self.dense_validation, predictions=validated), self.dense_validation)

        if len(self.rest):
            found[self.rest] = predictions(model, test.take(self.rest), stop=stop)
        record = compressed(dense, predictions=found)
        yield Finding("test", record, dense)

        timings = latency([self.model, model], test.x, batch=batch, budget_s=LATENCY_BUDGET_S, stop=stop)
        if not stop():
            yield Finding("latency", replace(record, timing=timings[1]), replace(dense, timing=timings[0]))


class TuckerBench(Bench):
    """A bench whose tables hold pairs of ranks."""

    tabulate = staticmethod(tabulate_tucker)
    draw = staticmethod(random_pairs)
    steps = (measure_tucker_drops, partial(try_plans, draw=random_pairs))


# {the kind of tables: the bench that makes them}
BENCHES: dict[type[NetworkTables], type[Bench]] = {RankTables: Bench, TuckerTables: TuckerBench}
