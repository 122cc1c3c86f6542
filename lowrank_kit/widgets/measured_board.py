"""Boards over ranks: looked up in tables while a hand moves, measured in a thread when it lets go."""

import math
from collections.abc import Iterator, Mapping
from itertools import chain
from threading import Lock
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import traitlets

from lowrank_kit.checks import InputError
from lowrank_kit.i18n import strings
from lowrank_kit.methods.allocation import table_ladder
from lowrank_kit.records import Measurement, NetworkTimes, Rank, RankPlan
from lowrank_kit.widgets.board import Board
from lowrank_kit.widgets.source import Shelf
from lowrank_kit.widgets.still import listed
from lowrank_kit.widgets.wire import curves_message, finding_words, tables_message, times_message
from lowrank_kit.widgets.worker import Stop

if TYPE_CHECKING:
    from lowrank_kit.plots.figure import Picture
    from lowrank_kit.widgets.bench import Bench, Finding

__all__ = ["BY_HAND", "MeasuredBoard"]

BY_HAND = {"rule": "hand", "budget": None, "cost": None}


class MeasuredBoard(Board):
    """What the boards over ranks share; a subclass says where its tables are, what it asks for and how it is drawn.

    Its setting holds the ranks of all layers one behind the other, one or two for each, in the order of the tables.
    """

    shelf: ClassVar[Shelf]
    rooms: ClassVar[tuple[str, ...]] = ("board",)

    history: traitlets.List[Any] = traitlets.List().tag(sync=True)
    finding = traitlets.Dict().tag(sync=True)
    tried: traitlets.List[Any] = traitlets.List().tag(sync=True)
    plan_json = traitlets.Unicode().tag(sync=True)
    progress = traitlets.Dict().tag(sync=True)
    batch = traitlets.Int().tag(sync=True)

    def __init__(self, source: Any = "mnist-cnn", data: Any = None, *, batch: int = 32, language: str | None = None):
        language = self._begin(language)
        if batch < 1:
            raise InputError(f"`batch` must be at least 1; got {batch}.")
        self.tables, self._make_bench = self.shelf.prepared(source, data)
        self._bench: Bench | None = None
        self._records: dict[tuple[tuple[int, ...], int], Finding] = {}
        # {batch: what teaches its times}, {batch: what of them was sent}, and what makes the tables better.
        self._learning: dict[int, Iterator[None]] = {}
        self._told: dict[int, NetworkTimes] = {}
        self._telling = Lock()
        self._refining: Iterator[None] = iter(())
        super().__init__(
            batch=batch,
            language=language,
            still_id=self._still.id,
            setting={"ranks": self._flat(self._dense_ranks()), "final": False, **BY_HAND},
        )
        self.plan_json = self.plan.to_json()
        self.observe(self._moved, ["setting", "batch"])
        self.on_msg(self._hear)

    @property
    def ranks(self) -> dict[str, Any]:
        """{layer: rank, or ranks of outputs and inputs}; a layer at full rank is dense."""
        return self._by_layer(self._key())

    @property
    def plan(self) -> RankPlan:
        return self.tables.plan(self.ranks, **{key: self.setting[key] for key in BY_HAND})

    @property
    def record(self) -> Measurement:
        """The present setting, measured on the test examples, with its latency; waits until it is there."""
        return self._measured().measured

    @property
    def dense(self) -> Measurement:
        """The dense network, timed in turn with the present setting."""
        return self._measured().dense

    @property
    def predicted_latency_s(self) -> float | None:
        """Seconds a pass that the present setting should take on this machine; None until its layers are timed."""
        predictor = self._bench and self._bench.predictors.get(self.batch)
        return predictor.times.predict(self.ranks) if predictor else None

    def set_budget(self, budget: float, *, rule: str = "energy", cost: str = "params") -> None:
        """Set all ranks by a rule, the head dense; arguments as for :func:`lowrank_kit.plan`."""
        ranks = table_ladder(self.tables, rule, cost).at(budget)
        self._set(self._dense_ranks() | ranks, {"rule": rule, "budget": budget, "cost": cost})

    def reset(self) -> None:
        """All layers dense."""
        self._set(self._dense_ranks(), BY_HAND)

    def undo(self) -> None:
        """Back to the setting before; nothing happens where there is none."""
        if self.history:
            *self.history, before = self.history
            self.setting = {**before, "final": True}

    def _ipython_display_(self) -> None:
        text = strings("board", self.language)["rank_of"]
        pairs = zip(self.tables.layers, self.ranks.values(), strict=True)
        lines = [f"{t.name}: {text.format(rank=_spoken(rank), full=_spoken(t.full_rank))}" for t, rank in pairs]
        self._still.display(repr(self), self._repr_mimebundle_(), listed(self.tables.name, lines))

    def _picture(self, ranks: Mapping[str, Any], measured: Measurement, dense: Measurement) -> "Picture":
        """What stands for the board without a kernel."""
        raise NotImplementedError

    def _key(self) -> tuple[int, ...]:
        return tuple(map(int, self.setting["ranks"]))

    def _dense_ranks(self) -> dict[str, Rank]:
        return {table.name: table.full_rank for table in self.tables.layers}

    def _flat(self, ranks: Mapping[str, Rank]) -> list[int]:
        found = [ranks[table.name] for table in self.tables.layers]
        return [part for rank in found for part in (rank if isinstance(rank, tuple) else (rank,))]

    def _by_layer(self, flat: tuple[int, ...]) -> dict[str, Rank]:
        parts = iter(flat)
        return {
            table.name: (next(parts), next(parts)) if isinstance(table.full_rank, tuple) else next(parts)
            for table in self.tables.layers
        }

    def _set(self, ranks: Mapping[str, Rank], origin: Mapping[str, Any]) -> None:
        self.history = [*self.history, {**self.setting, "final": False}]
        self.setting = {"ranks": self._flat(ranks), "final": True, **origin}

    def _hear(self, _: Any, content: Mapping[str, Any], __: Any) -> None:
        """A view that has just been made asks for the tables; the network is loaded behind its first picture."""
        if content.get("kind") == "hello":
            self.send(*tables_message(self.tables, self.rooms))
            self._tell_times(anew=True)
        if content.get("kind") == "painted" and self._bench is None:
            self._measure()

    def _moved(self, change: Any) -> None:
        if self.setting["final"] or change.name == "batch":
            self.plan_json = self.plan.to_json()
            self._measure()

    def _measured(self) -> "Finding":
        key = self._key(), self.batch
        self.wait()
        if key not in self._records:
            self._measure()
            self.wait()
        return self._records[key]

    def _measure(self) -> None:
        self._check_open()
        self.fault = ""
        key, plan = (self._key(), self.batch), self.plan
        self._worker.submit(lambda stop: self._trial(key, plan, stop))

    def _trial(self, key: tuple[tuple[int, ...], int], plan: RankPlan, stop: Stop) -> None:
        """Tell what is known of a setting, or measure it, one finding after another; then go on learning."""
        bench, (ranks, batch) = self._ready_bench(), key
        if key in self._records:
            self._show(ranks, self._records[key])
        else:
            for found in bench.trial(plan, batch, stop):
                self._show(ranks, found)
                if found.stage == "latency":
                    self._records[key] = found
                    bench.note(self._by_layer(ranks), found)
                    self._tell_times()
                    self._still.show(self._picture(self._by_layer(ranks), found.measured, found.dense))
        self._worker.chore(chain(self._learned(bench, batch), self._refining))

    def _show(self, ranks: tuple[int, ...], found: "Finding") -> None:
        words = finding_words(found.measured, found.dense)
        if found.stage != "validation":
            self.finding = {"ranks": list(ranks), "stage": found.stage, "errors": dict(found.errors), **words}
        elif all(point["ranks"] != list(ranks) for point in self.tried):
            self.tried = [*self.tried, {"ranks": list(ranks), "change": words["change"]}]

    def _ready_bench(self) -> "Bench":
        """The network itself, loaded in the worker's thread when it is first needed."""
        if self._bench is None:
            self._bench = self._make_bench()
            self.tables = self._bench.tables
            if not self._bench.is_stored:
                self._refining = self._refined(self._bench)
                self._worker.chore(self._refining)
        return self._bench

    def _learned(self, bench: "Bench", batch: int) -> Iterator[None]:
        """The times of a batch, taken up where another batch or a hand broke in."""
        if batch not in self._learning:
            self._learning[batch] = self._timed(bench, batch)
        return self._learning[batch]

    def _timed(self, bench: "Bench", batch: int) -> Iterator[None]:
        for _ in bench.predictor(batch).learn(lambda: self._worker.is_called_away):
            self._tell_times()
            yield

    def _tell_times(self, *, anew: bool = False) -> None:
        """What is known of times, as far as it was not told before; to a new view all of it."""
        with self._telling:
            for batch, predictor in list(self._bench.predictors.items() if self._bench else ()):
                times, told = predictor.times, None if anew else self._told.get(batch)
                if times is not told and not math.isnan(times.dense_s):
                    self.send(*times_message(times, told))
                    self._told[batch] = times

    def _refined(self, bench: "Bench") -> Iterator[None]:
        for self.tables in bench.refine():
            done = sum(bool(np.any(table.measured)) for table in self.tables.layers)
            progress = {"done": done, "total": len(self.tables.layers), "plans": len(self.tables.predicted)}
            if progress != self.progress:
                self.progress = progress
                self.send(*curves_message(self.tables))
            yield


def _spoken(rank: Rank) -> str:
    return " × ".join(map(str, rank if isinstance(rank, tuple) else (rank,)))
