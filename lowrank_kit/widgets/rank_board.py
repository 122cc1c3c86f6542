"""The rank board: a slider a layer, and what its rank does to spectrum, size, arithmetic, accuracy and latency."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import traitlets

from lowrank_kit.checks import InputError, check_name, check_rank
from lowrank_kit.i18n import strings
from lowrank_kit.methods.allocation import table_ladder
from lowrank_kit.records import Measurement, RankPlan
from lowrank_kit.widgets.assets import module, style
from lowrank_kit.widgets.board import Board
from lowrank_kit.widgets.source import prepared
from lowrank_kit.widgets.still import listed
from lowrank_kit.widgets.wire import curves_message, finding_words, tables_message
from lowrank_kit.widgets.worker import Stop

if TYPE_CHECKING:
    from lowrank_kit.widgets.bench import Bench

__all__ = ["RankBoard"]

BY_HAND = {"rule": "hand", "budget": None, "cost": None}


class RankBoard(Board):
    """Sliders over the ranks of a network, in the browser and from Python alike.

    Parameters
    ----------
    source : a name of the zoo, whose board paints from stored tables before torch is loaded, or an nn.Module
    data : for a module, the Data that :func:`lowrank_kit.load` gave with it
    batch : how many examples are timed at once
    language : "en" or "ja"; LOWRANK_KIT_LANG or English where not given

    While a slider moves, everything shown is looked up in tables; when it is let go the network is measured in a
    thread. `set_rank`, `set_budget`, `undo` and `reset` do what a hand does, `wait` lets the measurement finish, and
    `record` holds it.
    """

    _esm = module("rank_board")
    _css = style("rank_board")

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
        self.tables, self._make_bench = prepared(source, data)
        self._bench: Bench | None = None
        self._records: dict[tuple[tuple[int, ...], int], tuple[Measurement, Measurement]] = {}
        full = [table.full_rank for table in self.tables.layers]
        super().__init__(
            batch=batch,
            language=language,
            still_id=self._still.id,
            setting={"ranks": full, "final": False, **BY_HAND},
        )
        self.plan_json = self.plan.to_json()
        self.observe(self._moved, ["setting", "batch"])
        self.on_msg(self._hear)

    @property
    def ranks(self) -> dict[str, int]:
        """{layer: rank}; a layer at full rank is dense."""
        return {table.name: rank for table, rank in zip(self.tables.layers, self._key(), strict=True)}

    @property
    def plan(self) -> RankPlan:
        return self.tables.plan(self.ranks, **{key: self.setting[key] for key in BY_HAND})

    @property
    def record(self) -> Measurement:
        """The present setting, measured on the test examples, with its latency; waits until it is there."""
        return self._measured()[0]

    @property
    def dense(self) -> Measurement:
        """The dense network, timed in turn with the present setting."""
        return self._measured()[1]

    def set_rank(self, layer: str, rank: int) -> None:
        """Set one layer's rank. Raises InputError for an unknown layer or a rank out of range."""
        tables = {table.name: table for table in self.tables.layers}
        check_name(layer, tables, name="layer")
        check_rank(rank, tables[layer].shape)
        self._set({**self.ranks, layer: int(rank)}, BY_HAND)

    def set_budget(self, budget: float, *, rule: str = "energy", cost: str = "params") -> None:
        """Set all ranks by a rule, the head dense; arguments as for :func:`lowrank_kit.plan`."""
        ranks = table_ladder(self.tables, rule, cost).at(budget)
        heads = {table.name: table.full_rank for table in self.tables.layers if table.is_head}
        self._set(heads | ranks, {"rule": rule, "budget": budget, "cost": cost})

    def reset(self) -> None:
        """All layers dense."""
        self._set({table.name: table.full_rank for table in self.tables.layers}, BY_HAND)

    def undo(self) -> None:
        """Back to the setting before; nothing happens where there is none."""
        if self.history:
            *self.history, before = self.history
            self.setting = {**before, "final": True}

    def __repr__(self) -> str:
        kept = self.tables.n_params_at(self.ranks) / self.tables.n_params
        return f"RankBoard({self.tables.name}: {len(self.tables.layers)} layers, {kept:.0%} of the parameters kept)"

    def _ipython_display_(self) -> None:
        text = strings("board", self.language)
        ranks = self.ranks.items()
        lines = [
            f"{n}: {text['rank_of'].format(rank=r, full=t.full_rank)}"
            for (n, r), t in zip(ranks, self.tables.layers, strict=True)
        ]
        self._still.display(repr(self), self._repr_mimebundle_(), listed(self.tables.name, lines))

    def _key(self) -> tuple[int, ...]:
        return tuple(map(int, self.setting["ranks"]))

    def _set(self, ranks: Mapping[str, int], origin: Mapping[str, Any]) -> None:
        self.history = [*self.history, {**self.setting, "final": False}]
        self.setting = {"ranks": [ranks[table.name] for table in self.tables.layers], "final": True, **origin}

    def _hear(self, _: Any, content: Mapping[str, Any], __: Any) -> None:
        """A view that has just been made asks for the tables; the network is loaded behind its first picture."""
        if content.get("kind") == "hello":
            self.send(*tables_message(self.tables))
        if content.get("kind") == "painted" and self._bench is None:
            self._measure()

    def _moved(self, change: Any) -> None:
        if self.setting["final"] or change.name == "batch":
            self.plan_json = self.plan.to_json()
            self._measure()

    def _measured(self) -> tuple[Measurement, Measurement]:
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
        """Tell what is known of a setting, or measure it, one finding after another."""
        ranks, batch = key
        if key in self._records:
            self._show(ranks, "latency", *self._records[key])
            return
        for found in self._ready_bench().trial(plan, batch, stop):
            self._show(ranks, found.stage, found.measured, found.dense)
            if found.stage == "latency":
                self._records[key] = found.measured, found.dense
                self._draw(dict(zip(self.ranks, ranks, strict=True)), found.measured, found.dense)

    def _show(self, ranks: tuple[int, ...], stage: str, measured: Measurement, dense: Measurement) -> None:
        words = finding_words(measured, dense)
        if stage != "validation":
            self.finding = {"ranks": list(ranks), "stage": stage, **words}
        elif all(point["ranks"] != list(ranks) for point in self.tried):
            self.tried = [*self.tried, {"ranks": list(ranks), "change": words["change"]}]

    def _draw(self, ranks: Mapping[str, int], measured: Measurement, dense: Measurement) -> None:
        from lowrank_kit.plots.board import plot_board

        self._still.show(plot_board(self.tables, ranks, measured, dense, language=self.language))

    def _ready_bench(self) -> "Bench":
        """The network itself, loaded in the worker's thread when it is first needed."""
        if self._bench is None:
            self._bench = self._make_bench()
            self.tables = self._bench.tables
            if not self._bench.is_stored:
                self._worker.chore(self._refined(self._bench))
        return self._bench

    def _refined(self, bench: "Bench") -> Iterator[None]:
        for self.tables in bench.refine():
            done = sum(bool(table.measured.any()) for table in self.tables.layers)
            progress = {"done": done, "total": len(self.tables.layers), "plans": len(self.tables.predicted)}
            if progress != self.progress:
                self.progress = progress
                self.send(*curves_message(self.tables))
            yield
