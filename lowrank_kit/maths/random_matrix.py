"""What the spectrum of a matrix without any structure looks like."""

import numpy as np
from scipy.integrate import quad
from scipy.optimize import brentq

from lowrank_kit.checks import InputError

__all__ = ["hard_threshold", "marchenko_pastur_density", "marchenko_pastur_edges", "marchenko_pastur_median"]


def marchenko_pastur_edges(shape: tuple[int, int], std: float) -> tuple[float, float]:
    """Where the singular values of an m x n matrix of independent entries with this standard deviation end.

    std |sqrt(m) - sqrt(n)| and std (sqrt(m) + sqrt(n)), exact as m and n grow together (Marchenko and Pastur 1967).
    """
    m, n = np.sqrt(shape[0]), np.sqrt(shape[1])
    return float(std * abs(m - n)), float(std * (m + n))


def marchenko_pastur_density(values: np.ndarray, shape: tuple[int, int], std: float) -> np.ndarray:
    """Density at singular values (k,) of the k = min(m, n) singular values of such a matrix; it integrates to 1.

    p(s) = sqrt((b^2 - s^2)(s^2 - a^2)) / (pi std^2 k s) between the edges a and b (Marchenko and Pastur 1967,
    with eigenvalues s^2).
    """
    a, b = marchenko_pastur_edges(shape, std)
    # At zero a square matrix's density has a limit, which a tiny value finds.
    s = np.maximum(np.asarray(values, dtype=np.float64), 1e-9 * b)
    inside = np.clip((b**2 - s**2) * (s**2 - a**2), 0, None)
    return np.sqrt(inside) / (np.pi * std**2 * min(shape) * s)


def marchenko_pastur_median(shape: tuple[int, int]) -> float:
    """The median of the singular values of such a matrix of standard deviation 1, by integration of the density."""
    a, b = marchenko_pastur_edges(shape, 1.0)

    def below(s: float) -> float:
        return float(quad(lambda t: float(marchenko_pastur_density(t, shape, 1.0)), a, s, limit=200)[0])

    return float(brentq(lambda s: below(s) - 0.5, a, b))


def hard_threshold(values: np.ndarray, shape: tuple[int, int], std: float | None = None) -> float:
    """The singular value above which a matrix of low rank is best taken out of white noise, all others left.

    lambda(beta) sqrt(max(m, n)) std, with beta = min(m, n) / max(m, n) and lambda(beta) as below; 4 / sqrt(3) for a
    square matrix. Where `std` is not known, the median of all min(m, n) singular `values` tells it, of which most must
    be noise (M. Gavish, D. L. Donoho. The optimal hard threshold for singular values is 4 / sqrt(3). IEEE Transactions
    on Information Theory 60, 2014). Noise of another kind, stronger in some coordinates or alike in several, has
    values above it.

    Raises InputError unless there are min(m, n) values.
    """
    if len(values) != min(shape):
        raise InputError(f"`values` must be all {min(shape)} singular values of the matrix; got {len(values)}.")
    large, beta = max(shape), min(shape) / max(shape)
    root = np.sqrt(2 * (beta + 1) + 8 * beta / (beta + 1 + np.sqrt(beta**2 + 14 * beta + 1)))
    std = float(np.median(values)) / marchenko_pastur_median(shape) if std is None else std
    return float(root * np.sqrt(large) * std)
