"""Weights to begin with: orthogonal, drawn, or aligned with what is to be learnt."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from lowrank_kit.checks import InputError, check_name

__all__ = ["STARTS", "aligned", "start"]

STARTS = ("orthogonal", "gaussian", "uniform")


def start(kind: str, widths: Sequence[int], scale: float, seed: int = 0) -> list[np.ndarray]:
    """Weights [(d_1, d_0), (d_2, d_1), ...] of a network whose widths are (d_0, d_1, ..., d_L), the first one first.

    "orthogonal": `scale` times a (semi-)orthogonal matrix, whose singular values are all `scale`.
    "gaussian" and "uniform": independent entries of mean 0 and the variance that gives the same expected squared norm.

    Raises InputError for an unknown kind, a scale that is not above 0, or fewer than two widths.
    """
    check_name(kind, STARTS, name="kind")
    if not scale > 0:
        raise InputError(f"`scale` must be above 0; got {scale!r}. At zero the gradient of every deep network is zero.")
    if len(widths) < 2 or min(widths) < 1:
        raise InputError(f"`widths` must be at least two numbers of at least 1; got {tuple(widths)}.")
    rng = np.random.default_rng(seed)
    return [scale * _drawn(kind, (m, n), rng) for n, m in pairwise(widths)]


def aligned(target: np.ndarray, depth: int, scale: float, seed: int = 0) -> list[np.ndarray]:
    """An orthogonal start of square layers whose product is `scale`^depth U V^T, for a target U S V^T (d, d).

    Every singular direction of the target then grows by itself (A. M. Saxe, J. L. McClelland, S. Ganguli. Exact
    solutions to the nonlinear dynamics of learning in deep linear neural networks. ICLR 2014, arXiv:1312.6120).
    """
    if target.shape[0] != target.shape[1]:
        raise InputError(f"`target` must be square for an aligned start; got shape {target.shape}.")
    rng, (U, _, Vh) = np.random.default_rng(seed), np.linalg.svd(target)
    frames = [Vh.T, *(_orthogonal(len(U), rng) for _ in range(depth - 1)), U]
    return [scale * after @ before.T for before, after in pairwise(frames)]


def _drawn(kind: str, shape: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    if kind == "orthogonal":
        return _orthogonal(max(shape), rng)[: shape[0], : shape[1]]
    std = np.sqrt(min(shape) / (shape[0] * shape[1]))
    if kind == "gaussian":
        return std * rng.standard_normal(shape)
    return std * np.sqrt(3) * rng.uniform(-1, 1, shape)


def _orthogonal(n: int, rng: np.random.Generator) -> np.ndarray:
    """Uniformly drawn: the signs of R are taken out of the QR decomposition (Mezzadri 2007)."""
    Q, R = np.linalg.qr(rng.standard_normal((n, n)))
    return Q * np.where(np.diag(R) < 0, -1.0, 1.0)
