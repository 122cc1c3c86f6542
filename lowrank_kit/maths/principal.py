"""A cloud of points in its principal directions: the dimensions that a flat view sees."""

import numpy as np
from scipy import linalg

from lowrank_kit.checks import check_matrix

__all__ = ["participation_ratio", "principal_coordinates", "principal_variances"]

# Times the size of a matrix, the share of its largest eigenvalue that rounding may add to any other.
ROUNDING = np.finfo(float).eps


def participation_ratio(points: np.ndarray) -> float:
    """How many principal directions the variance of points (n, d) is spread over: (sum l)^2 / sum l^2.

    l are the variances in the principal directions; k equal ones give k. 0 where all points are one.

    >>> corners = np.array([[1.0, 1, 0], [1, -1, 0], [-1, 1, 0], [-1, -1, 0]])
    >>> round(participation_ratio(corners), 12)
    2.0
    """
    check_matrix(points, name="points")
    centred = points - points.mean(axis=0, dtype=np.float64)
    gram = centred @ centred.T if len(centred) < centred.shape[1] else centred.T @ centred
    squares = float(np.square(gram).sum())
    return float(np.trace(gram) ** 2 / squares) if squares > 0 else 0.0


def principal_variances(points: np.ndarray) -> np.ndarray:
    """The variances (k,) of points (n, d) in their principal directions, descending, k = min(n - 1, d).

    Those that rounding cannot tell from zero are zero: below about 1e-13 of the largest.

    >>> principal_variances(np.array([[3.0, 1], [3, -1], [-3, 1], [-3, -1]])).round(12).tolist()
    [12.0, 1.333333333333]
    """
    check_matrix(points, name="points")
    n, d = points.shape
    centred = points - points.mean(axis=0, dtype=np.float64)
    gram = centred @ centred.T if n < d else centred.T @ centred
    found = linalg.eigvalsh(gram, check_finite=False)[::-1][: min(n - 1, d)] / max(n - 1, 1)
    return np.where(found > ROUNDING * len(gram) * max(found[:1], default=0.0), found, 0.0)


def principal_coordinates(points: np.ndarray, n: int = 2) -> np.ndarray:
    """The coordinates (points, n) of points in their leading principal directions, their mean at the origin.

    Each direction points where its largest coordinate is positive.
    """
    check_matrix(points, name="points")
    centred = points - points.mean(axis=0, dtype=np.float64)
    n = min(n, *points.shape)
    if len(points) <= points.shape[1]:  # the smaller of the two Gram matrices tells the same
        squares, U = _leading(centred @ centred.T, n)
        found = U * np.sqrt(np.clip(squares, 0, None))
    else:
        found = centred @ _leading(centred.T @ centred, n)[1]
    return found * np.where(found[np.abs(found).argmax(axis=0), np.arange(found.shape[1])] < 0, -1.0, 1.0)


def _leading(gram: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray]:
    """The n largest eigenvalues, descending, and their vectors."""
    values, vectors = linalg.eigh(gram, subset_by_index=(len(gram) - n, len(gram) - 1), check_finite=False)
    return values[::-1], vectors[:, ::-1]
