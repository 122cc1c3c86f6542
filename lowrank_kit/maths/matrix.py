"""Singular values and factors through the Gram matrix of the shorter side.

One eigendecomposition of W W^T (m x m, m the shorter side) in float64 replaces the bidiagonalisation of W.
Squaring loses digits only below sqrt(eps) of the largest singular value, about 1e-8: finer than float32 weights.
"""

import numpy as np
from scipy import linalg

from lowrank_kit.checks import check_matrix
from lowrank_kit.records import Factors

__all__ = ["factors", "singular_values"]

# Directions found through the Gram matrix are orthogonal to about eps / share^2, where share is the smallest over the
# largest singular value: to 1e-10 down to this share.
RESOLVED = 1e-3


def singular_values(matrix: np.ndarray) -> np.ndarray:
    """Singular values (k,) of a matrix (m, n), descending, k = min(m, n), float64.

    Raises InputError if the matrix is empty, not two-dimensional, or holds NaN or infinity.

    >>> singular_values(np.diag([3.0, 4.0]))
    array([4., 3.])
    """
    check_matrix(matrix, name="matrix")
    wide, scale = _wide(matrix)
    eigenvalues = linalg.eigvalsh(wide @ wide.T, overwrite_a=True, check_finite=False)
    return _roots(eigenvalues) * scale


def factors(matrix: np.ndarray) -> Factors:
    """Full SVD factors U (m, k), S (k,), Vh (k, n) of a matrix (m, n), float64, for every rank by truncation.

    U diag(S) Vh reproduces the matrix to rounding; truncated, it is the Eckart-Young optimum. Raises as
    :func:`singular_values`.
    """
    check_matrix(matrix, name="matrix")
    wide, scale = _wide(matrix)
    eigenvalues, vectors = linalg.eigh(wide @ wide.T, overwrite_a=True, check_finite=False, driver="evd")
    S = _roots(eigenvalues)
    U = vectors[:, ::-1]
    Vh = U.T @ wide
    if S[-1] > RESOLVED * S[0]:
        Vh /= S[:, None]
    else:
        U, S, Vh = _resolve(U, Vh)
    found = Factors(U, S * scale, Vh)
    return found if matrix.shape[0] <= matrix.shape[1] else Factors(found.Vh.T, found.S, found.U.T)


def _wide(matrix: np.ndarray) -> tuple[np.ndarray, float]:
    """The matrix in float64 with its shorter side first and its largest entry 1, so that squares cannot overflow."""
    wide = matrix if matrix.shape[0] <= matrix.shape[1] else matrix.T
    scale = float(np.abs(matrix).max()) or 1.0
    return np.divide(wide, scale, dtype=np.float64), scale


def _roots(eigenvalues: np.ndarray) -> np.ndarray:
    return np.sqrt(np.clip(eigenvalues, 0, None))[::-1]


def _resolve(U: np.ndarray, projected: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Finish the SVD of U @ projected where some singular values are too small for the Gram matrix to resolve.

    The rows of `projected` (k, n) are nearly orthogonal; an LQ step and the SVD of its small triangle (k, k)
    make the bases orthonormal to rounding, also where singular values are zero or repeated.
    """
    Q, R = linalg.qr(projected.T, mode="economic", check_finite=False)
    inner, S, outer = linalg.svd(R.T, check_finite=False)
    return U @ inner, S, outer @ Q.T
