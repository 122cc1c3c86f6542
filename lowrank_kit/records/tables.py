"""Everything a rank board shows while a slider moves, computed once for every rank."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from lowrank_kit.records.plans import LayerPlan, RankPlan
from lowrank_kit.records.prices import Price, params_price
from lowrank_kit.records.spectra import Spectrum, break_even_rank, factor_params

__all__ = ["LayerTable", "NetworkTables", "RankTables"]

# A prediction's error is read off the random plans whose predictions lie nearest to it.
NEIGHBOURS = 15

# What is one number or word for the whole network.
WHOLE = (
    "name", "weights", "data", "n_params", "layer_params", "macs", "n_classes", "accuracy", "n_examples", "recorded",
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class LayerTable:
    """One layer at every rank 1..k, k = min(m, n).

    `macs` are its multiply-adds for one example when dense, `rank_macs` those for each unit of its rank. `drop` (k,)
    is the accuracy lost with this layer alone at rank 1..k, and `measured` (k,) tells which of these were measured;
    the others are estimates. A layer in groups has one matrix of this shape for each.
    """

    name: str
    shape: tuple[int, int]
    macs: int
    rank_macs: int
    values: np.ndarray
    drop: np.ndarray
    measured: np.ndarray
    groups: int = 1
    is_head: bool = False
    method: ClassVar[str] = "svd"

    @property
    def spectrum(self) -> Spectrum:
        return Spectrum(self.values, self.shape, self.name, self.groups)

    @property
    def modes(self) -> Spectrum:
        """What rules choose its rank by."""
        return self.spectrum

    def price(self, cost: str) -> Price:
        """What it costs in "params" or in "macs"."""
        return params_price([self.spectrum]) if cost == "params" else Price(self.macs, self.rank_macs)

    @property
    def full_rank(self) -> int:
        return min(self.shape)

    @property
    def break_even_rank(self) -> int:
        return break_even_rank(self.shape)

    def saves(self, rank: int) -> bool:
        """Whether two factors of this rank are smaller than the matrix; otherwise the layer stays dense."""
        return rank <= self.break_even_rank

    def params_saved_at(self, rank: int) -> int:
        """Numbers less than the matrix has, stored at this rank."""
        m, n = self.shape
        return self.groups * (m * n - factor_params(rank, self.shape)) if self.saves(rank) else 0

    def macs_saved_at(self, rank: int) -> int:
        """Multiply-adds for one example less than the matrix takes, at this rank."""
        return self.macs - rank * self.rank_macs if self.saves(rank) else 0

    def drop_at(self, rank: int) -> float:
        return float(self.drop[rank - 1]) if self.saves(rank) else 0.0


@dataclass(frozen=True, eq=False)
class NetworkTables:
    """A network's layers at all their ranks and the whole network when dense.

    `weights` and `data` are the hashes of what the tables were made from. `layer_params` counts the layers that a
    budget is a share of, biases included: the convolution and linear layers. `accuracy` is the dense network's on the
    `n_examples` reported ones. `predicted` and `observed` (t,) are the predictions for random plans and what was then
    measured; empty until they have been tried. `recorded` says when and where stored tables were measured; empty for
    tables made here and now.
    """

    name: str
    weights: str
    data: str
    layers: tuple[Any, ...]
    n_params: int
    layer_params: int
    macs: int
    n_classes: int
    accuracy: float
    n_examples: int
    recorded: str = ""
    predicted: np.ndarray = field(default_factory=lambda: np.empty(0))
    observed: np.ndarray = field(default_factory=lambda: np.empty(0))
    # The arrays that become better known while a board is open.
    growing: ClassVar[tuple[str, ...]] = ("predicted", "observed")

    def total(self, cost: str) -> int:
        """What a budget in "params" or "macs" is a share of."""
        return self.layer_params if cost == "params" else self.macs

    def n_params_at(self, ranks: Mapping[str, Any]) -> int:
        """Parameters of the whole network with these ranks."""
        return self.n_params - sum(layer.params_saved_at(ranks[layer.name]) for layer in self.layers)

    def macs_at(self, ranks: Mapping[str, Any]) -> int:
        """Multiply-adds of the whole network for one example with these ranks."""
        return self.macs - sum(layer.macs_saved_at(ranks[layer.name]) for layer in self.layers)

    def predict(self, ranks: Mapping[str, Any]) -> float:
        """Accuracy expected on the reported examples: the layers' drops, measured one at a time, added up."""
        total = self.accuracy - sum(layer.drop_at(ranks[layer.name]) for layer in self.layers)
        return float(np.clip(total, min(1 / self.n_classes, self.accuracy), 1))

    def prediction_error(self, predicted: float) -> float | None:
        """The error that 9 in 10 of the 15 random plans with the nearest predictions stayed below.

        None until 15 have been tried.
        """
        if len(self.predicted) < NEIGHBOURS:
            return None
        nearest = np.argsort(np.abs(self.predicted - predicted), kind="stable")[:NEIGHBOURS]
        return float(np.quantile(np.abs(self.predicted - self.observed)[nearest], 0.9))

    def plan(
        self, ranks: Mapping[str, Any], *, rule: str = "hand", budget: float | None = None, cost: str | None = None
    ) -> RankPlan:
        """The plan these ranks stand for: layers at full rank are left out."""
        cut = [table for table in self.layers if ranks[table.name] != table.full_rank]
        layers = {table.name: LayerPlan(ranks[table.name], table.method) for table in cut}
        return RankPlan(layers, self.weights, rule, budget, cost)

    def to_arrays(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """Plain words and named arrays, for files and for the browser alike; `from_arrays` reads them back."""
        raise NotImplementedError


@dataclass(frozen=True, eq=False)
class RankTables(NetworkTables):
    """Tables of layers that are matrices, each with one rank."""

    layers: tuple[LayerTable, ...]
    growing: ClassVar[tuple[str, ...]] = ("drop", "measured", "predicted", "observed")

    @property
    def spectra(self) -> dict[str, Spectrum]:
        return {layer.name: layer.spectrum for layer in self.layers}

    def to_arrays(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        words: dict[str, Any] = {name: getattr(self, name) for name in WHOLE}
        words["layers"] = [
            {key: getattr(t, key) for key in ("name", "macs", "rank_macs", "groups", "is_head")}
            | {"shape": list(t.shape)}
            for t in self.layers
        ]
        arrays = {"predicted": self.predicted, "observed": self.observed}
        for part in ("values", "drop", "measured"):
            arrays[part] = np.concatenate([getattr(t, part) for t in self.layers])
        return words, {name: values.astype(np.float64) for name, values in arrays.items()}

    @classmethod
    def from_arrays(cls, words: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> "RankTables":
        ends = np.cumsum([min(entry["shape"]) for entry in words["layers"]])[:-1]
        parts = [np.split(arrays[part], ends) for part in ("values", "drop", "measured")]
        layers = tuple(
            LayerTable(**{**entry, "shape": tuple(entry["shape"])}, values=values, drop=drop, measured=measured > 0)
            for entry, values, drop, measured in zip(words["layers"], *parts, strict=True)
        )
        rest = {key: value for key, value in words.items() if key != "layers"}
        return cls(**rest, layers=layers, predicted=arrays["predicted"], observed=arrays["observed"])
