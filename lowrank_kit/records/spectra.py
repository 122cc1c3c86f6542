"""A weight matrix seen through its singular values."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from lowrank_kit.checks import check_fraction, check_rank

__all__ = ["Factors", "Spectrum", "break_even_rank", "factor_params"]


def factor_params(rank: int, shape: tuple[int, int]) -> int:
    """Numbers stored by an outputs x inputs matrix in two factors: r (m + n).

    >>> factor_params(8, (128, 64))
    1536
    """
    return rank * sum(shape)


def break_even_rank(shape: tuple[int, int]) -> int:
    """The largest rank whose two factors are strictly smaller than the matrix: r (m + n) < m n.

    It is 0 where not even rank 1 saves anything.

    >>> break_even_rank((64, 64))  # half the singular values of a square layer save exactly nothing
    31
    """
    m, n = shape
    return (m * n - 1) // (m + n)


@dataclass(frozen=True, eq=False)
class Factors:
    """W ~ U diag(S) Vh with U (m, r), S (r,), Vh (r, n), leading components first."""

    U: np.ndarray
    S: np.ndarray
    Vh: np.ndarray

    @property
    def rank(self) -> int:
        return len(self.S)

    @property
    def shape(self) -> tuple[int, int]:
        return self.U.shape[0], self.Vh.shape[1]

    @property
    def n_params(self) -> int:
        """Numbers stored when S is folded into its neighbours."""
        return factor_params(self.rank, self.shape)

    def dense(self) -> np.ndarray:
        """The matrix (m, n) these factors stand for."""
        return (self.U * self.S) @ self.Vh

    def truncate(self, rank: int) -> "Factors":
        """The leading `rank` components; of an SVD, the best approximation of that rank (Eckart and Young 1936)."""
        check_rank(rank, (self.rank, self.rank))
        return Factors(self.U[:, :rank], self.S[:rank], self.Vh[:rank])


@dataclass(frozen=True, eq=False)
class Spectrum:
    """The singular values (k,) of one layer's outputs x inputs matrix, descending, k = min(m, n).

    A layer in groups is one m x n matrix for each, all of one rank: its values are the roots of the sums of squares.
    """

    values: np.ndarray
    shape: tuple[int, int]
    layer: str = ""
    groups: int = 1

    @cached_property
    def energy(self) -> np.ndarray:
        """Fraction (k,) of the squared Frobenius norm kept at rank 1, 2, ..., k; 1 throughout for a zero matrix."""
        squares = np.cumsum(self._squares)
        return squares / squares[-1] if squares[-1] > 0 else np.ones_like(squares)

    def error(self, rank: int) -> float:
        """Relative error ||W - W_r|| / ||W|| (Frobenius) of the best rank-r matrix (Eckart and Young 1936)."""
        check_rank(rank, self.shape)
        return float(self.errors[rank - 1])

    @cached_property
    def errors(self) -> np.ndarray:
        """`error` at rank 1, 2, ..., k (k,)."""
        tails = np.append(np.cumsum(self._squares[::-1])[::-1][1:], 0.0)
        return np.sqrt(tails / max(self._squares.sum(), np.finfo(float).tiny))

    def rank_for_energy(self, energy: float) -> int:
        """The smallest rank that keeps at least this fraction of the energy."""
        check_fraction(energy, name="energy")
        return min(int(np.searchsorted(self.energy, energy)) + 1, len(self.values))

    @property
    def stable_rank(self) -> float:
        """||W||_F^2 / ||W||_2^2; 0 for a zero matrix."""
        return float(self._squares.sum())

    @property
    def effective_rank(self) -> float:
        """exp of the entropy of the normalised singular values (Roy and Vetterli 2007); 0 for a zero matrix."""
        top = float(self.values[0])
        relative = np.asarray(self.values, dtype=np.float64) / top if top > 0 else np.empty(0)
        shares = relative[relative > 0] / relative.sum()
        return float(np.exp(-np.sum(shares * np.log(shares)))) if len(shares) else 0.0

    @cached_property
    def _squares(self) -> np.ndarray:
        """Squares (k,) relative to the largest, so that none overflows; 0 for a zero matrix."""
        values = np.asarray(self.values, dtype=np.float64)
        return np.square(values / values[0]) if values[0] > 0 else np.zeros_like(values)

    @property
    def break_even_rank(self) -> int:
        """The largest rank at which two factors are smaller than the matrix."""
        return break_even_rank(self.shape)

    def __repr__(self) -> str:
        m, n = self.shape
        size = f"{m} x {n}" if self.groups == 1 else f"{self.groups} times {m} x {n}"
        return f"Spectrum({self.layer or 'matrix'}, {size}, stable rank {self.stable_rank:.1f})"
