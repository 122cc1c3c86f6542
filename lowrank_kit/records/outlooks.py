"""What is known of times at every rank, a layer's and a whole network's, before anything is trained or cut."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from lowrank_kit.records.ceilings import Ceilings
from lowrank_kit.records.shapes import Layer

__all__ = ["Judgement", "LayerOutlook", "NetworkOutlook", "Rival"]


class Rival(NamedTuple):
    """What low rank competes with: the dense layer in another dtype, or a dense one of fewer channels ("narrow").

    `share` is the fraction of the multiply-adds that it does.
    """

    name: str
    share: float
    median_s: float


@dataclass(frozen=True, eq=False)
class Judgement:
    """Times (n,) in seconds of layers held out: measured, foretold by a model that never saw them, and the bound."""

    measured_s: np.ndarray
    foretold_s: np.ndarray
    bound_s: np.ndarray

    def __len__(self) -> int:
        return len(self.measured_s)

    @property
    def off(self) -> float:
        """9 in 10 were foretold within this fraction of what was measured; NaN of none."""
        return float(np.quantile(np.abs(self.foretold_s / self.measured_s - 1), 0.9)) if len(self) else np.nan

    def within(self, fraction: float = 0.25, *, bare: bool = False) -> float:
        """The share of those foretold within a fraction of what was measured; `bare`, of the bounds within it."""
        told = self.bound_s if bare else self.foretold_s
        return float((np.abs(told / self.measured_s - 1) <= fraction).mean())


@dataclass(frozen=True, eq=False)
class LayerOutlook:
    """A layer at R ranks of one method beside itself dense, for a whole batch at once.

    Parameters
    ----------
    conditions : under which all of it holds
    ranks : (R, 1), or (R, 2) of outputs and inputs for "tucker", least first
    macs, moved : (R,) multiply-adds and numbers read or written, of a batch
    bound_s : (R,) the bare roofline
    costs : (R, 7) foretold seconds by what they are spent on (:mod:`lowrank_kit.maths.kernel_times`)
    verdicts : (R,) one of :data:`lowrank_kit.maths.verdicts.VERDICTS`
    dense_macs, dense_moved, dense_bound_s, dense_costs : the same of the dense layer
    timed : (T,) indices of the ranks that were timed; `medians`, `lows` and `highs` (T,) are their seconds with the
        5 % and the 95 % quantile
    dense_timed : the same three of the dense layer, None where it was not timed
    rivals : what else was timed in the layer's place
    """

    layer: Layer
    method: str
    conditions: Mapping[str, Any]
    ranks: np.ndarray
    macs: np.ndarray
    moved: np.ndarray
    bound_s: np.ndarray
    costs: np.ndarray
    verdicts: tuple[str, ...]
    dense_macs: float
    dense_moved: float
    dense_bound_s: float
    dense_costs: np.ndarray
    timed: np.ndarray
    medians: np.ndarray
    lows: np.ndarray
    highs: np.ndarray
    dense_timed: tuple[float, float, float] | None = None
    rivals: tuple[Rival, ...] = ()

    @property
    def dense_s(self) -> float:
        """Foretold seconds of the dense layer."""
        return float(self.dense_costs.sum())

    @property
    def foretold_s(self) -> np.ndarray:
        return np.asarray(self.costs.sum(axis=1))

    @property
    def foretold_speedup(self) -> np.ndarray:
        """(R,) how many times faster than dense; above 1 is faster."""
        return np.asarray(self.dense_s / self.foretold_s)

    @property
    def measured_speedup(self) -> np.ndarray:
        """(T,) the same by medians; empty where the dense layer was not timed."""
        return np.empty(0) if self.dense_timed is None else self.dense_timed[0] / self.medians

    @property
    def saved_macs(self) -> np.ndarray:
        """(R,) how many times fewer multiply-adds than dense."""
        return np.asarray(self.dense_macs / self.macs)

    @property
    def shares(self) -> np.ndarray:
        """(R,) of the full rank, or of the full rank of the outputs."""
        return np.asarray(self.ranks[:, 0] / self.layer.shape.full_ranks(self.method)[0])

    def at(self, share: float) -> int:
        """The index of the rank nearest to this share of the full one."""
        return int(np.argmin(np.abs(self.shares - share)))

    def rank_of(self, saved: float) -> float:
        """The rank, between those there are, at which the multiply-adds are this share of the dense layer's."""
        return float(np.interp(saved, self.macs / self.dense_macs, self.ranks[:, 0]))


@dataclass(frozen=True, eq=False)
class NetworkOutlook:
    """All layers of a network on one device under the same conditions, each as often as it is there.

    A layer that the method does not suit is looked at by "svd". The sums are of layers that run alone, one behind the
    other: a whole network takes longer, for all that stands between them.
    """

    network: str
    method: str
    date: str
    conditions: Mapping[str, Any]
    roof: Ceilings
    layers: tuple[LayerOutlook, ...]
    judged: Judgement

    @property
    def counts(self) -> np.ndarray:
        return np.array([found.layer.count for found in self.layers])

    @property
    def dense_s(self) -> np.ndarray:
        """(L,) foretold seconds of each dense layer, as often as it is there."""
        return np.asarray(self.counts * [found.dense_s for found in self.layers])

    def foretold_s(self, share: float) -> np.ndarray:
        """(L,) the same with all ranks at a share of the full ones."""
        return np.asarray(self.counts * [found.foretold_s[found.at(share)] for found in self.layers])

    def verdicts(self, share: float) -> list[str]:
        return [found.verdicts[found.at(share)] for found in self.layers]

    def saved_macs(self, share: float) -> float:
        """How many times fewer multiply-adds the layers do."""
        dense = self.counts @ [found.dense_macs for found in self.layers]
        return float(dense / (self.counts @ [found.macs[found.at(share)] for found in self.layers]))

    def __getitem__(self, name: str) -> LayerOutlook:
        return next(found for found in self.layers if found.layer.name == name)
