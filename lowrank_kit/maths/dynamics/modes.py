"""How the singular values of a product are learnt where every one is learnt by itself."""

import numpy as np
from scipy.special import hyp2f1

__all__ = ["mode_strength"]

# So finely the time is tabulated over the strength, from the start to so close below the target.
POINTS, CLOSE = 2000, 1e-9


def mode_strength(times: np.ndarray, value: float, start: float, depth: int) -> np.ndarray:
    """Strength (T,) over time of a direction with this singular value in the target, from an aligned start.

    Gradient flow of all layers in balance, u = x^L with dx/dt = x^(L-1) (s - x^L); x begins with `start` (A. M. Saxe,
    J. L. McClelland, S. Ganguli. ICLR 2014, arXiv:1312.6120). Times are steps times the learning rate. One layer
    follows an exponential, two a logistic curve; for more the time is known for every strength, through a
    hypergeometric function, and the strength read off it. NaN where a start does not lie below the target.

    >>> mode_strength(np.array([0.0, 50.0]), 2.0, 0.1, 2).round(6).tolist()
    [0.01, 2.0]
    """
    times, begun = np.asarray(times, dtype=np.float64), start**depth
    if depth == 1:
        return value + (begun - value) * np.exp(-times)
    if not 0 < begun < value:
        return np.full(times.shape, np.nan)
    if depth == 2:
        return value / (1 + (value / begun - 1) * np.exp(-2 * value * times))
    top = value ** (1 / depth)
    share = 1 / (1 + np.exp(np.linspace(_logit(start / top), _logit(1 - CLOSE), POINTS)))
    x = top * (1 - share)
    reached = _time(x, value, depth)
    return np.interp(times, reached - reached[0], x**depth, right=value)


def _logit(share: float) -> float:
    return float(np.log(share / (1 - share)))


def _time(x: np.ndarray, value: float, depth: int) -> np.ndarray:
    """An integral of dx / (x^(L-1) (s - x^L)) for L above 2."""
    a = (2 - depth) / depth
    return x ** (2 - depth) * hyp2f1(1, a, 1 + a, x**depth / value) / ((2 - depth) * value)
