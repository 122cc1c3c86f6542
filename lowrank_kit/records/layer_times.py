"""How long one layer takes at several ranks, beside itself dense."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from lowrank_kit.records.plans import LayerPlan

__all__ = ["LayerTimes"]


@dataclass(frozen=True, eq=False)
class LayerTimes:
    """Median times (k,) in seconds a pass of a layer under `plans`, least ranks first, and of the dense layer.

    All were taken in turn, under `conditions`.
    """

    layer: str
    plans: tuple[LayerPlan, ...]
    seconds: np.ndarray
    dense_s: float
    conditions: Mapping[str, Any]

    @property
    def staircase(self) -> np.ndarray:
        """Indices of the plans worth having: faster than dense and than every plan with larger ranks.

        A rank that is no faster than a larger one only loses accuracy.
        """
        fastest, kept = self.dense_s, []
        for index in reversed(range(len(self.plans))):
            if self.seconds[index] < fastest:
                fastest = float(self.seconds[index])
                kept.append(index)
        return np.array(kept[::-1], dtype=int)
