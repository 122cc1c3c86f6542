"""Everything a Tucker board shows while sliders move, computed once for every pair of ranks."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from lowrank_kit.records.prices import Price, params_price
from lowrank_kit.records.spectra import Spectrum
from lowrank_kit.records.tables import WHOLE, NetworkTables
from lowrank_kit.records.tensors import tucker_saves

__all__ = ["TuckerLayer", "TuckerTables"]

# What is one word, number or pair for a layer.
LAYER = ("name", "macs", "pair_macs", "measured", "is_head")

Pair = tuple[int, int]


@dataclass(frozen=True, eq=False)
class TuckerLayer:
    """One convolution at every pair of ranks, outputs first, as three convolutions: 1 x 1, its own kernel, 1 x 1.

    `macs` are its multiply-adds for one example when dense; in Tucker form `rank_macs` for each unit of either rank and
    `pair_macs` for each unit of their product. `values` are the singular values of its outputs (m,) and of its inputs
    (n,), `errors` (m, n) the relative error of the truncated HOSVD at every pair, and `estimated` the ranks that stand
    out of the weight's noise. The accuracy lost with this layer alone in Tucker form is read off a curve over that
    error: `drops` (k,) at `knots` (k,), which are rising; `measured` tells whether these are measured or estimates.
    """

    name: str
    shape: tuple[int, ...]
    macs: int
    rank_macs: Pair
    pair_macs: int
    values: tuple[np.ndarray, np.ndarray]
    errors: np.ndarray
    estimated: Pair
    knots: np.ndarray
    drops: np.ndarray
    measured: bool = False
    is_head: bool = False
    method: ClassVar[str] = "tucker"

    @property
    def modes(self) -> tuple[Spectrum, Spectrum]:
        """The spectra of outputs and inputs."""
        size = math.prod(self.shape)
        outputs, inputs = (
            Spectrum(values, (n, size // n), self.name) for values, n in zip(self.values, self.shape, strict=False)
        )
        return outputs, inputs

    def price(self, cost: str) -> Price:
        """What it costs in "params" or in "macs"."""
        return params_price(self.modes) if cost == "params" else Price(self.macs, self.rank_macs, self.pair_macs)

    @property
    def full_rank(self) -> Pair:
        return self.shape[0], self.shape[1]

    def saves(self, ranks: Pair) -> bool:
        """Whether core and factors of these ranks are smaller than the weight; otherwise the layer stays dense."""
        return tucker_saves(ranks, self.shape)

    def params_saved_at(self, ranks: Pair) -> int:
        """Numbers less than the weight has, stored at these ranks."""
        return self._saved_at(ranks, "params")

    def macs_saved_at(self, ranks: Pair) -> int:
        """Multiply-adds for one example less than the layer takes, at these ranks."""
        return self._saved_at(ranks, "macs")

    def error_at(self, ranks: Pair) -> float:
        """The relative error of the weight, which is none where the layer stays dense."""
        return float(self.errors[ranks[0] - 1, ranks[1] - 1]) if self.saves(ranks) else 0.0

    def drop_at(self, ranks: Pair) -> float:
        return float(np.interp(self.error_at(ranks), [0.0, *self.knots], [0.0, *self.drops]))

    def _saved_at(self, ranks: Pair, cost: str) -> int:
        price = self.price(cost)
        return int(price.dense - price.of(np.array([ranks]))[0]) if self.saves(ranks) else 0


@dataclass(frozen=True, eq=False)
class TuckerTables(NetworkTables):
    """Tables of the convolutions that have modes; a budget is a share of these alone.

    `whole` are the other layers, {name: parameters}, which stay as they are.
    """

    layers: tuple[TuckerLayer, ...]
    whole: Mapping[str, int] = field(default_factory=dict)
    growing: ClassVar[tuple[str, ...]] = ("knots", "drops", "predicted", "observed")

    def total(self, cost: str) -> int:
        return self.layer_params if cost == "params" else sum(layer.macs for layer in self.layers)

    def to_arrays(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        words: dict[str, Any] = {name: getattr(self, name) for name in WHOLE} | {"whole": dict(self.whole)}
        words["layers"] = [
            {key: getattr(t, key) for key in LAYER}
            | {key: list(getattr(t, key)) for key in ("shape", "rank_macs", "estimated")}
            | {"n_knots": len(t.knots)}
            for t in self.layers
        ]
        arrays = {"predicted": self.predicted, "observed": self.observed}
        for part in ("knots", "drops"):
            arrays[part] = np.concatenate([getattr(t, part) for t in self.layers])
        arrays["values"] = np.concatenate([values for t in self.layers for values in t.values])
        arrays = {name: values.astype(np.float64) for name, values in arrays.items()}
        return words, {**arrays, "errors": np.concatenate([t.errors.ravel() for t in self.layers]).astype(np.float32)}

    @classmethod
    def from_arrays(cls, words: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> "TuckerTables":
        shapes = [tuple(entry["shape"]) for entry in words["layers"]]
        counts = [entry["n_knots"] for entry in words["layers"]]
        cuts = {"knots": counts, "drops": counts, "errors": [m * n for m, n, *_ in shapes]}
        knots, drops, errors = (_split(arrays[name], sizes) for name, sizes in cuts.items())
        values = iter(_split(arrays["values"], [n for shape in shapes for n in shape[:2]]))
        layers = tuple(
            TuckerLayer(
                **{key: entry[key] for key in LAYER},
                shape=shape,
                rank_macs=tuple(entry["rank_macs"]),
                estimated=tuple(entry["estimated"]),
                values=(next(values), next(values)),
                errors=errors[i].reshape(shape[:2]),
                knots=knots[i],
                drops=drops[i],
            )
            for i, (entry, shape) in enumerate(zip(words["layers"], shapes, strict=True))
        )
        rest = {key: words[key] for key in (*WHOLE, "whole")}
        return cls(**rest, layers=layers, predicted=arrays["predicted"], observed=arrays["observed"])


def _split(values: np.ndarray, sizes: list[int]) -> list[np.ndarray]:
    return np.split(values, np.cumsum(sizes)[:-1])
