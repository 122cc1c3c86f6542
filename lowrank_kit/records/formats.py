"""A weight written in another way: what it takes, how far off it is, and what a network still does with it."""

from dataclasses import dataclass

import numpy as np

from lowrank_kit.records.measurements import wilson

__all__ = ["FormatFit"]


@dataclass(frozen=True, eq=False)
class FormatFit:
    """A tensor in a format of low rank.

    Parameters
    ----------
    format : "svd", "spatial", "tucker", "cp" or "tensor train"
    ranks : one or several, as the format has them
    n_params : numbers stored
    error : ||T - T'|| / ||T|| (Frobenius)
    tensor : T', multiplied out
    correct : (n,) which examples a network reads rightly with T' in the place of its weight, where that was tried
    """

    format: str
    ranks: tuple[int, ...]
    n_params: int
    error: float
    tensor: np.ndarray
    correct: np.ndarray | None = None

    @property
    def accuracy(self) -> float:
        """NaN where it was not tried."""
        return float("nan") if self.correct is None else float(self.correct.mean())

    @property
    def interval(self) -> tuple[float, float]:
        """The 95 % interval of the accuracy (Wilson 1927)."""
        n = 0 if self.correct is None else len(self.correct)
        return wilson(self.accuracy, n) if n else (float("nan"), float("nan"))

    def __repr__(self) -> str:
        ranks = " x ".join(map(str, self.ranks))
        tried = "" if self.correct is None else f", accuracy {self.accuracy:.1%}, n = {len(self.correct)}"
        return f"FormatFit({self.format}: ranks {ranks}, {self.n_params:,} numbers, error {self.error:.1%}{tried})"
