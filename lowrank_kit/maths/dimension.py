"""How many numbers a cloud of points needs: estimates of its dimension, curved and flat."""

import numpy as np
from scipy import linalg

from lowrank_kit.checks import InputError, check_matrix

__all__ = ["participation_ratio", "principal_coordinates", "two_nn"]

# The largest ratios, which a curved or thinly covered manifold bends most, are left out (Facco et al. 2017).
LEFT_OUT = 0.1
# Squared distances below this share of the largest are rounding: the points are the same.
SAME = 1e-14


def two_nn(points: np.ndarray) -> float:
    """Intrinsic dimension of points (n, d) from each one's two nearest neighbours.

    Where the density hardly changes over two neighbours, the ratio mu of their distances is distributed as
    F(mu) = 1 - mu^(-dimension), so -log(1 - F) against log(mu) is a line through the origin whose slope is the
    dimension (E. Facco, M. d'Errico, A. Rodriguez, A. Laio. Estimating the intrinsic dimension of datasets by a
    minimal neighborhood information. Scientific Reports 7, 12140, 2017). The tenth with the largest ratios is left
    out. Points that lie on another are counted once. Noise adds dimensions below its own scale, and high dimensions
    come out too low unless points are very many. All n x n distances are held.

    Raises InputError for fewer than ten different points.
    """
    check_matrix(points, name="points")
    ratios = np.sort(_ratios(_different(np.asarray(points, dtype=np.float64))))
    share = np.arange(1, len(ratios) + 1) / len(ratios)
    kept = share <= 1 - LEFT_OUT
    x, y = np.log(ratios[kept]), -np.log1p(-share[kept])
    return float(x @ y / (x @ x))


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


def _squared_distances(points: np.ndarray) -> np.ndarray:
    centred = points - points.mean(axis=0)
    squares = np.square(centred).sum(axis=1)
    return np.clip(squares[:, None] + squares - 2 * centred @ centred.T, 0, None)


def _different(points: np.ndarray) -> np.ndarray:
    """Squared distances between points none of which lies on another."""
    distances = _squared_distances(points)
    same = distances <= SAME * max(float(distances.max()), np.finfo(float).tiny)
    first = ~np.tril(same, -1).any(axis=1)
    if np.count_nonzero(first) < 10:
        raise InputError(f"`points` must hold at least ten different points; got {np.count_nonzero(first)}.")
    return distances[np.ix_(first, first)]


def _ratios(distances: np.ndarray) -> np.ndarray:
    """Distance of the second neighbour over that of the first (n,)."""
    np.fill_diagonal(distances, np.inf)
    nearest = np.partition(distances, 1, axis=1)[:, :2]
    return np.sqrt(nearest.max(axis=1) / nearest.min(axis=1))
