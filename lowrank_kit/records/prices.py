"""What a layer costs at its ranks, in parameters or in multiply-adds."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lowrank_kit.records.spectra import Spectrum

__all__ = ["Price", "params_price"]


@dataclass(frozen=True)
class Price:
    """What a layer costs when dense, and in factors: for each unit of its rank.

    Tucker form has a price for each of its two ranks, and `per_pair` for each unit of their product, the core.

    >>> Price(1000, 20).of(np.array([[1], [8]])), Price(1000, (10, 5), 2).of(np.array([[3, 4]]))
    (array([ 20, 160]), array([74]))
    """

    dense: float
    per_rank: float | tuple[float, float]
    per_pair: float = 0

    def of(self, ranks: np.ndarray) -> np.ndarray:
        """The cost (k,) of each of the ranks (k, 1) or pairs of ranks (k, 2)."""
        return ranks @ np.atleast_1d(self.per_rank) + self.per_pair * ranks.prod(axis=1)


def params_price(modes: Sequence[Spectrum]) -> Price:
    """In parameters, of a layer with one spectrum, a matrix, or with two, the modes of a tensor."""
    m, n = modes[0].shape
    if len(modes) == 1:
        return Price(modes[0].groups * m * n, modes[0].groups * (m + n))
    outputs, inputs = (len(mode.values) for mode in modes)
    return Price(m * n, (outputs, inputs), m * n // (outputs * inputs))
