"""Tucker factors through the Gram matrices of a tensor's unfoldings.

One eigendecomposition for each mode (n x n) gives orthonormal bases in order of importance; every choice of ranks is
then a slice. Modes are unfolded as TensorLy does, the mode first and the others in their order.
"""

from collections.abc import Sequence

import numpy as np
from scipy import linalg

from lowrank_kit.checks import InputError, check_finite
from lowrank_kit.records import TuckerFactors

__all__ = ["hosvd", "mode_product", "refine", "truncation_errors", "unfold"]


def unfold(tensor: np.ndarray, mode: int) -> np.ndarray:
    """The tensor as a matrix (n_mode, all others).

    >>> unfold(np.arange(8).reshape(2, 2, 2), 1)
    array([[0, 1, 4, 5],
           [2, 3, 6, 7]])
    """
    return np.moveaxis(tensor, mode, 0).reshape(tensor.shape[mode], -1)


def mode_product(tensor: np.ndarray, matrix: np.ndarray, mode: int) -> np.ndarray:
    """T x_mode A: every fibre of this mode multiplied by the matrix (m, n_mode), so that the mode has m entries.

    >>> mode_product(np.ones((2, 3, 4)), np.ones((5, 3)), 1).shape
    (2, 5, 4)
    """
    return np.moveaxis(np.tensordot(matrix, tensor, axes=(1, mode)), 0, mode)


def hosvd(tensor: np.ndarray, n_modes: int | None = None) -> tuple[TuckerFactors, tuple[np.ndarray, ...]]:
    """Full higher-order SVD of the leading `n_modes` (all by default) for all ranks by truncation.

    Factors U_i (n_i, n_i) and core reproduce the tensor, in its own precision, float32 or float64. The columns of U_i
    are orthonormal and in the order of the singular values (n_i,) of the mode's unfolding, which are returned too:
    descending, and true to rounding in relation to the largest. Cut to ranks, it errs at most sqrt(n_modes) times as
    much as the best of these ranks (L. De Lathauwer, B. De Moor, J. Vandewalle. A multilinear singular value
    decomposition. SIAM J. Matrix Anal. Appl. 21, 1253, 2000).

    Raises InputError if the tensor is empty, holds NaN or infinity, or has fewer modes.

    >>> full, values = hosvd(np.diag([3.0, 4.0]))
    >>> values[0], full.truncate((1, 1)).dense().round(12) + 0.0
    (array([4., 3.]), array([[0., 0.],
           [0., 4.]]))
    """
    _check_tensor(tensor)
    modes = range(tensor.ndim if n_modes is None else n_modes)
    if not 1 <= len(modes) <= tensor.ndim:
        raise InputError(f"`n_modes` must be between 1 and the tensor's {tensor.ndim} modes; got {n_modes}.")
    core, scale = _scaled(tensor, keep=np.float32)
    factors, values = [], []
    for mode in modes:
        rows = unfold(core, mode)
        U = _leading(rows, len(rows))[1]
        rows = U.T @ rows
        # The Gram matrix has lost the digits of small values; the turned rows have them.
        sizes = np.sqrt(np.einsum("ij,ij->i", rows, rows, dtype=np.float64))
        # Only turned by a whole basis, the core keeps the Gram matrices of its other modes.
        core = _fold(rows, core.shape, mode)
        factors.append(U)
        values.append(np.maximum.accumulate(sizes[::-1])[::-1] * scale)
    return TuckerFactors(core * core.dtype.type(scale), tuple(factors)), tuple(values)


def truncation_errors(full: TuckerFactors) -> np.ndarray:
    """Relative error ||T - T_r|| / ||T|| (Frobenius) at every choice of ranks (r_1, ..., r_d) at once.

    Entry (r_1 - 1, ..., r_d - 1) is that of `full.truncate((r_1, ..., r_d))`: with orthonormal factors, as those of a
    HOSVD, the size of what is cut off the core. 0 throughout for a zero tensor.
    """
    d = len(full.factors)
    core = _scaled(full.core, keep=np.float32)[0].reshape(*full.ranks, -1)
    kept = np.einsum("...k,...k->...", core, core, dtype=np.float64)
    total = max(float(kept.sum()), np.finfo(float).tiny)
    # Only sums of what is cut, never 1 - kept, so that small errors keep their digits: what lies beyond r_1, then
    # what lies beyond r_2 among the leading r_1, and so on.
    cut = np.zeros(full.ranks)
    for mode in range(d):
        cut += _beyond(kept.sum(axis=tuple(range(mode + 1, d)), keepdims=True), mode)
        kept = np.cumsum(kept, axis=mode)
    return np.sqrt(cut / total)


def refine(tensor: np.ndarray, start: TuckerFactors, sweeps: int = 2) -> TuckerFactors:
    """Factors of the same ranks that err no more than the start: higher-order orthogonal iteration.

    Each sweep takes for one mode after the other the best basis while the others stay (L. De Lathauwer, B. De Moor,
    J. Vandewalle. On the best rank-1 and rank-(R1, ..., RN) approximation of higher-order tensors. SIAM J. Matrix
    Anal. Appl. 21, 1324, 2000). From a truncated HOSVD two sweeps do nearly all there is to gain.

    Raises InputError if the tensor is empty, holds NaN or infinity, or is not of the shape of the start.
    """
    _check_tensor(tensor)
    if tensor.shape != start.shape:
        raise InputError(f"`start` must be factors of a tensor of shape {tensor.shape}; got {start.shape}.")
    scaled, scale = _scaled(tensor)
    # Bases that training has bent are straightened: the projections below need them orthonormal.
    factors = [linalg.qr(U.astype(np.float64), mode="economic", check_finite=False)[0] for U in start.factors]
    for _ in range(sweeps):
        for mode, rank in enumerate(start.ranks):
            others = _project(scaled, factors, skip=mode)
            factors[mode] = _leading(unfold(others, mode), rank)[1]
    return TuckerFactors(_project(scaled, factors) * scale, tuple(factors))


def _project(tensor: np.ndarray, factors: Sequence[np.ndarray], skip: int | None = None) -> np.ndarray:
    """T x_1 U_1^T x_2 U_2^T ..., the coordinates in these bases; the mode skipped stays as it is."""
    for mode, U in enumerate(factors):
        tensor = tensor if mode == skip else mode_product(tensor, U.T, mode)
    return tensor


def _leading(rows: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray]:
    """The n largest singular values, descending, and the left vectors (m, n) of a matrix (m, any)."""
    gram = rows @ rows.T
    squares, U = linalg.eigh(gram, overwrite_a=True, check_finite=False, driver="evd")
    return np.sqrt(np.clip(squares[::-1][:n], 0, None)), U[:, ::-1][:, :n]


def _fold(rows: np.ndarray, shape: Sequence[int], mode: int) -> np.ndarray:
    """The tensor whose unfolding is `rows` (n_mode, others), of this shape but for its mode."""
    return np.moveaxis(rows.reshape(-1, *shape[:mode], *shape[mode + 1 :]), 0, mode)


def _scaled(tensor: np.ndarray, *, keep: type = np.float64) -> tuple[np.ndarray, float]:
    """The tensor with its largest entry 1, so that squares cannot overflow; in float64 unless its type is to be kept.

    In float32 products take half the time.
    """
    scale = float(np.abs(tensor).max()) or 1.0
    dtype = keep if tensor.dtype == keep else np.float64
    return np.divide(tensor, scale, dtype=dtype), scale


def _beyond(sums: np.ndarray, axis: int) -> np.ndarray:
    """At every place of an axis the sum of all that lie behind it, which is 0 at the last."""
    behind = np.zeros_like(sums)
    np.moveaxis(behind, axis, 0)[:-1] = np.cumsum(np.moveaxis(sums, axis, 0)[:0:-1], axis=0)[::-1]
    return behind


def _check_tensor(tensor: np.ndarray) -> None:
    if tensor.size == 0 or tensor.ndim == 0:
        raise InputError(f"`tensor` must have entries in at least one mode; got shape {tensor.shape}.")
    check_finite(tensor, name="tensor")
