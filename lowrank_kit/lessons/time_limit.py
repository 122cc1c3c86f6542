"""Up to which rank is a layer really faster? It is a lower one than that at which multiply-adds break even."""

import numpy as np

from lowrank_kit.checks import InputError
from lowrank_kit.i18n import default_language, strings
from lowrank_kit.lessons.verdict import Verdict
from lowrank_kit.records import LayerOutlook

__all__ = ["check_time_limit"]


def check_time_limit(answer: int, outlook: LayerOutlook, *, language: str | None = None) -> Verdict:
    """Tell the largest timed rank at which the layer was faster than dense from the typical slips, and say why.

    An untimed rank between it and the next timed one is right, too. Raises InputError unless the answer is a whole
    number, or where no rank of the layer was timed.
    """
    if isinstance(answer, bool) or not isinstance(answer, int):
        raise InputError(f"`answer` must be a whole number; got {answer!r}.")
    speedups, ranks = outlook.measured_speedup, outlook.ranks[outlook.timed, 0]
    if not len(speedups):
        raise InputError(f"`outlook` must be of a layer that was timed; {outlook.layer.name} was not.")
    faster = ranks[speedups > 1]
    last = int(faster.max()) if len(faster) else 0
    after = int(np.min(ranks[ranks > last], initial=outlook.layer.shape.full_ranks(outlook.method)[0]))
    even = int(outlook.ranks[outlook.macs < outlook.dense_macs, 0].max(initial=0))
    slip = "right" if last <= answer < after else "macs" if abs(answer - even) <= 2 else _side(answer, last)
    if slip == "macs":  # the last that was timed with fewer multiply-adds
        near = max(int(np.searchsorted(ranks, even, side="right")) - 1, 0)
    else:
        near = int(np.abs(ranks - answer).argmin())
    values = {
        "answer": answer, "last": last, "after": after, "even": even, "timed": int(ranks[near]),
        "speed": f"{speedups[near]:.2f}", "macs": f"{outlook.saved_macs[outlook.timed[near]]:.2f}",
    }  # fmt: skip
    text = strings("lessons", language or default_language())[f"time_{slip}"]
    return Verdict(slip == "right", text.format(**values))


def _side(answer: int, last: int) -> str:
    return "low" if answer < last else "high"
