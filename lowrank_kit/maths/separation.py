"""How far apart classes lie in a cloud of points."""

import numpy as np

from lowrank_kit.checks import InputError

__all__ = ["nearest_mean", "scatter_ratio", "variance_between"]


def variance_between(points: np.ndarray, labels: np.ndarray) -> float:
    """Fraction of the variance of points (n, d) that lies between the means of their classes; 0 for a single point.

    1 where every class is one point, about (classes - 1) / (n - 1) where labels know nothing of the points.

    >>> variance_between(np.array([[0.0], [0.0], [2.0], [2.0]]), np.array([0, 0, 1, 1]))
    1.0
    """
    mean = points.mean(axis=0, dtype=np.float64)
    total = float(np.square(points - mean).sum())
    between = sum(float(np.sum(labels == c) * np.square(m - mean).sum()) for c, m in _means(points, labels).items())
    return between / total if total > 0 else 0.0


def scatter_ratio(points: np.ndarray, labels: np.ndarray) -> float:
    """Scatter within classes over that between their means, Tr S_W / Tr S_B, of points (n, d); small where they part.

    S_W is the mean over points of the scatter around the mean of their class, S_B the mean over classes of that of
    their means around the mean of all points. Infinite where the means are all the same.

    >>> scatter_ratio(np.array([[0.0], [2.0], [4.0], [6.0]]), np.array([0, 0, 1, 1]))
    0.25
    """
    mean = points.mean(axis=0, dtype=np.float64)
    means = _means(points, labels)
    within = sum(float(np.square(points[labels == c] - m).sum()) for c, m in means.items()) / len(points)
    between = sum(float(np.square(m - mean).sum()) for m in means.values()) / len(means)
    return within / between if between > 0 else float("inf")


def nearest_mean(points: np.ndarray, seen: np.ndarray, seen_labels: np.ndarray) -> np.ndarray:
    """The class (n,) whose mean over the points seen (k, d) lies nearest to each of the points (n, d).

    About the simplest reader of a representation there is. Raises InputError where the points are of different sizes.
    """
    if points.shape[1] != seen.shape[1]:
        raise InputError(f"`points` must have {seen.shape[1]} coordinates, as those seen; got {points.shape[1]}.")
    means = _means(seen, seen_labels)
    distances = np.stack([np.square(points - mean).sum(axis=1) for mean in means.values()], axis=1)
    return np.array(list(means))[distances.argmin(axis=1)]


def _means(points: np.ndarray, labels: np.ndarray) -> dict[int, np.ndarray]:
    return {int(c): points[labels == c].mean(axis=0, dtype=np.float64) for c in np.unique(labels)}
