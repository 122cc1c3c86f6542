"""A matrix as a memory of pairs: a key goes in, the value stored with it comes out."""

import numpy as np

from lowrank_kit.checks import InputError, check_matrix

__all__ = ["expected_recall_error", "linear_memory", "orthonormal_keys", "recall_error"]


def linear_memory(keys: np.ndarray, values: np.ndarray) -> np.ndarray:
    """W (m, d) = Y X^+, which recalls the values Y (m, p) of the keys X (d, p) with the least square error.

    With orthonormal keys it is the sum of the outer products, Y X^T (Kohonen 1972). Up to p = d pairs whose keys are
    independent are recalled without error, and with independent values W has rank min(p, d). Raises InputError unless
    there is a value for every key.

    >>> linear_memory(np.eye(3)[:, :2], np.array([[5.0, 7.0]]))
    array([[5., 7., 0.]])
    """
    _check_pairs(keys, values)
    return values @ np.linalg.pinv(keys)


def recall_error(W: np.ndarray, keys: np.ndarray, values: np.ndarray) -> float:
    """||W X - Y|| / ||Y|| (Frobenius): 0 where every value comes back, 1 where W = 0."""
    _check_pairs(keys, values)
    return float(np.linalg.norm(W @ keys - values) / np.linalg.norm(values))


def expected_recall_error(n_inputs: int, n_pairs: int) -> float:
    """The root mean square of `recall_error` for d inputs and p pairs without any structure: sqrt(1 - d / p), or 0.

    W X projects every row of Y on the row space of X, d of p dimensions; of a row that does not know X, the share
    d / p of the squares lies there.

    >>> expected_recall_error(48, 64)
    0.5
    """
    return float(np.sqrt(max(0.0, 1 - n_inputs / n_pairs)))


def orthonormal_keys(n_inputs: int, n_pairs: int, *, seed: int = 0) -> np.ndarray:
    """Random keys X (d, p) with X^T X = 1. Raises InputError for more keys than inputs: there are no such."""
    if not 0 < n_pairs <= n_inputs:
        raise InputError(f"`n_pairs` must be from 1 to the number of inputs, {n_inputs}; got {n_pairs}.")
    return np.linalg.qr(np.random.default_rng(seed).standard_normal((n_inputs, n_pairs)))[0]


def _check_pairs(keys: np.ndarray, values: np.ndarray) -> None:
    check_matrix(keys, name="keys")
    check_matrix(values, name="values")
    if keys.shape[1] != values.shape[1]:
        raise InputError(
            f"`values` must have one column for every column of `keys`, {keys.shape[1]}; got {values.shape[1]}."
        )
