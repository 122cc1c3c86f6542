"""How much of a layer does a network need to recall what it has learned?"""

import numpy as np

from lowrank_kit.checks import InputError
from lowrank_kit.i18n import default_language, strings
from lowrank_kit.lessons.verdict import Verdict
from lowrank_kit.records import RankCurve, Spectrum

__all__ = ["check_capacity"]

# Ten times the tolerance: one point read as ten.
COARSE = 10
# Fractions of examples are compared up to rounding.
ROUNDING = 1e-9


def check_capacity(
    answer: int,
    seen: RankCurve,
    unseen: RankCurve,
    spectrum: Spectrum,
    *,
    tolerance: float = 0.01,
    language: str | None = None,
) -> Verdict:
    """Tell the functional capacity of a layer from what it is taken for, and say why.

    Parameters
    ----------
    seen, unseen : the layer's curves on training images and on others, at every rank
    spectrum : of the layer's weight
    tolerance : the fraction of the training images that may be lost

    Raises InputError unless the answer is a whole number and the curves hold every rank.
    """
    if isinstance(answer, bool) or not isinstance(answer, int):
        raise InputError(f"`answer` must be a whole number; got {answer!r}.")
    every_rank = np.arange(1, min(seen.shape) + 1)
    if not all(np.array_equal(curve.ranks, every_rank) for curve in (seen, unseen)):
        raise InputError(f"the curves must hold every rank from 1 to {min(seen.shape)}; some are missing.")
    right = seen.capacity(tolerance)
    slip = _slip(answer, right, seen, unseen, spectrum, tolerance)
    values = {
        "answer": answer, "full": min(seen.shape), "points": f"{100 * tolerance:g}", "smaller": answer - 1,
        "dense": f"{seen.dense_accuracy:.1%}", "needed": f"{seen.dense_accuracy - tolerance:.1%}",
        "recall": f"{seen.at(answer):.1%}" if slip != "outside" else "",
        "below": f"{seen.at(answer - 1):.1%}" if slip != "outside" and answer > 1 else "",
        "unseen": f"{unseen.at(answer):.1%}" if slip != "outside" else "",
    }  # fmt: skip
    text = strings("lessons", language or default_language())[f"capacity_{slip}"]
    return Verdict(slip in ("right", "one"), text.format(**values))


def _slip(answer: int, right: int, seen: RankCurve, unseen: RankCurve, spectrum: Spectrum, tolerance: float) -> str:
    """Which way of going wrong leads to this answer; the most telling one first."""
    if not 1 <= answer <= min(seen.shape):
        return "outside"
    if answer == right:
        return "right" if right > 1 else "one"
    if answer == spectrum.rank_for_energy(0.9):
        return "energy"
    if answer == spectrum.break_even_rank:
        return "break_even"
    if answer == seen.capacity(0.0):
        return "nothing"
    if answer == unseen.capacity(tolerance):
        return "unseen"
    if answer == seen.capacity(COARSE * tolerance):
        return "coarse"
    return "high" if seen.change(answer).value >= -tolerance - ROUNDING else "low"
