"""Do data have the few dimensions that low rank lives on? Looked at before any network is."""

from typing import Any

import numpy as np

from lowrank_kit.checks import InputError, check_finite
from lowrank_kit.maths.dimension import maximum_likelihood_with_interval, two_nn, two_nn_with_interval
from lowrank_kit.maths.principal import principal_variances
from lowrank_kit.maths.random_matrix import hard_threshold
from lowrank_kit.records import Data, Diagnosis, Estimate, Examples, Target

__all__ = ["diagnose"]

NEIGHBOURS = 10


def diagnose(
    x: Any,
    y: Any = None,
    *,
    name: str | None = None,
    seed: int = 0,
    n: int = 2000,
    width: int | None = None,
) -> Diagnosis:
    """How many dimensions data have, flat and curved, and whether their target leaves the law of parsimony room.

    Parameters
    ----------
    x : inputs (points, ...), each flattened; or `Examples` or `Data`, whose training part it is (else validation)
    y : (points,) classes, as whole numbers, words or booleans, or a measured quantity as floats; (points, q) outputs
    name : what the data are called; by default the name of `Data`
    n : at most so many points are looked at, drawn by `seed`
    width : of the layers in question; by default as wide as the inputs

    Raises InputError for fewer than eleven different points, numbers that are not finite, a single class, and
    whatever does not fit together.
    """
    if isinstance(x, Data):
        name, x = name or x.name, x.validation if x.train is None else x.train
    if isinstance(x, Examples):
        x, y = x.x, x.y if y is None else y
    points, targets = _inputs(x), None if y is None else np.asarray(y)
    if isinstance(n, bool) or not isinstance(n, int) or n <= NEIGHBOURS:
        raise InputError(f"`n` must be a whole number of points above {NEIGHBOURS}; got {n!r}. 2000 is usual.")
    rng = np.random.default_rng(seed)
    index = np.sort(rng.choice(len(points), min(n, len(points)), replace=False))
    used = np.asarray(points[index], dtype=np.float64).reshape(len(index), -1)
    wide = used.shape[1] if width is None else _width(width)
    target = None if targets is None else _target(targets, len(points), index, used.shape[1])
    return _diagnosis(used, rng, name=name or "data", n_points=len(points), width=wide, target=target, seed=seed)


def _diagnosis(used: np.ndarray, rng: np.random.Generator, **facts: Any) -> Diagnosis:
    spread = used.var(axis=0)
    changing = used[:, spread > 0] if spread.any() else used
    variances = principal_variances(changing)
    if not variances.any():
        raise InputError(f"`x` must change from point to point; all {len(used)} are the same.")
    n, d = changing.shape
    # The mean is taken out, which leaves as much noise as n - 1 points have.
    threshold = hard_threshold(np.sqrt((n - 1) * variances), (n - 1, d))
    flat = rng.standard_normal((n, len(variances))) * np.sqrt(variances)
    likely = maximum_likelihood_with_interval(changing, NEIGHBOURS)  # first, for it wants most points
    return Diagnosis(
        n_used=n,
        n_dims=used.shape[1],
        variances=variances,
        noise=threshold**2 / (n - 1),
        two_nn=Estimate(*two_nn_with_interval(changing)),
        maximum_likelihood=Estimate(*likely),
        neighbours=NEIGHBOURS,
        flat=two_nn(flat),
        largest_share=float(spread.max() / spread.sum()),
        **facts,
    )


def _inputs(x: Any) -> np.ndarray:
    points = np.asarray(x)
    if points.ndim < 2 or 0 in points.shape:
        raise InputError(
            f"`x` must hold one row of numbers a point, (points, ...); got shape {points.shape}. "
            "A single number a point has one dimension at most."
        )
    if points.dtype.kind not in "biuf":
        raise InputError(f"`x` must hold real numbers; got {points.dtype}. Words become numbers by one-hot columns.")
    check_finite(points, name="x")
    return points


def _target(y: np.ndarray, n_points: int, index: np.ndarray, n_dims: int) -> Target:
    if len(np.atleast_1d(y)) != n_points or y.ndim not in (1, 2):
        raise InputError(f"`y` must hold one target a point, (points,) or (points, q); got {y.shape} for {n_points}.")
    if y.dtype.kind == "f":
        check_finite(y, name="y")
    if y.ndim == 1 and y.dtype.kind != "f":
        n_classes = len(np.unique(y.astype(str) if y.dtype.kind == "O" else y))
        if n_classes < 2:
            raise InputError("`y` must name at least two classes; got one. Leave it out to look at the inputs alone.")
        return Target("classes", n_classes, min(n_classes, n_dims))
    if y.dtype.kind not in "biuf":
        raise InputError(f"`y` must hold numbers where it has several columns; got {y.dtype}.")
    outputs = np.asarray(y[index], dtype=np.float64).reshape(len(index), -1)
    if not outputs.any():
        raise InputError("`y` must not be zero throughout: there is nothing to learn. Leave it out to look at x alone.")
    return Target("outputs", outputs.shape[1], min(int(np.linalg.matrix_rank(outputs)), n_dims))


def _width(width: int) -> int:
    if isinstance(width, bool) or not isinstance(width, int) or width < 1:
        raise InputError(f"`width` must be a whole number of units, at least 1; got {width!r}.")
    return width
