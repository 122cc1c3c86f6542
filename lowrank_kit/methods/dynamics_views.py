"""What is looked at while a deep linear network learns: singular values, repeated ones, and how far vectors turn."""

from typing import NamedTuple

import numpy as np

import lowrank_kit.threads  # noqa: F401 (small matrices, one thread each)
from lowrank_kit.maths.dynamics import largest_angles, vector_angles

__all__ = ["Bearings", "bearings", "looks", "repeated"]

# Singular values so close to each other, beside the largest, are one that repeats.
SAME = 1e-9


class Bearings(NamedTuple):
    """Singular vectors U (L, d, d) and V (L, d, d) that angles are measured from.

    `top` of them at the upper end and `bottom` at the lower one are looked at one by one.
    """

    U: np.ndarray
    V: np.ndarray
    top: int
    bottom: int


def bearings(weights: np.ndarray, top: int, bottom: int) -> Bearings:
    """Of weights (L, d, d) a step behind the start, where repeated singular values have parted if ever they do.

    At least one direction is left between both ends.
    """
    U, _, Vh = np.linalg.svd(weights)
    top = min(top, weights.shape[-1] - 1)
    return Bearings(U, Vh.swapaxes(-1, -2), top, min(bottom, weights.shape[-1] - 1 - top))


def looks(weights: np.ndarray, origin: Bearings) -> dict[str, np.ndarray]:
    """What there is to see of weights (T, L, d, d).

    "values" (T, L, d); "repeated" (T, L), how many of them are the same; "angles" (T, L, 2, n) in radians, of U and V:
    those at the upper end, those at the lower one, and last the span of all between them.
    """
    U, values, Vh = np.linalg.svd(weights)
    turned = [_angles(U, origin.U, origin), _angles(Vh.swapaxes(-1, -2), origin.V, origin)]
    return {"values": values, "repeated": repeated(values), "angles": np.stack(turned, axis=2)}


def repeated(values: np.ndarray) -> np.ndarray:
    """How many of singular values (..., k), descending, are one and the same; 0 where all differ.

    >>> repeated(np.array([3.0, 2.0, 2.0, 2.0, 0.5])).tolist()
    3
    """
    same = values[..., :-1] - values[..., 1:] <= SAME * values[..., :1]
    run = longest = np.zeros(values.shape[:-1], dtype=np.int64)
    for at in range(same.shape[-1]):
        run = (run + 1) * same[..., at]
        longest = np.maximum(longest, run)
    return np.where(longest > 0, longest + 1, 0)


def _angles(vectors: np.ndarray, start: np.ndarray, origin: Bearings) -> np.ndarray:
    """(T, L, n) of vectors (T, L, d, d) and those at the start (L, d, d)."""
    d = vectors.shape[-1]
    ends, middle = np.r_[: origin.top, d - origin.bottom : d], slice(origin.top, d - origin.bottom)
    layers = [(vectors[:, layer], part) for layer, part in enumerate(start)]
    alone = np.stack([vector_angles(now[..., ends], then[:, ends]) for now, then in layers], axis=1)
    span = np.stack([largest_angles(now[..., middle], then[:, ends]) for now, then in layers], axis=1)
    return np.concatenate([alone, span[..., None]], axis=-1)
