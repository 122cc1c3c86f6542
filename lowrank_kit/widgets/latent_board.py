"""The latent board: what one layer reads of the examples, kept and cut, and what becomes of a picked one."""

import copy
from collections.abc import Mapping
from numbers import Integral
from operator import itemgetter
from typing import Any

import numpy as np
from torch import nn

from lowrank_kit.checks import InputError, check_name, check_rank
from lowrank_kit.i18n import LANGUAGES, strings
from lowrank_kit.methods.latent_tables import latent_tables, probabilities_by_rank
from lowrank_kit.models.surgery import Factorisation
from lowrank_kit.models.zoo import ZOO, load
from lowrank_kit.records import Data, LatentLayer
from lowrank_kit.widgets.assets import module, style
from lowrank_kit.widgets.board import Board
from lowrank_kit.widgets.still import listed
from lowrank_kit.widgets.worker import Stop

__all__ = ["LatentBoard"]

# Enough to see the classes part, few enough to paint in a frame.
EXAMPLES = 240


class LatentBoard(Board):
    """A layer's inputs in its own singular directions, two that are kept and two that are cut, in the browser.

    Parameters
    ----------
    source : a name of the zoo, or an nn.Module
    data : for a module, the Data that :func:`lowrank_kit.load` gave with it
    layer, rank, picked : what is shown first: the largest layer whole, and the first example
    language : "en" or "ja"; LOWRANK_KIT_LANG or English where not given

    The examples are some of the test examples, which are only looked at. `set_layer`, `set_rank` and `pick` do what a
    hand does; `probabilities` and `accuracy` tell what is shown, measured for the layer that is looked at.
    """

    _esm = module("latent_board")
    _css = style("latent_board")

    def __init__(
        self,
        source: Any = "mnist-cnn",
        data: Data | None = None,
        *,
        layer: str | None = None,
        rank: int | None = None,
        picked: int = 0,
        language: str | None = None,
    ):
        language = self._begin(language)
        model, data = _given(source, data)
        self._factorisation = Factorisation(copy.deepcopy(model))  # which is not trained on meanwhile
        order = data.test.stratified_order()[:EXAMPLES]
        self._examples = data.test.take(np.sort(order))
        self.tables = latent_tables(self._factorisation, self._examples, name=data.name)
        largest = max(self.tables.layers, key=lambda found: np.prod(found.shape))
        first = largest if layer is None else self._layer(layer)
        rank = first.full_rank if rank is None else rank
        check_rank(rank, first.shape)
        self._check_picked(picked)
        self._known: dict[str, np.ndarray] = {}
        setting = {"layer": first.name, "rank": int(rank), "picked": int(picked), "final": True}
        super().__init__(language=language, still_id=self._still.id, setting=setting)
        self.observe(self._moved, "setting")
        self.on_msg(self._hear)

    @property
    def layer(self) -> str:
        return str(self.setting["layer"])

    @property
    def rank(self) -> int:
        return int(self.setting["rank"])

    @property
    def picked(self) -> int:
        """The number of the picked example among those shown."""
        return int(self.setting["picked"])

    @property
    def probabilities(self) -> np.ndarray:
        """What the network predicts for all examples shown (n, classes) with this layer alone at this rank; waits."""
        while np.isnan(found := self._shown()).any():  # again where a hand has moved on meanwhile
            self._check_open()
            self._look()
            self.wait()
        return found.copy()

    @property
    def accuracy(self) -> float:
        """Fraction of the examples shown that are right with this layer alone at this rank; waits until measured."""
        return self.tables.accuracy(self.probabilities)

    def set_layer(self, layer: str) -> None:
        """Look into another layer, whole. Raises InputError for an unknown one."""
        self._set(layer=layer, rank=self._layer(layer).full_rank)

    def set_rank(self, rank: int) -> None:
        """Keep this many directions. Raises InputError for a rank out of range."""
        check_rank(rank, self._layer(self.layer).shape)
        self._set(rank=int(rank))

    def pick(self, example: int) -> None:
        """Mark one of the examples shown by its number. Raises InputError where there is no such number."""
        self._check_picked(example)
        self._set(picked=int(example))

    def __repr__(self) -> str:
        return f"LatentBoard({self.tables.name}: {self.layer} at rank {self.rank}, {len(self._examples)} examples)"

    def _ipython_display_(self) -> None:
        self._still.display(repr(self), self._repr_mimebundle_(), self._words())
        self._look()

    def _words(self) -> str:
        text = strings("latent", self.language)["rank_of"]
        return listed(
            f"{self.tables.name}: {self.layer}",
            [text.format(rank=self.rank, full=self._layer(self.layer).full_rank)],
        )

    def _set(self, **changes: Any) -> None:
        self.setting = {**self.setting, **changes, "final": True}

    def _layer(self, name: str) -> LatentLayer:
        check_name(name, [table.name for table in self.tables.layers], name="layer")
        return self.tables[name]

    def _check_picked(self, example: int) -> None:
        n = len(self.tables.labels)
        if isinstance(example, bool) or not isinstance(example, Integral) or not 0 <= example < n:
            raise InputError(f"`picked` must be the number of an example shown, 0 to {n - 1}; got {example!r}.")

    def _hear(self, _: Any, content: Mapping[str, Any], __: Any) -> None:
        if content.get("kind") == "hello":
            self.send(*self._tables_message())
            for name, known in tuple(self._known.items()):
                if not _unknown(known).all():
                    self._tell(name, 0, len(known))
            self._look()

    def _moved(self, change: Any) -> None:
        """Measure a layer that is new; of one that is measured, draw what a hand has settled on."""
        moved, name = change.old["layer"] != change.new["layer"], change.new["layer"]
        if moved or (change.new["final"] and not _unknown(self._found(name)).any()):
            self._look(again=True)

    def _found(self, name: str) -> np.ndarray:
        """Probabilities (full rank, n, classes) with this layer alone at each rank, NaN where they are not known."""
        if name not in self._known:
            shape = self._layer(name).full_rank, *self.tables.dense.shape
            self._known[name] = np.full(shape, np.nan, dtype=np.float32)
        return self._known[name]

    def _shown(self) -> np.ndarray:
        layer, rank = itemgetter("layer", "rank")(self.setting)
        return self._found(layer)[rank - 1]

    def _look(self, *, again: bool = False) -> None:
        """Measure the ranks of the present layer that are not known yet, and draw it; `again` where all are known."""
        name = self.layer
        if (again or _unknown(self._found(name)).any()) and not self._worker.is_closed:
            self.fault = ""
            self._worker.submit(lambda stop: self._measure(name, stop))

    def _measure(self, name: str, stop: Stop) -> None:
        known = self._found(name)
        ranks = np.flatnonzero(_unknown(known)) + 1
        left = iter(ranks.tolist())
        found = probabilities_by_rank(self._factorisation, name, ranks, self._examples) if len(ranks) else ()
        for probabilities in found:
            if stop():
                return
            if probabilities is not None:
                rank = next(left)
                known[rank - 1] = probabilities
                self._tell(name, rank - 1, rank)
        if not stop():
            self._draw()

    def _tell(self, name: str, start: int, stop: int) -> None:
        """Send the probabilities of some ranks; NaN where they are not known."""
        message = {"kind": "probabilities", "layer": name, "start": start}
        self.send(message, [self._found(name)[start:stop].astype("<f4").tobytes()])

    def _tables_message(self) -> tuple[dict[str, Any], list[bytes]]:
        tables = self.tables
        words = {
            "name": tables.name,
            "labels": tables.labels.tolist(),
            "classes": tables.dense.shape[1],
            "image": None if tables.images is None else list(tables.images.shape[1:]),
            "layers": [
                {"name": t.name, "shape": list(t.shape), "groups": t.groups, "full": t.full_rank} for t in tables.layers
            ],
        }
        images = np.empty(0) if tables.images is None else np.round(255 * tables.images)
        spoken = {language: strings("latent", language) for language in LANGUAGES}
        clouds = (t.coordinates.astype("<f4") for t in tables.layers)
        arrays = tables.dense.astype("<f4"), images.astype("u1"), *clouds
        return {"kind": "tables", "words": words, "strings": spoken}, [array.tobytes() for array in arrays]

    def _draw(self) -> None:
        """What stands for the board without a kernel: two directions kept and two cut, of a whole layer at its half."""
        from lowrank_kit.methods.latent import latent_views
        from lowrank_kit.plots.latent import plot_latent

        layer, rank, picked = itemgetter("layer", "rank", "picked")(self.setting)
        full = self._layer(layer).full_rank
        kept = max(rank if rank <= full - 2 else full // 2, 2)
        try:
            views = latent_views(self._factorisation, self._examples, self._examples, {layer: kept})
        except InputError:  # too few directions to cut some, or examples that are too few or all alike
            self._still.tell(self._words())
        else:
            self._still.show(plot_latent(views, picked, language=self.language))


def _given(source: Any, data: Any) -> tuple[nn.Module, Data]:
    if isinstance(source, str):
        return load(source, data)
    if not isinstance(source, nn.Module):
        raise InputError(f"`source` must be a name ({', '.join(ZOO)}) or an nn.Module; got {type(source).__name__}.")
    if not isinstance(data, Data):
        raise InputError(
            f"`data` must come with a module: model, data = load(module, examples); got {type(data).__name__}."
        )
    return source, data


def _unknown(found: np.ndarray) -> np.ndarray:
    """Which ranks (k,) of a layer have not been measured."""
    return np.isnan(found).any(axis=(1, 2))
