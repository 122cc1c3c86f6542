"""Singular values and factors through the Gram matrix of the shorter side.

One eigendecomposition of W W^T (m x m, m the shorter side) in float64 replaces the bidiagonalisation of W.
Squaring loses digits only below sqrt(eps) of the largest singular value, about 1e-8: finer than float32 weights.
"""

import numpy as np
from scipy import linalg

from lowrank_kit.checks import check_matrix
from lowrank_kit.records import Factors

__all__ = ["factors", "singular_values", "stacked_factors", "weighted_factors"]

# Directions found through the Gram matrix are orthogonal to about eps / share^2, where share is the smallest over the
# largest singular value: to 1e-10 down to this share.
RESOLVED = 1e-3
# A direction of a moment with less than this share of the largest eigenvalue was not seen in the data.
SHOWN = 1e-14


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
    U, S, Vh = _resolved(vectors[:, ::-1], _roots(eigenvalues), wide)
    found = Factors(U, S * scale, Vh)
    return found if matrix.shape[0] <= matrix.shape[1] else Factors(found.Vh.T, found.S, found.U.T)


def stacked_factors(matrices: np.ndarray) -> list[Factors]:
    """Full SVD factors of each matrix of a stack (groups, m, n), float64, many small ones at once."""
    U, S, Vh = np.linalg.svd(matrices.astype(np.float64), full_matrices=False)
    return [Factors(*parts) for parts in zip(U, S, Vh, strict=True)]


def weighted_factors(matrix: np.ndarray, moment: np.ndarray) -> tuple[Factors, np.ndarray]:
    """Factors of W (m, n) ordered by the outputs W h, and the outputs' singular values (k,), k = min(m, n).

    `moment` (m, m) is the sum of W h h^T W^T over data. With U its leading eigenvectors, U_r U_r^T W is the map of
    rank r with the least sum of |W h - B h|^2, which is the tail of the squared values returned: (W R)_r R^-1 with
    R R^T the moment of h, since U also holds the left singular vectors of W R. All k components reproduce W.
    """
    check_matrix(matrix, name="matrix")
    wide = np.asarray(matrix, dtype=np.float64)
    # The outputs lie in the column space of W: with fewer inputs than outputs, its coordinates are all there is.
    basis = linalg.qr(wide, mode="economic", check_finite=False)[0] if wide.shape[0] > wide.shape[1] else None
    inner = moment if basis is None else basis.T @ moment @ basis
    eigenvalues, vectors = linalg.eigh(inner, check_finite=False, driver="evd")
    shown = int(np.count_nonzero(eigenvalues > SHOWN * max(float(eigenvalues[-1]), 0)))
    U = vectors[:, ::-1] if basis is None else basis @ vectors[:, ::-1]
    # Directions that the data don't show are put in the order of the weight itself.
    U = np.hstack([U[:, :shown], U[:, shown:] @ linalg.svd(U[:, shown:].T @ wide, check_finite=False)[0]])
    rows = U.T @ wide
    sizes = np.linalg.norm(rows, axis=1)
    # A direction the matrix does not have keeps a row of zeros.
    Vh = np.divide(rows, sizes[:, None], out=np.zeros_like(rows), where=sizes[:, None] > 0)
    return Factors(U, sizes, Vh), _roots(eigenvalues)


def _wide(matrix: np.ndarray) -> tuple[np.ndarray, float]:
    """The matrix in float64 with its shorter side first and its largest entry 1, so that squares cannot overflow."""
    wide = matrix if matrix.shape[0] <= matrix.shape[1] else matrix.T
    scale = float(np.abs(matrix).max()) or 1.0
    return np.divide(wide, scale, dtype=np.float64), scale


def _roots(eigenvalues: np.ndarray) -> np.ndarray:
    return np.sqrt(np.clip(eigenvalues, 0, None))[::-1]


def _resolved(U: np.ndarray, S: np.ndarray, wide: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The right factor, and all three made exact where singular values are too small for the Gram matrix to resolve.

    Those directions, few in most matrices, are taken out of U^T W, made orthogonal to the others, and given a small
    SVD of their own; so both bases are orthonormal to rounding, also where singular values are zero or repeated.
    """
    projected = U.T @ wide
    good = int(np.count_nonzero(RESOLVED * S[0] < S))
    leading, rest = projected[:good] / S[:good, None], projected[good:]
    if not len(rest):
        return U, S, leading
    rows = _orthonormal_outside(leading, rest)
    inner, tail, outer = linalg.svd(rest @ rows.T, check_finite=False)
    return np.hstack([U[:, :good], U[:, good:] @ inner]), np.append(S[:good], tail), np.vstack([leading, outer @ rows])


def _orthonormal_outside(leading: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Orthonormal rows (b, n) spanning what of `rows` (b, n) lies outside the orthonormal rows `leading` (g, n)."""
    sizes = np.linalg.norm(rows, axis=1, keepdims=True)
    # Rows that are zero to rounding have no direction; any outside the others will do, and a random one is.
    anything = np.random.default_rng(0).standard_normal(rows.shape)
    basis = np.where(sizes > 1e-13, rows / np.maximum(sizes, 1e-300), anything)
    for _ in range(3):  # each pass takes out what rounding left of the leading rows in the pass before
        basis -= basis @ leading.T @ leading
        basis = linalg.qr(basis.T, mode="economic", check_finite=False)[0].T
    return basis
