"""How far the nearest neighbours of points are, without ever holding all distances at once."""

from collections.abc import Iterator

import numpy as np

from lowrank_kit.checks import InputError, check_matrix

__all__ = ["nearest_distances"]

# Squared distances below this share of the largest there may be are rounding: the points are the same.
SAME = 5e-15
# Distances of so many points at a time to all others: of 10,000 points, 80 MB.
BLOCK = 1000
LEAST = 10


def nearest_distances(points: np.ndarray, k: int) -> np.ndarray:
    """Distances (m, k) of the m different points among points (n, d) to their k nearest neighbours, nearest first.

    Points that lie on another are counted once. It takes n^2 d multiply-adds, twice where some do.

    Raises InputError for fewer than ten different points, or fewer than k + 1.
    """
    check_matrix(points, name="points")
    points = np.asarray(points, dtype=np.float64)
    least = max(LEAST, k + 1)
    if len(points) < least:
        raise InputError(f"intrinsic dimension needs at least {least} different points; got {len(points)}.")
    found, again = zip(*_by_block(points, k), strict=True)
    copies = np.concatenate(again)
    return nearest_distances(points[~copies], k) if copies.any() else np.concatenate(found)


def _by_block(points: np.ndarray, k: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Of each block of points their nearest distances, and whether they lie on an earlier point."""
    centred = points - points.mean(axis=0)
    same = SAME * max(4 * float(np.square(centred).sum(axis=1).max()), np.finfo(float).tiny)
    for start, squares in _squared_distances(centred):
        copies = np.asarray(np.tril(squares <= same, start - 1).any(axis=1))
        own = np.arange(len(squares))
        squares[own, start + own] = np.inf
        yield np.sqrt(np.sort(np.partition(squares, k - 1, axis=1)[:, :k], axis=1)), copies


def _squared_distances(centred: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    """Squared distances (up to BLOCK, n) of one block of points after another to all, and where the block starts."""
    squares = np.square(centred).sum(axis=1)
    for start in range(0, len(centred), BLOCK):
        rows = slice(start, start + BLOCK)
        yield start, np.clip(squares[rows, None] + squares - 2 * centred[rows] @ centred.T, 0, None)
