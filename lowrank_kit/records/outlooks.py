"""What is known of a layer's time at every rank, before anything is trained or cut."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from lowrank_kit.records.shapes import LayerShape

__all__ = ["LayerOutlook"]


@dataclass(frozen=True, eq=False)
class LayerOutlook:
    """A layer at R ranks of one method beside itself dense, one example of a batch or the whole batch at once.

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
    """

    network: str
    layer: str
    shape: LayerShape
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

    @property
    def foretold_s(self) -> np.ndarray:
        return np.asarray(self.costs.sum(axis=1))

    @property
    def foretold_speedup(self) -> np.ndarray:
        """(R,) how many times faster than dense; above 1 is faster."""
        return np.asarray(self.dense_costs.sum() / self.foretold_s)

    @property
    def measured_speedup(self) -> np.ndarray:
        """(T,) the same by medians; empty where the dense layer was not timed."""
        return np.empty(0) if self.dense_timed is None else self.dense_timed[0] / self.medians

    @property
    def saved_macs(self) -> np.ndarray:
        """(R,) how many times fewer multiply-adds than dense."""
        return np.asarray(self.dense_macs / self.macs)
