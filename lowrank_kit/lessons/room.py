"""How wide must a network be for half of its directions to rest?"""

from lowrank_kit.checks import InputError
from lowrank_kit.i18n import default_language, strings
from lowrank_kit.lessons.verdict import Verdict

__all__ = ["check_room"]


def check_room(answer: int, rank: int, *, language: str | None = None) -> Verdict:
    """Tell the smallest width d with d - 2r >= d / 2, which is 4r, from the typical slips, and say why.

    Raises InputError unless the answer is a whole number.

    >>> check_room(20, rank=5, language="en")
    ✓ 20 it is: 2 x 5 = 10 directions move, and the 10 others are half of 20. At width 19 only 9 rest.
    >>> check_room(10, rank=5, language="en")
    ✗ At width 10 the 2 x 5 = 10 directions that move are all there are: nothing rests.
    """
    if isinstance(answer, bool) or not isinstance(answer, int):
        raise InputError(f"`answer` must be a whole number; got {answer!r}.")
    right = 4 * rank
    values = {
        "answer": answer, "rank": rank, "moving": 2 * rank, "resting": answer - 2 * rank, "less": answer - 1,
        "fewer": answer - 1 - 2 * rank, "half": f"{answer / 2:g}",
    }  # fmt: skip
    slip = "right" if answer == right else "none" if answer <= 2 * rank else "low" if answer < right else "high"
    return Verdict(answer == right, strings("lessons", language or default_language())[f"room_{slip}"].format(**values))
