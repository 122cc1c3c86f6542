"""At which rank does a layer in two factors stop being smaller than the layer?"""

from lowrank_kit.checks import InputError
from lowrank_kit.i18n import default_language, strings
from lowrank_kit.lessons.verdict import Verdict
from lowrank_kit.records import Spectrum, factor_params

__all__ = ["check_break_even"]


def check_break_even(answer: int, spectrum: Spectrum, *, language: str | None = None) -> Verdict:
    """Tell the largest rank that saves numbers, r (m + n) < m n, from the typical slips, and say why.

    Raises InputError unless the answer is a whole number.

    >>> import numpy as np
    >>> square = Spectrum(np.ones(64), (64, 64), "square")
    >>> check_break_even(31, square, language="en")
    ✓ 31 it is: two factors hold 31 x (64 + 64) = 3,968 numbers, the matrix 4,096. Rank 32 would hold 4,096.
    >>> check_break_even(32, square, language="en")
    ✗ At rank 32 two factors hold 4,096 numbers, exactly as many as the matrix: nothing is saved yet.
    """
    if isinstance(answer, bool) or not isinstance(answer, int):
        raise InputError(f"`answer` must be a whole number; got {answer!r}.")
    m, n = spectrum.shape
    right = spectrum.break_even_rank
    values = {
        "m": m, "n": n, "answer": answer, "next": answer + 1, "full": min(m, n), "exact": f"{m * n / (m + n):.1f}",
        "matrix": f"{m * n:,}", "factors": f"{factor_params(answer, (m, n)):,}",
        "more": f"{factor_params(answer + 1, (m, n)):,}",
    }  # fmt: skip
    slip = _slip(answer, right, (m, n))
    return Verdict(answer == right, strings("lessons", language or default_language())[f"even_{slip}"].format(**values))


def _slip(answer: int, right: int, shape: tuple[int, int]) -> str:
    """Which way of going wrong leads to this answer; the most telling one first."""
    m, n = shape
    if answer == right:
        return "right" if right else "never"
    if not 0 < answer <= min(shape):
        return "outside"
    if answer * (m + n) == m * n:
        return "equal"
    if answer == min(shape):
        return "full"
    if answer == right + 1:
        return "rounded"
    if answer in (min(shape) // 2, -(-min(shape) // 2)):
        return "half"
    return "high" if answer > right else "low"
