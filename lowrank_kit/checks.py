"""What was asked wrongly: one sentence with the rule, the limit, the value and what would work.

Opens without NumPy, so that the doctor can speak where NumPy is missing.
"""

import math
from collections.abc import Collection, Iterable
from difflib import get_close_matches
from numbers import Integral, Real
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

__all__ = [
    "InputError",
    "check_finite",
    "check_fraction",
    "check_labels",
    "check_matrix",
    "check_name",
    "check_positive",
    "check_rank",
]


class InputError(ValueError):
    """Something the caller can mend. Boards show this sentence; every other exception is a bug."""


def check_rank(rank: int, shape: tuple[int, int], *, name: str = "rank") -> None:
    """Raise unless `rank` is a whole number from 1 to min(m, n)."""
    limit = min(shape)
    if isinstance(rank, bool) or not isinstance(rank, Integral) or not 1 <= rank <= limit:
        m, n = shape
        raise InputError(
            f"`{name}` must be a whole number between 1 and min(m, n) = {limit} for a {m} x {n} matrix; got {rank!r}."
        )


def check_fraction(value: float, *, name: str) -> None:
    """Raise unless 0 < value <= 1 (fractions, never percent)."""
    if isinstance(value, bool) or not isinstance(value, Real) or not 0 < float(value) <= 1:
        hint = " Write 0.5 for 50 %." if isinstance(value, (int, float)) and value > 1 else ""
        raise InputError(f"`{name}` must be a fraction above 0 and at most 1; got {value!r}.{hint}")


def check_positive(value: float, most: float, *, name: str) -> None:
    """Raise unless `value` is a number above 0 and at most `most`."""
    if isinstance(value, bool) or not isinstance(value, Real) or not 0 < float(value) <= most:
        raise InputError(f"`{name}` must be a number above 0 and at most {most:g}; got {value!r}.")


def check_name(value: str, known: Iterable[str], *, name: str) -> None:
    """Raise unless `value` is one of the known names; the sentence lists the names that would work."""
    names: Collection[str] = list(known)
    if value not in names:
        close = get_close_matches(str(value), names, n=1)
        hint = f" Did you mean {close[0]!r}?" if close else ""
        choice = f"one of {', '.join(map(repr, names))}" if names else "one there is, but there is none"
        raise InputError(f"`{name}` must be {choice}; got {value!r}.{hint}")


def check_matrix(values: "np.ndarray", *, name: str) -> None:
    """Raise unless `values` is a non-empty, finite, two-dimensional array."""
    if values.ndim != 2 or 0 in values.shape:
        raise InputError(f"`{name}` must be a non-empty matrix with two dimensions; got shape {values.shape}.")
    check_finite(values, name=name)


def check_finite(values: "np.ndarray", *, name: str) -> None:
    """Raise if any value is NaN or infinite, saying how many are."""
    import numpy as np

    # A sum is finite only if all terms are (or they overflow, which the full look then settles).
    with np.errstate(all="ignore"):
        if math.isfinite(float(np.sum(values))):
            return
    bad = int(np.size(values) - np.count_nonzero(np.isfinite(values)))
    if bad:
        raise InputError(f"`{name}` must hold finite numbers only; {bad} of its {np.size(values)} are NaN or infinite.")


def check_labels(labels: "np.ndarray", n_classes: int) -> None:
    """Raise unless labels are whole numbers from 0 to n_classes - 1, at least one of them."""
    if labels.size == 0:
        raise InputError("`data` must hold at least one example; got none.")
    if labels.dtype.kind not in "iu" or labels.ndim != 1:
        raise InputError(
            f"labels must be whole numbers in one dimension; got {labels.dtype} with shape {labels.shape}."
        )
    low, high = int(labels.min()), int(labels.max())
    if low < 0 or high >= n_classes:
        raise InputError(
            f"labels must lie between 0 and {n_classes - 1}, the classes of the model's output; "
            f"got labels from {low} to {high}."
        )
