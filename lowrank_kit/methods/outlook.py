"""What times will be at every rank, of a layer or a network: bound, foretold and, where it was recorded, measured."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from lowrank_kit.checks import InputError, check_name
from lowrank_kit.maths.kernel_times import KernelTimes
from lowrank_kit.maths.verdicts import verdict
from lowrank_kit.records import (
    Ceilings,
    Conditions,
    Judgement,
    LatencyTable,
    Layer,
    LayerOutlook,
    LayerPlan,
    LayerShape,
    NetworkOutlook,
    RecordedTime,
    Rival,
)

__all__ = ["all_plans", "fitted_times", "judged", "network_outlook", "outlook"]

# Of a method and layer: finer than a slider's steps, and than the tiles of large layers.
MOST = {"svd": 256, "spatial": 256, "tucker": 64}


def network_outlook(
    layers: Sequence[Layer],
    table: LatencyTable,
    method: str = "svd",
    batch: int = 1,
    conditions: Conditions | None = None,
) -> NetworkOutlook:
    """All layers of a network at every rank on the device of a table, by a method or, where it does not suit, "svd".

    `conditions` are among the table's, by default its first. Times are foretold from the layers drawn to be fitted on
    alone, so that beside those recorded of the network's own layers one sees what a prediction is worth. Raises
    InputError for another method or conditions, or a batch below 1.
    """
    check_name(method, MOST, name="method")
    if batch < 1:
        raise InputError(f"`batch` must be at least 1; got {batch}.")
    if not table.conditions:
        raise InputError(f"{table.device} has too few times to predict from; `lowrank-kit record-latency` adds some.")
    conditions = conditions or table.conditions[0]
    if conditions not in table.conditions:
        known = "; ".join(map(str, table.conditions))
        raise InputError(f"`conditions` must be some under which {table.device} was recorded ({known}).")
    times, roof = fitted_times(table, conditions), table.roof(conditions)
    told = {"device": table.device, "batch": batch, **conditions._asdict()}
    return NetworkOutlook(
        layers[0].network,
        method,
        table.date,
        told,
        roof,
        tuple(
            outlook(layer, times, roof, method if method in layer.shape.methods else "svd", told, rows)
            for layer in layers
            for rows in [table.of(layer.network, layer.name, batch)]
        ),
        judged(table, conditions),
    )


@lru_cache(maxsize=64)
def fitted_times(table: LatencyTable, conditions: Conditions) -> KernelTimes:
    """The model of times of a device under some conditions, from the layers that were drawn to be fitted on."""
    return KernelTimes.of(table.under(conditions, "fitted"), tile=table.tile)


@lru_cache(maxsize=64)
def judged(table: LatencyTable, conditions: Conditions) -> Judgement:
    """The model of times on the layers held out, dense and in factors, beside the bare roofline."""
    times, roof, rows = fitted_times(table, conditions), table.roof(conditions), table.under(conditions, "held-out")
    return Judgement(
        measured_s=np.array([row.median_s for row in rows]),
        foretold_s=np.array([times.seconds([(part, row.batch) for part in row.forms]).sum() for row in rows]),
        bound_s=np.array([roof.bound_s(row.forms, row.batch) for row in rows]),
    )


def outlook(
    layer: Layer,
    times: KernelTimes,
    roof: Ceilings,
    method: str,
    conditions: Mapping[str, Any],
    rows: Sequence[RecordedTime] = (),
    plans: Sequence[LayerPlan] = (),
) -> LayerOutlook:
    """The outlook of one layer.

    Parameters
    ----------
    conditions : with the batch; only `rows` that were taken under them count as measured
    rows : times of this layer, under whatever conditions; those of other dtypes are its rivals
    plans : ranks to foretell, by default :func:`all_plans`; those that were timed are always among them
    """
    shape, batch = layer.shape, conditions["batch"]
    alike = [row for row in rows if _is_alike(row, conditions)]
    timed = {row.plan: row for row in alike if row.plan is not None and row.method == method}
    every = sorted({*(plans or all_plans(shape, method)), *timed}, key=lambda plan: plan.ranks)
    forms = [shape.factorised(plan) for plan in every]
    costs = _costs(times, forms, batch)
    (dense_costs,) = _costs(times, [(shape,)], batch)
    wastes = [_waste(form, times.tile) for form in forms]
    where = [index for index, plan in enumerate(every) if plan in timed]
    found = [timed[every[index]] for index in where]
    dense = next((row for row in alike if row.method == "dense"), None)
    medians, lows, highs = (np.array([getattr(row, name) for row in found]) for name in ("median_s", "p05_s", "p95_s"))
    return LayerOutlook(
        layer,
        method,
        conditions,
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
        rivals=tuple(_rivals(rows, alike, conditions)),
    )


def all_plans(shape: LayerShape, method: str) -> list[LayerPlan]:
    """Every rank below the full one, or evenly spaced ones where they are many; of a full rank of 1, that one.

    Of "tucker" pairs that are the same share of both modes.
    """
    full = shape.full_ranks(method)
    if len(full) == 1:
        step = -(-full[0] // MOST[method])
        return [LayerPlan(rank, method) for rank in range(step, max(full[0], 2), step)]
    steps = min(max(full), MOST[method])
    shares = np.arange(1, max(steps, 2)) / steps
    pairs = {tuple(max(round(share * size), 1) for size in full) for share in shares}
    return [LayerPlan(pair, method) for pair in sorted(pairs)]


def _is_alike(row: RecordedTime, conditions: Mapping[str, Any]) -> bool:
    """Whether a row holds under the conditions; a linear layer has but one layout."""
    assert row.shape is not None
    return all(
        getattr(row, name) == value or (name == "layout" and row.shape.is_linear) for name, value in conditions.items()
    )


def _rivals(
    rows: Sequence[RecordedTime], alike: Sequence[RecordedTime], conditions: Mapping[str, Any]
) -> Iterator[Rival]:
    """Dense layers of fewer channels under the same conditions; the same layer in other dtypes, each at its fastest."""
    for row in alike:
        if row.method == "narrow":
            yield Rival("narrow", row.fraction, row.median_s)
    dense = [row for row in rows if row.method == "dense" and row.threads == conditions["threads"]]
    for dtype in dict.fromkeys(row.dtype for row in dense if row.dtype != conditions["dtype"]):
        yield Rival(dtype, 1.0, min(row.median_s for row in dense if row.dtype == dtype))


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
