"""The latency board: what a rank does to the time of a layer, on every device there are recorded times of, and why."""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from numbers import Integral
from typing import Any, NamedTuple

import numpy as np
import traitlets

from lowrank_kit.checks import InputError, check_name
from lowrank_kit.i18n import strings
from lowrank_kit.measurement.latency_table import latency_tables
from lowrank_kit.methods.outlook import network_outlook
from lowrank_kit.records import (
    Conditions,
    LatencyTable,
    Layer,
    LayerOutlook,
    LayerPlan,
    LayerShape,
    NetworkOutlook,
    Timing,
)
from lowrank_kit.studies.catalogue import networks
from lowrank_kit.widgets.assets import module, style
from lowrank_kit.widgets.board import Board
from lowrank_kit.widgets.outlooks_message import outlooks_message
from lowrank_kit.widgets.still import listed
from lowrank_kit.widgets.wire import latency_words
from lowrank_kit.widgets.worker import Stop

__all__ = ["LatencyBoard"]

METHODS = ("svd", "spatial", "tucker")
BATCHES = (1, 32, 256)
# A hand waits for a second or two: so many multiply-adds take half a second on one thread.
MOST_MACS = 2e10
BUDGET_S = 0.8
HERE = Conditions("float32", "ieee", "channels_last", "eager", 1)
# What of the setting a finding is of.
TOLD = ("network", "layer", "method", "batch", "rank")


class Pass(NamedTuple):
    """All that a time on this machine depends on."""

    shape: LayerShape
    plan: LayerPlan
    batch: int
    here: Conditions


class LatencyBoard(Board):
    """A rank over one layer of a network, its multiply-adds, its times on several devices and their causes.

    Parameters
    ----------
    source : "vgg16", "resnet50", "vit-b16" or "bert-base", whose layers' times were recorded, or an nn.Module, whose
        times are foretold
    x : for a module, inputs of it (n, ...)
    layer, rank : what is shown first: the layer that takes longest, at a quarter of its ranks
    method : "svd", "spatial" or "tucker"; layers that it does not suit are shown by "svd"
    batch : how many examples a pass takes
    tables : recorded times of devices, by default those that :func:`latency_tables` finds
    language : "en" or "ja"; LOWRANK_KIT_LANG or English where not given

    While the slider moves, everything shown is looked up; when it is let go, the layer is timed on this machine, dense
    and in factors. `set_network`, `set_layer`, `set_rank`, `set_method`, `set_batch` and `set_conditions` do what a
    hand does, `outlooks` holds what is shown of each device, and `record` what was timed here.
    """

    _esm = module("latency_board")
    _css = style("latency_board")

    finding = traitlets.Dict().tag(sync=True)

    def __init__(
        self,
        source: Any = "resnet50",
        x: np.ndarray | None = None,
        *,
        layer: str | None = None,
        rank: int | None = None,
        method: str = "svd",
        batch: int = 1,
        tables: Sequence[LatencyTable] | None = None,
        language: str | None = None,
    ):
        language = self._begin(language)
        self._networks = networks() | ({} if isinstance(source, str) else _layers(source, x))
        name = source if isinstance(source, str) else list(self._networks)[-1]
        check_name(name, self._networks, name="source")
        self.tables = tuple(latency_tables() if tables is None else tables)
        if not self.tables:
            raise InputError("`tables` must hold the recorded times of at least one device; got none.")
        self._records: dict[Pass, tuple[Timing, Timing]] = {}
        check_name(method, METHODS, name="method")
        setting = {
            "network": name,
            "layer": layer,
            "method": method,
            "batch": _checked_batch(batch),
            "rank": rank,
            "conditions": [0] * len(self.tables),
            "final": True,
        }
        self.outlooks = self._outlooks(setting)
        super().__init__(language=language, still_id=self._still.id, setting=self._whole(setting, self.outlooks))
        self.observe(self._moved, "setting")
        self.on_msg(self._hear)

    @property
    def layer(self) -> str:
        return str(self.setting["layer"])

    @property
    def rank(self) -> int:
        """Of the layer's outputs, where it has two ranks."""
        return int(self.setting["rank"])

    @property
    def outlook(self) -> LayerOutlook:
        """What is shown of the layer on the first device."""
        return self.outlooks[0][self.layer]

    @property
    def plan(self) -> LayerPlan:
        """The rank nearest to the slider that there is an outlook of."""
        found = self.outlook
        ranks = tuple(map(int, found.ranks[found.at(self._share())]))
        return LayerPlan(ranks if len(ranks) == 2 else ranks[0], found.method)

    @property
    def record(self) -> tuple[Timing, Timing]:
        """The layer dense and as it is shown, timed in turn on this machine; waits until it is there.

        Raises InputError where that is too much for a hand's wait.
        """
        asked = self._pass()
        self.wait()
        if asked not in self._records:
            if _takes_long(asked):
                raise InputError(
                    f"`record` is of passes below {MOST_MACS:.0e} multiply-adds; {self.layer} at batch "
                    f"{self.setting['batch']} takes {self.outlook.dense_macs:.1e}. Choose a smaller batch."
                )
            self._measure()
            self.wait()
        return self._records[asked]

    def set_network(self, network: str) -> None:
        """Another network, at the layer that takes longest. Raises InputError for an unknown one."""
        check_name(network, self._networks, name="network")
        self._set(network=network, layer=None, rank=None)

    def set_layer(self, layer: str, rank: int | None = None) -> None:
        """Another layer, at the same share of its ranks or at a rank. Raises InputError for an unknown one."""
        found = self._named(self.outlooks, layer)
        self._set(layer=layer, rank=_rank_at(found, self._share()) if rank is None else self._checked(found, rank))

    def set_rank(self, rank: int) -> None:
        """Raises InputError for a rank below 1 or not below the full one."""
        self._set(rank=self._checked(self.outlook, rank))

    def set_method(self, method: str) -> None:
        """Another method, at a quarter of its ranks where it has no such rank. Raises InputError for an unknown one."""
        check_name(method, METHODS, name="method")
        self._set(method=method)

    def set_batch(self, batch: int) -> None:
        """Raises InputError for a batch below 1."""
        self._set(batch=_checked_batch(batch))

    def set_conditions(self, device: str, conditions: Conditions) -> None:
        """How the layers of one device are run. Raises InputError for a device or conditions that there are none of."""
        devices = [table.device for table in self.tables]
        check_name(device, devices, name="device")
        place = devices.index(device)
        known = self.tables[place].conditions
        if conditions not in known:
            raise InputError(f"`conditions` must be some that {device} was recorded in ({'; '.join(map(str, known))}).")
        chosen = list(self.setting["conditions"])
        chosen[place] = known.index(conditions)
        self._set(conditions=chosen)

    def __repr__(self) -> str:
        pairs = (f"{o.conditions['device']} {o[self.layer].foretold_speedup[self._at(o)]:.2g}x" for o in self.outlooks)
        return f"LatencyBoard({self.setting['network']} {self.layer} at rank {self.rank}: predicted {', '.join(pairs)})"

    def _ipython_display_(self) -> None:
        self._still.display(repr(self), self._repr_mimebundle_(), self._words())
        self._measure()

    def _words(self) -> str:
        text = strings("latency", self.language)
        facts = {"network": self.setting["network"], "layer": self.layer, "rank": self.rank}
        return listed(
            text["still"].format(**facts), [text[f"verdict_{self._verdict()}"].format(tile=self.tables[0].tile)]
        )

    def _verdict(self) -> str:
        return self.outlook.verdicts[self._at(self.outlooks[0])]

    def _share(self) -> float:
        return self.rank / _full(self.outlook)

    def _at(self, network: NetworkOutlook) -> int:
        return network[self.layer].at(self._share())

    def _pass(self) -> Pass:
        return Pass(self.outlook.layer.shape, self.plan, self.setting["batch"], self._here())

    def _here(self) -> Conditions:
        """How this machine is timed: as the first device that is a processor."""
        pairs = zip(self.tables, self.setting["conditions"], strict=True)
        return next((table.conditions[at] for table, at in pairs if not table.is_gpu), HERE)

    def _outlooks(self, setting: Mapping[str, Any]) -> tuple[NetworkOutlook, ...]:
        layers = self._networks[setting["network"]]
        return tuple(
            _looked(layers, table, setting["method"], setting["batch"], *table.conditions[at : at + 1])
            for table, at in zip(self.tables, setting["conditions"], strict=True)
        )

    def _whole(self, setting: Mapping[str, Any], outlooks: Sequence[NetworkOutlook]) -> dict[str, Any]:
        """The setting with a layer, and a rank that the layer has."""
        layer = setting["layer"]
        if layer is None:
            layer = outlooks[0].layers[int(np.argmax(outlooks[0].dense_s))].layer.name
        found, rank = self._named(outlooks, layer), setting["rank"]
        rank = _rank_at(found, 0.25) if rank is None else self._checked(found, rank)
        return {**setting, "layer": layer, "rank": rank}

    def _named(self, outlooks: Sequence[NetworkOutlook], layer: str) -> LayerOutlook:
        check_name(layer, [found.layer.name for found in outlooks[0].layers], name="layer")
        return outlooks[0][layer]

    def _checked(self, found: LayerOutlook, rank: int) -> int:
        full = _full(found)
        if isinstance(rank, bool) or not isinstance(rank, Integral) or not 1 <= rank < max(full, 2):
            raise InputError(
                f"`rank` must be a whole number from 1 to {max(full - 1, 1)} for {found.layer.name}; got {rank!r}."
            )
        return int(rank)

    def _set(self, **changes: Any) -> None:
        """Whole before anybody is told, so that a wrong one changes nothing."""
        setting = {**self.setting, **changes, "final": True}
        outlooks = self._outlooks(setting)
        self.setting = self._whole(self._mended(setting, outlooks), outlooks)

    def _hear(self, _: Any, content: Mapping[str, Any], __: Any) -> None:
        if content.get("kind") == "hello":
            self._tell()
        if content.get("kind") == "painted":
            self._measure()

    def _moved(self, change: Any) -> None:
        old, new = change.old, change.new
        if any(old[name] != new[name] for name in ("network", "method", "batch", "conditions")):
            try:
                outlooks = self._outlooks(new)
            except InputError as fault:  # of a hand: too little was recorded under these conditions
                self.setting = old
                self.fault = str(fault)
                return
            self.outlooks, self.finding = outlooks, {}
            whole = self._whole(self._mended(new, outlooks), outlooks)
            self._tell()
            if whole != new:  # a hand has chosen another network or method, whose ranks are others
                self.setting = whole
                return
        if new["final"]:
            self._measure()

    def _mended(self, setting: Mapping[str, Any], outlooks: Sequence[NetworkOutlook]) -> dict[str, Any]:
        """Without a rank that the layer no longer has."""
        layer, rank = setting["layer"], setting["rank"]
        lost = layer is None or rank is None or not 1 <= rank < _full(self._named(outlooks, layer))
        return {**setting, "rank": None if lost else rank}

    def _measure(self) -> None:
        self._check_open()
        self.fault = ""
        told, asked = {name: self.setting[name] for name in TOLD}, self._pass()
        self._worker.submit(lambda stop: self._trial(told, asked, stop))

    def _trial(self, told: Mapping[str, Any], asked: Pass, stop: Stop) -> None:
        """Time the layer as it stood, or tell what is known of it; then draw it."""
        if asked not in self._records and not _takes_long(asked):
            from lowrank_kit.measurement.layer_times import time_layer

            found = time_layer(
                asked.shape,
                asked.plan,
                batch=asked.batch,
                dtype=asked.here.dtype,
                layout=asked.here.layout,
                budget_s=BUDGET_S,
                stop=stop,
            )
            if stop():
                return
            self._records[asked] = found
        self.finding = {**told, **(self._found(*self._records[asked]) if asked in self._records else {})}
        self._draw()

    def _found(self, dense: Timing, cut: Timing) -> dict[str, Any]:
        return {"interval": list(cut.speedup_interval(dense)), **latency_words(cut, dense)}

    def _draw(self) -> None:
        from lowrank_kit.plots.latency_board import plot_latency_board

        self._still.show(plot_latency_board(self.outlooks[0], self.layer, self._share(), language=self.language))

    def _tell(self) -> None:
        """Send what is known of all layers at all ranks, as it was asked for last."""
        known = list(zip(self.outlooks, self.tables, self.setting["conditions"], strict=True))
        batches = sorted({*BATCHES, self.setting["batch"]})
        self.send(*outlooks_message(known, networks=list(self._networks), methods=METHODS, batches=batches))


# A hand goes back and forth, and most of what it does changes no outlook.
_looked = lru_cache(maxsize=16)(network_outlook)


def _layers(model: Any, x: Any) -> dict[str, tuple[Layer, ...]]:
    """The layers of somebody's own network."""
    from torch import nn

    from lowrank_kit.models.shapes import layer_shapes

    if not isinstance(model, nn.Module):
        raise InputError(f"`source` must be a name ({', '.join(networks())}) or an nn.Module; got {model!r}.")
    if x is None:
        raise InputError("`x` must come with a module: inputs of it, such as data.test.x.")
    name = type(model).__name__
    layers = tuple(Layer(name, layer, shape) for layer, shape in layer_shapes(model, x).items())
    if not layers:
        raise InputError(f"`source` must have layers that can be factored; {name} has none.")
    return {name: layers}


def _full(found: LayerOutlook) -> int:
    return int(found.layer.shape.full_ranks(found.method)[0])


def _rank_at(found: LayerOutlook, share: float) -> int:
    """Halves are rounded up, as in the browser."""
    return min(max(int(share * _full(found) + 0.5), 1), max(_full(found) - 1, 1))


def _checked_batch(batch: Any) -> int:
    if isinstance(batch, bool) or not isinstance(batch, Integral) or batch < 1:
        raise InputError(f"`batch` must be a whole number of at least 1; got {batch!r}.")
    return int(batch)


def _takes_long(asked: Pass) -> bool:
    return asked.batch * asked.shape.macs > MOST_MACS
