"""A weight tensor as a small core and a factor matrix for each of its leading modes (Tucker 1966)."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Integral

import numpy as np

from lowrank_kit.checks import InputError

__all__ = ["TuckerFactors", "tucker_params", "tucker_saves"]


def tucker_params(ranks: Sequence[int], shape: Sequence[int]) -> int:
    """Numbers stored by a tensor of this shape as a core and one factor for each leading mode: prod(core) + sum n r.

    `ranks` are those of the leading modes; the core keeps the modes behind them whole.

    >>> tucker_params((8, 4), (64, 32, 3, 3))  # a core of 8 x 4 x 3 x 3, factors of 64 x 8 and 32 x 4
    928
    """
    core = math.prod(ranks) * math.prod(shape[len(ranks) :])
    return core + sum(n * r for n, r in zip(shape, ranks, strict=False))


def tucker_saves(ranks: Sequence[int], shape: Sequence[int]) -> bool:
    """Whether that is strictly smaller than the tensor.

    >>> tucker_saves((48, 24), (64, 32, 3, 3)), tucker_saves((4, 4), (4, 4, 3, 3))
    (True, False)
    """
    return tucker_params(ranks, shape) < math.prod(shape)


@dataclass(frozen=True, eq=False)
class TuckerFactors:
    """T ~ core x_1 U_1 x_2 U_2 ... with one factor U_i (n_i, r_i) for each leading mode, leading components first.

    The modes behind them are left whole: a convolution weight (outputs, inputs, *kernel) has two factors in Tucker-2,
    and a core (r_1, r_2, *kernel).
    """

    core: np.ndarray
    factors: tuple[np.ndarray, ...]

    @property
    def ranks(self) -> tuple[int, ...]:
        return tuple(U.shape[1] for U in self.factors)

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the whole tensor."""
        return (*(len(U) for U in self.factors), *self.core.shape[len(self.factors) :])

    @property
    def n_params(self) -> int:
        """Numbers stored in the core and the factors."""
        return tucker_params(self.ranks, self.shape)

    def dense(self) -> np.ndarray:
        """The tensor these factors stand for."""
        tensor = self.core
        for mode, U in enumerate(self.factors):
            tensor = np.moveaxis(np.tensordot(U, tensor, axes=(1, mode)), 0, mode)
        return tensor

    def truncate(self, ranks: Sequence[int]) -> "TuckerFactors":
        """The leading `ranks` components of each factor and that corner of the core.

        Of a HOSVD of d modes it errs at most sqrt(d) times as much as the best of these ranks (De Lathauwer, De Moor
        and Vandewalle 2000). Raises InputError for ranks below 1 or beyond those there are.
        """
        _check_ranks(ranks, self.ranks)
        core = self.core[tuple(slice(rank) for rank in ranks)]
        return TuckerFactors(core, tuple(U[:, :rank] for U, rank in zip(self.factors, ranks, strict=True)))


def _check_ranks(ranks: Sequence[int], limits: tuple[int, ...]) -> None:
    """Raise unless there is a whole number from 1 to its limit for each mode."""
    whole = all(isinstance(rank, Integral) and not isinstance(rank, bool) for rank in ranks)
    if not whole or len(ranks) != len(limits) or not all(1 <= r <= n for r, n in zip(ranks, limits, strict=True)):
        raise InputError(
            f"`ranks` must be {len(limits)} whole numbers, each from 1 to its own of {limits}; got {tuple(ranks)!r}."
        )
