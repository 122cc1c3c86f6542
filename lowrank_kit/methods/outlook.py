"""What a layer's time will be at every rank: bound, foretold and, where it was recorded, measured."""

from collections.abc import Iterable, Sequence

import numpy as np

from lowrank_kit.maths.kernel_times import KernelTimes
from lowrank_kit.maths.verdicts import verdict
from lowrank_kit.records import Ceilings, LayerOutlook, LayerPlan, LayerShape, RecordedTime

__all__ = ["all_plans", "outlook"]

# Of a mode: finer than a slider's steps on most layers.
PAIRS = 64


def outlook(
    rows: Sequence[RecordedTime], times: KernelTimes, roof: Ceilings, method: str, plans: Sequence[LayerPlan] = ()
) -> LayerOutlook:
    """The outlook of the layer that the rows of a table are about, all under one set of conditions.

    `plans` are ranks to foretell, by default :func:`all_plans`; those that were timed are always among them.
    """
    first = rows[0]
    shape, batch = first.shape, first.batch
    assert shape is not None
    timed = {row.plan: row for row in rows if row.plan is not None and row.method == method}
    every = sorted({*(plans or all_plans(shape, method)), *timed}, key=lambda plan: plan.ranks)
    forms = [shape.factorised(plan) for plan in every]
    costs = _costs(times, forms, batch)
    (dense_costs,) = _costs(times, [(shape,)], batch)
    wastes = [_waste(form, times.tile) for form in forms]
    where = [index for index, plan in enumerate(every) if plan in timed]
    found = [timed[every[index]] for index in where]
    dense = next((row for row in rows if row.method == "dense"), None)
    medians, lows, highs = (np.array([getattr(row, name) for row in found]) for name in ("median_s", "p05_s", "p95_s"))
    return LayerOutlook(
        first.network,
        first.layer,
        shape,
        method,
        first.conditions,
        ranks=np.array([plan.ranks for plan in every]),
        macs=np.array([batch * sum(part.macs for part in form) for form in forms], dtype=float),
        moved=np.array([sum(part.traffic(batch) for part in form) for form in forms], dtype=float),
        bound_s=np.array([roof.bound_s(form, batch) for form in forms]),
        costs=costs,
        verdicts=tuple(verdict(dense_costs, cost, waste) for cost, waste in zip(costs, wastes, strict=True)),
        dense_macs=float(batch * shape.macs),
        dense_moved=float(shape.traffic(batch)),
        dense_bound_s=roof.bound_s([shape], batch),
        dense_costs=dense_costs,
        timed=np.array(where, dtype=int),
        medians=medians,
        lows=lows,
        highs=highs,
        dense_timed=None if dense is None else (dense.median_s, dense.p05_s, dense.p95_s),
    )


def all_plans(shape: LayerShape, method: str) -> list[LayerPlan]:
    """Every rank below the full one; of "tucker" pairs that are the same share of both modes."""
    full = shape.full_ranks(method)
    if len(full) == 1:
        return [LayerPlan(rank, method) for rank in range(1, full[0])]
    shares = np.arange(1, min(max(full), PAIRS)) / min(max(full), PAIRS)
    pairs = {tuple(max(round(share * size), 1) for size in full) for share in shares}
    return [LayerPlan(pair, method) for pair in sorted(pairs)]


def _costs(times: KernelTimes, forms: Iterable[tuple[LayerShape, ...]], batch: int) -> np.ndarray:
    """Seconds (k, 7) of each block: the sum over its kernels, all foretold at once."""
    listed = list(forms)
    kernels = [(part, batch) for form in listed for part in form]
    starts = np.cumsum([0, *(len(form) for form in listed[:-1])])
    return np.add.reduceat(times.costs(kernels), starts, axis=0)


def _waste(form: Iterable[LayerShape], tile: int) -> float:
    """The fraction of a block's arithmetic that tiles spend on channels there are not."""
    parts = list(form)
    done = sum(part.macs * (-(-part.outputs // tile) * tile) / part.outputs for part in parts)
    return 1 - sum(part.macs for part in parts) / done
