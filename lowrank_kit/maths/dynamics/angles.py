"""How far singular vectors have turned since the start."""

import numpy as np

__all__ = ["largest_angles", "vector_angles"]


def vector_angles(vectors: np.ndarray, start: np.ndarray) -> np.ndarray:
    """Angles (..., k) in radians between the columns of (..., d, k) and those of the start (d, k); signs don't count.

    Exact also where they are small, which the arc cosine is not.
    """
    along = np.einsum("...dk,dk->...k", vectors, start)
    across = np.linalg.norm(vectors - along[..., None, :] * start, axis=-2)
    return np.arctan2(across, np.abs(along))


def largest_angles(vectors: np.ndarray, rest: np.ndarray) -> np.ndarray:
    """The largest principal angles (...) in radians between spans of columns (..., d, k) and one span at the start.

    `rest` (d, d - k) are the directions at right angles to the latter: what leans into them has turned.
    """
    lean = vectors.swapaxes(-1, -2) @ rest
    short = lean if lean.shape[-2] < lean.shape[-1] else lean.swapaxes(-1, -2)
    squares = np.linalg.eigvalsh(short @ short.swapaxes(-1, -2))[..., -1]
    return np.arcsin(np.sqrt(np.clip(squares, 0, 1)))
