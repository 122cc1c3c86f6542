"""One convolution weight in five formats of low rank, each with as many numbers as a budget allows.

svd           outputs x (inputs k k), a matrix
spatial       (outputs k) x (inputs k): a column of the kernel, then a row (Jaderberg, Vedaldi, Zisserman 2014)
tucker        a core between bases of outputs and inputs, the kernel left whole
cp            a sum of products of one vector a mode (Carroll and Chang 1970; Harshman 1970)
tensor train  one core a mode, in the order outputs, kernel, inputs (Oseledets 2011)
"""

from collections.abc import Callable, Sequence
from math import prod

import numpy as np
from tensorly import cp_to_tensor, tt_to_tensor
from tensorly.cp_tensor import CPTensor
from tensorly.decomposition import parafac, tensor_train

from lowrank_kit.checks import InputError, check_finite, check_name
from lowrank_kit.maths.matrix import factors, singular_values
from lowrank_kit.maths.tensor import hosvd, refine, truncation_errors, unfold
from lowrank_kit.records import FormatFit, tucker_params

__all__ = ["FORMATS", "CP_SWEEPS", "in_format"]

# Sweeps of alternating least squares. CP has no closed form and no best approximation in general; more would gain
# little, in a trained layer less than a hundredth of the error.
CP_SWEEPS = 25
# Keeps the least squares solvable where products of vectors fall together.
CP_RIDGE = 1e-10
HALVINGS = 40
TRAIN_ORDER = (0, 2, 3, 1)

Fitted = tuple[tuple[int, ...], int, np.ndarray]


def in_format(tensor: np.ndarray, name: str, budget: int) -> FormatFit:
    """A weight (outputs, inputs, height, width) in one of the formats, with at most `budget` numbers.

    Ranks are the best that fit, of a tensor train those that cut each bond at the same error. SVD, spatial and Tucker
    are best or, for Tucker, refined from the truncated HOSVD; CP is alternating least squares from the HOSVD's bases,
    a few sweeps of it. Raises InputError for another number of modes, NaN or infinity, an unknown format, and a budget
    that is too small for rank 1.

    >>> W = np.ones((8, 6, 3, 3))
    >>> in_format(W, "svd", 100), in_format(W, "tensor train", 20)
    (FormatFit(svd: ranks 1, 62 numbers, error 0.0%), FormatFit(tensor train: ranks 1 x 1 x 1, 20 numbers, error 0.0%))
    """
    check_name(name, FORMATS, name="format")
    if tensor.ndim != 4 or tensor.size == 0:
        raise InputError(f"`tensor` must be a weight (outputs, inputs, height, width); got shape {tensor.shape}.")
    check_finite(tensor, name="tensor")
    least = LEAST[name](tensor.shape)
    if budget < least:
        raise InputError(f"`budget` must be at least {least}, what {name} takes at rank 1; got {budget}.")
    tensor = tensor.astype(np.float64)
    ranks, n_params, found = FORMATS[name](tensor, budget)
    size = float(np.linalg.norm(tensor)) or 1.0
    return FormatFit(name, ranks, n_params, float(np.linalg.norm(tensor - found)) / size, found)


def _svd(tensor: np.ndarray, budget: int) -> Fitted:
    rank, n_params, matrix = _matrix(unfold(tensor, 0), budget)
    return rank, n_params, matrix.reshape(tensor.shape)


def _spatial(tensor: np.ndarray, budget: int) -> Fitted:
    turned = tensor.transpose(0, 3, 1, 2)
    outputs, width, inputs, height = turned.shape
    rank, n_params, matrix = _matrix(turned.reshape(outputs * width, inputs * height), budget)
    return rank, n_params, matrix.reshape(turned.shape).transpose(0, 2, 3, 1)


def _matrix(matrix: np.ndarray, budget: int) -> Fitted:
    rank = min(budget // sum(matrix.shape), *matrix.shape)
    return (rank,), rank * sum(matrix.shape), factors(matrix).truncate(rank).dense()


def _tucker(tensor: np.ndarray, budget: int) -> Fitted:
    full, _ = hosvd(tensor, 2)
    pairs = np.indices(full.ranks) + 1
    sizes = pairs.prod(axis=0) * prod(tensor.shape[2:]) + np.tensordot(full.ranks, pairs, 1)
    errors = np.where(sizes <= budget, truncation_errors(full), np.inf)
    outputs, inputs = (int(i) + 1 for i in np.unravel_index(errors.argmin(), errors.shape))
    found = refine(tensor, full.truncate((outputs, inputs)))
    return found.ranks, found.n_params, found.dense()


def _cp(tensor: np.ndarray, budget: int) -> Fitted:
    # No tensor has a higher rank than this.
    rank = min(budget // sum(tensor.shape), tensor.size // max(tensor.shape))
    start = CPTensor((np.ones(rank), [_columns(U, rank) for U in hosvd(tensor)[0].factors]))
    scale = float(np.linalg.norm(tensor)) or 1.0
    found = parafac(tensor / scale, rank, init=start, n_iter_max=CP_SWEEPS, tol=None, l2_reg=CP_RIDGE)
    return (rank,), rank * sum(tensor.shape), cp_to_tensor(found) * scale


def _columns(basis: np.ndarray, rank: int) -> np.ndarray:
    """The leading columns of a basis, and random ones where it has no more."""
    missing = max(rank - basis.shape[1], 0)
    more = np.random.default_rng(0).standard_normal((len(basis), missing))
    return np.hstack([basis[:, :rank], more / np.sqrt(len(basis))])


def _train(tensor: np.ndarray, budget: int) -> Fitted:
    turned = tensor.transpose(TRAIN_ORDER)
    shape = turned.shape
    spectra = [singular_values(turned.reshape(prod(shape[:bond]), -1)) for bond in range(1, len(shape))]
    low, high = 0.0, 1.0
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        fits = _train_params(_bonds(spectra, middle), shape) <= budget
        low, high = (low, middle) if fits else (middle, high)
    ranks = _bonds(spectra, high)
    found = tt_to_tensor(tensor_train(turned, [1, *ranks, 1]))
    return ranks, _train_params(ranks, shape), found.transpose(np.argsort(TRAIN_ORDER))


def _bonds(spectra: Sequence[np.ndarray], error: float) -> tuple[int, ...]:
    """Of each bond the fewest directions, one at least, that cut off no more than this relative error."""
    found = []
    for values in spectra:
        beyond = np.sqrt(np.cumsum(values[::-1] ** 2)[::-1])
        found.append(max(int(np.count_nonzero(beyond > error * beyond[0])), 1))
    return tuple(found)


def _train_params(ranks: Sequence[int], shape: Sequence[int]) -> int:
    return sum(a * n * b for a, n, b in zip((1, *ranks), shape, (*ranks, 1), strict=True))


FORMATS: dict[str, Callable[[np.ndarray, int], Fitted]] = {
    "svd": _svd,
    "spatial": _spatial,
    "tucker": _tucker,
    "cp": _cp,
    "tensor train": _train,
}
# Numbers at rank 1, by the shape of the weight.
LEAST: dict[str, Callable[[Sequence[int]], int]] = {
    "svd": lambda shape: shape[0] + prod(shape[1:]),
    "spatial": lambda shape: shape[0] * shape[3] + shape[1] * shape[2],
    "tucker": lambda shape: tucker_params((1, 1), shape),
    "cp": sum,
    "tensor train": sum,
}
