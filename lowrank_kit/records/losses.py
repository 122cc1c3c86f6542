"""How a loss falls, from several seeds."""

from dataclasses import dataclass

import numpy as np

__all__ = ["LossCurve"]


@dataclass(frozen=True, eq=False)
class LossCurve:
    """Losses (seeds, T) at some of the steps (T,) of a training.

    Parameters
    ----------
    method : "adaptive", "vanilla" (plain factors) or "dense"
    decay : how steeply the core fell off at the start: entry (i, j) by a factor 10^(-decay max(i, j))
    rate : learning rate
    """

    method: str
    decay: float
    rate: float
    steps: np.ndarray
    losses: np.ndarray

    @property
    def last(self) -> float:
        """The mean over seeds at the last step; infinite where a training broke off."""
        value = float(self.losses[:, -1].mean())
        return value if np.isfinite(value) else float("inf")

    def __repr__(self) -> str:
        start, end = f"decay {self.decay:g}, rate {self.rate:g}", f"loss {self.last:.2g} after {self.steps[-1]} steps"
        return f"LossCurve({self.method}, {start}: {end})"
