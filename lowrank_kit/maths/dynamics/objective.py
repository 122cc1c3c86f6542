"""What a deep linear network is to learn: a target, seen through its inputs or through a mask."""

from dataclasses import dataclass
from typing import Self

import numpy as np

from lowrank_kit.checks import InputError, check_finite, check_matrix

__all__ = ["Objective"]


@dataclass(frozen=True, eq=False)
class Objective:
    """scale / 2 times the squared error of a product of weights W (K, d), plus what no weights can change.

    Parameters
    ----------
    target : T (K, d)
    covariance : C (d, d) of the inputs: the error is ||(W - T) C^(1/2)||^2; None for whitened inputs, C = I
    seen : (K, d) booleans, the entries of T whose error counts (matrix completion); None for all
    scale : 1 for a sum; 1 / (K d) for a mean over entries
    floor : the loss of the target itself

    Raises InputError where the shapes do not fit, nothing is seen, or a covariance and a mask are asked for at once.
    """

    target: np.ndarray
    covariance: np.ndarray | None = None
    seen: np.ndarray | None = None
    scale: float = 1.0
    floor: float = 0.0

    def __post_init__(self) -> None:
        check_matrix(self.target, name="target")
        check_finite(self.target, name="target")
        if self.covariance is not None and self.seen is not None:
            raise InputError("`seen` entries are those of whitened inputs; leave out the covariance or the mask.")
        if self.covariance is not None and self.covariance.shape != (self.target.shape[1],) * 2:
            d = self.target.shape[1]
            raise InputError(f"`covariance` must be {d} x {d} for {d} inputs; got shape {self.covariance.shape}.")
        if self.seen is not None and self.seen.shape != self.target.shape:
            raise InputError(f"`seen` must have the target's shape {self.target.shape}; got {self.seen.shape}.")
        if self.seen is not None and not self.seen.any():
            raise InputError("`seen` must hold at least one entry that is True; with none there is nothing to learn.")

    @classmethod
    def of_data(cls, x: np.ndarray, y: np.ndarray, *, mean: bool = False) -> Self:
        """That of examples x (n, d) and outputs y (n, K): the sum (or mean over n K) of squared errors, halved.

        The target is the least-squares solution; where inputs span less than d directions, the smallest one.
        """
        check_matrix(x, name="x")
        check_matrix(y, name="y")
        if len(x) != len(y):
            raise InputError(f"`x` and `y` must hold as many examples; got {len(x)} and {len(y)}.")
        solution = np.linalg.lstsq(x, y, rcond=None)[0]
        scale = 1 / y.size if mean else 1.0
        return cls(solution.T, x.T @ x, None, scale, scale * float(np.square(y - x @ solution).sum()) / 2)

    @property
    def source(self) -> np.ndarray:
        """What first steps from next to nothing see of the target (K, d): minus the gradient there, over the scale."""
        return -self._pull(-self.target)

    def residual(self, product: np.ndarray) -> np.ndarray:
        """The gradient (K, d) of the loss with respect to the product."""
        found = self._pull(product - self.target)
        return found if self.scale == 1 else self.scale * found

    def loss(self, product: np.ndarray) -> float:
        error = product - self.target
        return self.floor + self.scale * float(np.vdot(error, self._pull(error))) / 2

    def _pull(self, error: np.ndarray) -> np.ndarray:
        if self.seen is not None:
            return np.where(self.seen, error, 0.0)
        return error if self.covariance is None else error @ self.covariance
