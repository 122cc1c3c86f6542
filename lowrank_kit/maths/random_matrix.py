"""What the spectrum of a matrix without any structure looks like."""

import numpy as np

__all__ = ["marchenko_pastur_density", "marchenko_pastur_edges"]


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
