"""How long a kernel takes on one device, learnt from times of others.

First a sum of costs that no time can be below zero of: a launch, multiply-adds with channels rounded up to whole
tiles, the weight, what is read, what is written, what a convolution lays out anew, and fresh memory. Each kind of layer
has its own prices, found by non-negative least squares on relative errors. Then a factor that depends smoothly on the
logarithms of the shape, found by a Gaussian process on what the sum leaves (Rasmussen and Williams 2006, equation
2.25). A block of two or three kernels takes the sum of their times.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.linalg import cho_factor, cho_solve
from scipy.optimize import nnls
from scipy.spatial.distance import cdist

from lowrank_kit.checks import InputError
from lowrank_kit.records import LayerShape, RecordedTime

__all__ = ["Kernel", "KernelTimes"]

# A layer and how many examples it is run on at once.
Kernel = tuple[LayerShape, int]

KINDS = 3  # linear layers, convolutions of one point, other convolutions
# What a kernel costs; the last is paid alike by all kinds.
COSTS = ("launch", "compute", "weight", "read", "written", "laid out", "fresh")
# Outputs of so many bytes are given fresh pages each time (glibc's largest threshold, 32 MB).
FRESH_BYTES = 2**25
# Chosen by leaving out a shape at a time of those that are fitted on.
LENGTH, VARIANCE, NOISE = 2.0, 0.1, 0.02
SWEEPS = 15
ITEMSIZES = {"float32": 4, "bfloat16": 2, "float16": 2, "float64": 8}
# Conditions that may differ between times that are fitted together; a linear layer has but one layout.
OPEN = ("batch", "layout")


@dataclass(frozen=True, eq=False)
class KernelTimes:
    """Prices (3 kinds x 6 costs + 1) in seconds a unit, and the points (n, d) and weights (n,) of the smooth factor."""

    prices: np.ndarray
    points: np.ndarray
    weights: np.ndarray
    tile: int
    itemsize: int

    @classmethod
    def fit(cls, kernels: Sequence[Kernel], seconds: np.ndarray, *, tile: int = 16, itemsize: int = 4) -> "KernelTimes":
        """From kernels and their times (n,).

        `tile` is what channels are rounded up to, `itemsize` the bytes of a number. Raises InputError where there are
        fewer than ten, or a time is not above zero.
        """
        good = int((np.isfinite(seconds) & (seconds > 0)).sum())
        if len(kernels) < 10 or good < len(kernels):
            raise InputError(
                f"times of at least ten kernels are needed, all above zero; got {len(kernels)}, of which {good} are."
            )
        amounts = _amounts(kernels, tile, itemsize)
        prices = _prices(amounts / seconds[:, None])
        points = _points(kernels)
        covariance = _covariance(points, points) + NOISE * np.eye(len(points))
        weights = cho_solve(cho_factor(covariance), np.log(seconds / (amounts @ prices)))
        return cls(prices, points, weights, tile, itemsize)

    @classmethod
    def of(cls, rows: Sequence[RecordedTime], *, tile: int = 16) -> "KernelTimes":
        """From the dense layers of a table. Raises InputError where they were timed under unlike conditions."""
        dense = [row for row in rows if row.shape is not None and row.method == "dense"]
        unlike = {tuple(value for name, value in row.conditions.items() if name not in OPEN) for row in dense}
        if len(unlike) > 1:
            raise InputError(f"times must be taken under the same conditions to be fitted; got {len(unlike)} kinds.")
        kernels = [(row.forms[0], row.batch) for row in dense]
        itemsize = ITEMSIZES.get(dense[0].dtype, 4) if dense else 4
        return cls.fit(kernels, np.array([row.median_s for row in dense]), tile=tile, itemsize=itemsize)

    def costs(self, kernels: Sequence[Kernel]) -> np.ndarray:
        """Seconds (n, 7) of each kernel by what they are spent on, in the order of COSTS; their sum is its time.

        Raises InputError for a linear layer, a convolution of one point or another where no time of its kind was known.
        """
        spent = _amounts(kernels, self.tile, self.itemsize) * self.prices
        if not spent.any(axis=1).all():
            shape, _ = kernels[int(np.argmin(spent.any(axis=1)))]
            raise InputError(
                f"a kernel's time is told from times of its kind, and there were none; got the layer {shape}."
            )
        factor = np.exp(_covariance(_points(kernels), self.points) @ self.weights)
        by_kind, shared = spent[:, :-1].reshape(len(spent), KINDS, -1).sum(axis=1), spent[:, -1:]
        return np.hstack([by_kind, shared]) * factor[:, None]

    def seconds(self, kernels: Sequence[Kernel]) -> np.ndarray:
        """The time (n,) of each kernel."""
        return self.costs(kernels).sum(axis=1)


def _amounts(kernels: Sequence[Kernel], tile: int, itemsize: int) -> np.ndarray:
    """How much of everything that has a price each kernel takes (n, 3 x 6 + 1)."""
    found = np.zeros((len(kernels), KINDS, len(COSTS) - 1))
    fresh = np.zeros((len(kernels), 1))
    for row, (shape, batch) in enumerate(kernels):
        area, before, after = math.prod(shape.kernel), batch * math.prod(shape.size), batch * math.prod(shape.out_size)
        rounded = -(-shape.outputs // tile) * tile
        written, laid_out = after * shape.outputs, after * shape.inputs * area if area > 1 else 0
        macs = shape.macs * batch * rounded / shape.outputs
        found[row, _kind(shape)] = 1, macs, shape.weights, before * shape.inputs, written, laid_out
        fresh[row] = written if written * itemsize >= FRESH_BYTES else 0
    return np.hstack([found.reshape(len(kernels), -1), fresh])


def _prices(relative: np.ndarray) -> np.ndarray:
    """Non-negative prices whose sums come near 1 in every row, by least absolute deviations.

    Each sweep weighs rows by how far off they were (Schlossmacher 1973), so that a few odd kernels bend nothing.
    """
    scale = np.maximum(np.abs(relative).max(axis=0), np.finfo(float).tiny)
    weight = np.ones(len(relative))
    for _ in range(SWEEPS):
        prices, _ = nnls(relative / scale * weight[:, None], weight, maxiter=10_000)
        weight = np.maximum(np.abs(relative / scale @ prices - 1), 0.05) ** -0.5
    return np.asarray(prices / scale)


def _points(kernels: Sequence[Kernel]) -> np.ndarray:
    """Coordinates (n, 6) in which a factor of two is one step; a stride counts twice, another kind is far away."""
    rows = []
    for shape, batch in kernels:
        area, after = math.prod(shape.kernel), math.prod(shape.out_size)
        sides = [shape.outputs, shape.inputs // shape.groups, batch * after, area]
        stride = math.log2(math.prod(shape.size) / after)
        rows.append([*map(math.log2, sides), 2 * stride, 4.0 * shape.is_linear])
    return np.array(rows)


def _covariance(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    squares = cdist(one, other, "sqeuclidean")
    return np.asarray(VARIANCE * np.exp(-squares / (2 * LENGTH**2)))


def _kind(shape: LayerShape) -> int:
    return 0 if shape.is_linear else 1 if math.prod(shape.kernel) == 1 else 2
