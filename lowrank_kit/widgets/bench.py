"""The network behind a board: what is measured when a hand lets go of a slider."""

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal

import numpy as np
from torch import nn

from lowrank_kit.measurement.cost import n_params, size_bytes
from lowrank_kit.measurement.latency import latency
from lowrank_kit.measurement.measure import measure
from lowrank_kit.measurement.quality import predictions
from lowrank_kit.methods.prediction import measure_drops, tabulate, try_plans
from lowrank_kit.models.surgery import Factorisation
from lowrank_kit.records import Data, Measurement, RankPlan, RankTables

__all__ = ["Bench", "Finding"]

FIRST = 200
POINTS = 12
LATENCY_BUDGET_S = 0.9

Stage = Literal["first", "test", "validation", "latency"]


@dataclass(frozen=True, eq=False)
class Finding:
    """One measured step: a `first` slice or all of the `test` examples, the `validation` ones, test with `latency`."""

    stage: Stage
    measured: Measurement
    dense: Measurement


class Bench:
    """A private copy of a network with its factors, its data and the dense predictions everything is paired with.

    `tables` are taken over where they belong to these weights and made from the spectra otherwise.
    """

    def __init__(self, model: nn.Module, data: Data, tables: RankTables | None = None):
        self.model = copy.deepcopy(model).eval()
        self.data = data
        self.factorisation = Factorisation(self.model)
        self.is_stored = tables is not None and tables.weights == self.factorisation.weights
        self.tables = tables if tables is not None and self.is_stored else tabulate(self.factorisation, data)
        order = data.test.stratified_order()
        self.first, self.rest = np.sort(order[:FIRST]), np.sort(order[FIRST:])
        self.dense = measure(self.model, data.test, label="dense", latency_budget_s=0)
        self.dense_validation = measure(self.model, data.validation, label="dense", latency_budget_s=0)

    def refine(self) -> Iterator[RankTables]:
        """Ever better tables: each layer's drop measured, then random plans tried."""
        for step in (partial(measure_drops, points=POINTS), try_plans):
            for better in step(self.tables, self.factorisation, self.data):
                self.tables = better
                yield better

    def trial(self, plan: RankPlan, batch: int, stop: Callable[[], bool]) -> Iterator[Finding]:
        """Measure the network under a plan, one finding after another; the dense network is timed in turn with it."""
        model = self.factorisation.compress(plan)
        test, dense = self.data.test, self.dense
        ranks = {table.name: plan.ranks.get(table.name, table.full_rank) for table in self.tables.layers}
        compressed = partial(
            replace,
            label="compressed",
            plan=plan,
            n_params=n_params(model),
            size_bytes=size_bytes(model),
            macs=self.tables.macs_at(ranks),
        )

        found = np.empty(len(test), dtype=int)
        found[self.first] = predictions(model, test.take(self.first))
        first = dense.take(self.first)
        yield Finding("first", compressed(first, predictions=found[self.first]), first)

        if len(self.rest):
            found[self.rest] = predictions(model, test.take(self.rest))
        record = compressed(dense, predictions=found)
        yield Finding("test", record, dense)

        validated = compressed(self.dense_validation, predictions=predictions(model, self.data.validation))
        yield Finding("validation", validated, self.dense_validation)

        timings = latency([self.model, model], test.x, batch=batch, budget_s=LATENCY_BUDGET_S, stop=stop)
        yield Finding("latency", replace(record, timing=timings[1]), replace(dense, timing=timings[0]))
