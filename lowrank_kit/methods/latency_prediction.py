"""The times behind a board over ranks: layers timed alone, then where they stand, then put to the test by whole plans.

Alone, a layer's time at a rank is soon known to a few percent. In the network its factors may also leave their values
in another layout, with which what stands behind them takes longer; so each layer is looked at once in its place.
"""

import math
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar

import numpy as np

from lowrank_kit.measurement.latency import latency
from lowrank_kit.measurement.layer_times import layer_times, rank_grid, tile_of
from lowrank_kit.methods.prediction import random_ranks
from lowrank_kit.models.running import weight_of
from lowrank_kit.models.shapes import layer_shapes
from lowrank_kit.models.surgery import Factorisation
from lowrank_kit.records import (
    LayerPlan,
    LayerShape,
    LayerTable,
    LayerTimes,
    NetworkTables,
    NetworkTimes,
    Rank,
    Timing,
    TuckerLayer,
)

__all__ = ["LatencyPredictor"]

# For each plan of a layer alone, and for each network.
LAYER_BUDGET_S = 0.04
NETWORK_BUDGET_S = 0.15
# Random plans that are predicted and then timed.
PLANS = 7

Stop = Callable[[], bool]
Ranks = Mapping[str, Any]
Table = LayerTable | TuckerLayer
Found = TypeVar("Found")


class LatencyPredictor:
    """Learns step by step how long a network takes at any ranks; `times` is what is known so far.

    Parameters
    ----------
    tables : the network's layers, with single ranks or with pairs
    x : inputs (n, ...), of which `batch` are run at a time
    draw : makes the random plans, as :func:`lowrank_kit.methods.prediction.random_ranks` does
    """

    def __init__(
        self,
        tables: NetworkTables,
        found: Factorisation,
        x: np.ndarray,
        *,
        batch: int = 1,
        draw: Callable[..., Iterable[Ranks]] = random_ranks,
    ):
        self.tables = {table.name: table for table in tables.layers}
        self.dense = {name: table.full_rank for name, table in self.tables.items()}
        self.found, self.x, self.batch = found, x, batch
        self.trials = draw(tables, PLANS)
        self._plan = tables.plan
        unknown = {name: np.where(_saving(table), np.nan, 0).astype(np.float32) for name, table in self.tables.items()}
        self.times = NetworkTimes(batch, math.nan, unknown)

    def see(self, ranks: Ranks, timing: Timing, dense: Timing) -> None:
        """Take note of a setting that was timed in turn with the dense network."""
        self.times = self.times.seen(ranks, timing.median_s, dense.median_s)

    def learn(self, stop: Stop = lambda: False) -> Iterator[None]:
        """Time layers alone, the network with each of them cut, and the network under random plans.

        A step ends early when `stop()` tells that something else is wanted, and the next begins anew what it was at.
        Layers that do not run just once a pass have no time of their own, and are left out.
        """
        if math.isnan(self.times.dense_s):
            self.see(self.dense, *(yield from self._beside_dense(self.dense, stop)))
            yield
        plans = self._plans()
        for name, chosen in plans.items():
            self._know((yield from _whole(partial(self._alone, name, chosen, stop), stop)))
            yield
        for name, chosen in plans.items():
            cut = self.dense | {name: chosen[len(chosen) // 2].rank}
            self._correct(name, cut, *(yield from self._beside_dense(cut, stop)))
            yield
        for ranks in self.trials:
            self.see(ranks, *(yield from self._beside_dense(ranks, stop)))
            yield

    def _plans(self) -> dict[str, list[LayerPlan]]:
        """What each layer is timed under."""
        weight, shapes = weight_of(self.found.model), layer_shapes(self.found.model, self.x)
        tile = tile_of(weight.device.type, str(weight.dtype).removeprefix("torch."))
        own = {name: table for name, table in self.tables.items() if name in shapes and _saving(table).any()}
        return {name: _grid(table, shapes[name], tile) for name, table in own.items()}

    def _alone(self, name: str, plans: Sequence[LayerPlan], stop: Stop) -> LayerTimes | None:
        model, chosen = self.found.model, {name: plans}
        found = layer_times(model, self.x, chosen, batch=self.batch, budget_s=LAYER_BUDGET_S, stop=stop)
        return next(iter(found), None)

    def _beside_dense(self, ranks: Ranks, stop: Stop) -> Generator[None, None, list[Timing]]:
        """Times of the network at these ranks and of the dense one, taken in turn."""
        models = [self.found.compress(self._plan(ranks)), self.found.model]
        budget_s = NETWORK_BUDGET_S * len(models)
        take = partial(latency, models, self.x, batch=self.batch, budget_s=budget_s, stop=stop)
        return (yield from _whole(take, stop))

    def _know(self, timed: LayerTimes | None) -> None:
        if timed is not None:
            seconds = _at_all_ranks(self.tables[timed.layer], timed)
            self.times = self.times.knowing(timed.layer, seconds / self.times.dense_s)

    def _correct(self, name: str, ranks: Ranks, timing: Timing, dense: Timing) -> None:
        """Add what cutting a layer costs the rest of the network, at whatever rank, where that is more than chance."""
        # Cutting may change the layout that the network says it is in, which is a part of what it costs.
        low, high = replace(timing, layout=dense.layout).speedup_interval(dense)
        expected = self.times.predict(ranks)
        if expected is not None and not low <= self.times.dense_s / expected <= high:
            cost = timing.median_s / dense.median_s - expected / self.times.dense_s
            shares = self.times.shares[name] + cost * _saving(self.tables[name])
            self.times = self.times.knowing(name, np.maximum(shares, 0))


def _whole(take: Callable[[], Found], stop: Stop) -> Generator[None, None, Found]:
    """What `take` finds when nothing cuts it short; a step for every time that something did."""
    while True:
        found = take()
        if not stop():
            return found
        yield


def _grid(table: Table, shape: LayerShape, tile: int) -> list[LayerPlan]:
    """Ranks that suit the hardware, and those that save with the fewest and the most multiply-adds; fewest first."""
    ranks = _ranks(table)[_saving(table).ravel()]
    macs = _macs(table, ranks)
    ends = [LayerPlan(_rank(ranks[end(macs)]), table.method) for end in (np.argmin, np.argmax)]
    plans = {*ends, *(plan for plan in rank_grid(shape, table.method, tile) if _saves(table, _row(plan)))}
    return sorted(plans, key=lambda plan: float(_macs(table, _row(plan))[0]))


def _at_all_ranks(table: Table, timed: LayerTimes) -> np.ndarray:
    """Seconds (k,), or (m, n) for pairs: a straight line between timed ranks, the dense layer's where it stays dense.

    The line is over multiply-adds, which are proportional to a rank; pairs with as many are taken to take as long.
    """
    known = _macs(table, np.concatenate([_row(plan) for plan in timed.plans]))
    seconds = np.interp(_macs(table, _ranks(table)), known, timed.seconds)
    return np.where(_saving(table), seconds.reshape(_full(table)), timed.dense_s)


def _full(table: Table) -> tuple[int, ...]:
    return table.full_rank if isinstance(table.full_rank, tuple) else (table.full_rank,)


def _ranks(table: Table) -> np.ndarray:
    """Every rank (k, 1), or every pair of ranks (m n, 2), as they are counted."""
    full = _full(table)
    return np.indices(full).reshape(len(full), -1).T + 1


def _saving(table: Table) -> np.ndarray:
    """Whether a layer gets smaller, at each rank (k,) or pair (m, n); where not, it stays dense."""
    return _saves(table, _ranks(table)).reshape(_full(table))


def _saves(table: Table, ranks: np.ndarray) -> np.ndarray:
    price = table.price("params")
    return price.of(ranks) < price.dense


def _macs(table: Table, ranks: np.ndarray) -> np.ndarray:
    return table.price("macs").of(ranks)


def _row(plan: LayerPlan) -> np.ndarray:
    return np.array([plan.ranks])


def _rank(numbers: np.ndarray) -> Rank:
    first, *second = map(int, numbers)
    return (first, second[0]) if second else first
