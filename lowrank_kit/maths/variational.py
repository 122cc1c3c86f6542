"""How many components of a noisy matrix are more than noise: empirical variational Bayes matrix factorisation.

Y (L, M), L <= M, is taken as B A^T and independent Gaussian noise of one variance, with priors on A and B that the
data themselves set and a posterior in which A and B are independent. The global solution is in closed form: components
whose singular value passes a threshold stay, the others vanish (S. Nakajima, M. Sugiyama, S. D. Babacan, R. Tomioka.
Global analytic solution of fully-observed variational Bayesian matrix factorization. JMLR 14, 1, 2013; threshold and
bounds in the form of S. Nakajima, R. Tomioka, M. Sugiyama, S. D. Babacan. Condition for perfect dimensionality recovery
by variational Bayesian PCA. JMLR 16, 3757, 2015).
"""

import math
from functools import lru_cache

import numpy as np
from scipy.optimize import brentq, minimize_scalar

from lowrank_kit.checks import InputError, check_finite
from lowrank_kit.records import break_even_rank

__all__ = ["evbmf_rank", "noise_variance"]

# Singular values below this share of the largest are rounding where they come from a Gram matrix; they never stay.
RESOLVED = 3e-8
# Noise variances among which minima are looked for lie this far apart, as a difference of logarithms.
STEP = 0.05


def evbmf_rank(values: np.ndarray, shape: tuple[int, int], noise: float | None = None) -> int:
    """How many components of a matrix (m, n) with these singular values stand out of its noise.

    `noise` is the variance of the noise in one entry, :func:`noise_variance` where it is not given; then the rank is
    at most the break-even rank of the shape. It errs on the side of few: 0 for pure noise, and for components that
    noise of their size could have made. Values left out count as zero; zeros may be more than there is room for.

    Raises InputError for values that are negative, NaN, infinite or too many, and for a noise that is no variance.

    >>> evbmf_rank(np.array([9.0, 5.0, 1.1, 1.0, 0.9, 0.8, 0.7, 0.6]), (8, 8))
    2
    """
    shares, top = _shares(values, shape)
    if noise is None:
        deviation = math.sqrt(_relative_noise(shares, shape))
    elif noise >= 0 and math.isfinite(noise):
        deviation = math.sqrt(noise) / top
    else:
        raise InputError(f"`noise` must be a variance, finite and not negative, or None; got {noise!r}.")
    threshold = max(deviation * math.sqrt(max(shape) * _edge(_aspect(shape))), RESOLVED)
    return int(np.count_nonzero(shares > threshold))


def noise_variance(values: np.ndarray, shape: tuple[int, int]) -> float:
    """The variance of the noise in one entry of a matrix (m, n) with these singular values: of the least free energy.

    0 for a zero matrix; a single row or column is taken as all noise. Where there is hardly any, it is not found
    smaller than what keeps rounding from looking like components. Raises InputError as :func:`evbmf_rank`.

    >>> round(noise_variance(np.array([9.0, 5.0, 1.1, 1.0, 0.9, 0.8, 0.7, 0.6]), (8, 8)), 2)
    0.14
    """
    shares, top = _shares(values, shape)
    return _relative_noise(shares, shape) * top * top


def _relative_noise(shares: np.ndarray, shape: tuple[int, int]) -> float:
    """The minimum lies where all is noise, or as much as can be is not, or between (bounds of the paper of 2015)."""
    if not shares.any():
        return 0.0
    squares = np.square(shares)
    M, edge = max(shape), _edge(_aspect(shape))
    # At most ceil(L / (1 + alpha)) - 1 components can stay: the largest r with r (m + n) < m n.
    rest = squares[break_even_rank(shape) :]
    upper = math.log(squares.mean() / M)
    lower = min(math.log(max(rest.mean(), rest[0] / edge, RESOLVED**2 / edge) / M), upper)
    tried = np.linspace(lower, upper, 2 + int((upper - lower) / STEP))

    def energy(log_variance: float) -> float:
        return _free_energy(math.exp(log_variance), squares, shape)

    # There may be a minimum for every rank, nearly as low as another's: each that is seen is followed to its end.
    seen = np.pad([energy(x) for x in tried], 1, constant_values=np.inf)
    low = np.flatnonzero((seen[1:-1] <= seen[:-2]) & (seen[1:-1] <= seen[2:]))
    around = zip(tried[np.maximum(low - 1, 0)], tried[np.minimum(low + 1, len(tried) - 1)], strict=True)
    minima = [minimize_scalar(energy, bounds=each, method="bounded", options={"xatol": 1e-9}) for each in around]
    return math.exp(min(minima, key=lambda found: found.fun).x)


def _free_energy(variance: float, squares: np.ndarray, shape: tuple[int, int]) -> float:
    """Twice the free energy over M, up to what the variance does not change."""
    alpha = _aspect(shape)
    x = squares / (max(shape) * variance)
    gone = x <= _edge(alpha)
    excess = x[~gone] - (1 + alpha)
    tau = (excess + np.sqrt(excess**2 - 4 * alpha)) / 2
    # A component that stays has x = (1 + tau) (1 + alpha / tau), so x - tau = 1 + alpha + alpha / tau.
    stays = 1 + alpha + alpha / tau + np.log1p(tau) + alpha * np.log1p(tau / alpha)
    return float(x[gone].sum() + stays.sum() + len(squares) * math.log(variance))


@lru_cache
def _edge(alpha: float) -> float:
    """The smallest gamma^2 / (M variance) of a component that stays, (1 + tau) (1 + alpha / tau).

    tau, about 2.5129 sqrt(alpha), is where it costs as much free energy to stay as to go. Solved for, it leaves no
    jump in the free energy; the approximation is 2 % off where one side is a hundred times the other.
    """
    tau = brentq(lambda t: math.log1p(t) + alpha * math.log1p(t / alpha) - t, math.sqrt(alpha), 3)
    return (1 + tau) * (1 + alpha / tau)


def _aspect(shape: tuple[int, int]) -> float:
    return min(shape) / max(shape)


def _shares(values: np.ndarray, shape: tuple[int, int]) -> tuple[np.ndarray, float]:
    """The values (L,) over the largest, descending, with zeros for those left out; and the largest."""
    check_finite(values, name="values")
    found = np.sort(np.asarray(values, dtype=np.float64), axis=None)[::-1]
    if (found < 0).any():
        raise InputError(f"`values` must be singular values, none below 0; got {found[-1]}.")
    L, top = min(shape), float(found.max(initial=0)) or 1.0
    shares = found / top
    # A Gram matrix of the longer side has more of them, but those are rounding.
    if (shares[L:] > RESOLVED).any():
        raise InputError(f"`values` must be at most {L} for a {shape[0]} x {shape[1]} matrix; got {len(found)}.")
    return np.pad(shares[:L], (0, max(L - len(shares), 0))), top
