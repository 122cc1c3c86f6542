"""A guess beside the truth: predicting first is what makes watching worth while."""

import math
from numbers import Real

from lowrank_kit.checks import InputError
from lowrank_kit.i18n import default_language, strings
from lowrank_kit.lessons.verdict import Verdict

__all__ = ["compare_guess"]

# A guess counts as right within this fraction of the truth, or within this many points where it is a share.
NEAR = 0.1
NEAR_SHARE = 0.02


def compare_guess(guess: float, truth: float, *, unit: str = "", language: str | None = None) -> Verdict:
    """How far a guess was off, in words.

    Parameters
    ----------
    unit : what is counted, such as "ranks"; "%" for shares, given as fractions and shown as percent

    Raises InputError unless the guess is a number.

    >>> compare_guess(128, 9, unit="directions", language="en")
    ✗ Your guess: 128 directions. The answer: 9. That is 119 too many.
    >>> compare_guess(0.98, 0.99, unit="%", language="en")
    ✓ Your guess: 98.0%. The answer: 99.0%. That is close: 1.0 points too low.
    """
    if isinstance(guess, bool) or not isinstance(guess, Real) or not math.isfinite(guess):
        raise InputError(f"`guess` must be a number; got {guess!r}.")
    if unit == "%" and not 0 <= guess <= 1:
        hint = f" Write {guess / 100:g} for {guess:g}%." if 1 < guess <= 100 else ""
        raise InputError(f"`guess` must be a fraction from 0 to 1; got {guess!r}.{hint}")
    texts = strings("lessons", language or default_language())
    off = guess - truth
    near = abs(off) <= (NEAR_SHARE if unit == "%" else NEAR * abs(truth))
    values = _written(guess, truth, unit, texts)
    if values["guess"] == values["truth"]:
        return Verdict(True, texts["guess_exact"].format(**values))
    kind = "points" if unit == "%" else "count"
    distance = texts[f"{kind}_{'high' if off > 0 else 'low'}"].format(**values)
    return Verdict(near, texts["guess_near" if near else "guess_far"].format(distance=distance, **values))


def _written(guess: float, truth: float, unit: str, texts: dict[str, str]) -> dict[str, str]:
    if unit == "%":
        return {"guess": f"{guess:.1%}", "truth": f"{truth:.1%}",
                "off": f"{100 * abs(guess - truth):.1f}", "unit": ""}  # fmt: skip
    return {"guess": f"{guess:,.6g}", "truth": f"{truth:,.6g}", "off": f"{abs(guess - truth):,.6g}",
            "unit": texts["unit"].format(unit=unit) if unit else ""}  # fmt: skip
