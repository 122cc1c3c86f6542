"""Writing a study's results: a row at a time, each once, none replaced."""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from lowrank_kit.records import Measurement, Timing
from lowrank_kit.studies.database import writing
from lowrank_kit.studies.packing import packed, packed_timing
from lowrank_kit.studies.results import KEY, Results, Row
from lowrank_kit.studies.trial import Baseline, Conditions, Outcome

__all__ = ["add_baseline", "add_outcome", "add_timing"]


def add_baseline(path: Path, baseline: Baseline) -> None:
    """A dense network, with the labels that all its rows are judged by."""
    _insert(
        path,
        "baselines",
        **asdict(baseline.identity),
        **_measured(baseline.measurement),
        validation_accuracy=baseline.validation_accuracy,
        labels=packed(baseline.measurement.labels),
        **asdict(baseline.conditions),
    )


def add_outcome(path: Path, outcome: Outcome) -> None:
    """A cell's row; its baseline must be there."""
    cell, found = asdict(outcome.cell), outcome.measurement
    _insert(
        path,
        "cells",
        **cell,
        status="impossible" if found is None else "measured",
        reason=outcome.reason,
        weights=outcome.identity.weights,
        **({} if found is None else {**_measured(found), **_compared(found, Results(path).dense(cell))}),
        validation_accuracy=outcome.validation_accuracy,
        **{f"layers_{verdict}": count for verdict, count in outcome.layers.items()},
        **asdict(outcome.conditions),
        seconds=outcome.seconds,
    )


def add_timing(path: Path, row: Mapping[str, Any], dense: Timing, small: Timing, conditions: Conditions) -> None:
    """Times of a measured row, taken in turn with the dense network's."""
    (raw_s, how), (dense_raw_s, dense_how) = packed_timing(small), packed_timing(dense)
    _insert(
        path,
        "timings",
        **{name: row[name] for name in KEY},
        batch=small.batch,
        median_s=small.median_s,
        p95_s=small.p95_s,
        dense_median_s=dense.median_s,
        dense_p95_s=dense.p95_s,
        speedup=dense.median_s / small.median_s,
        busy=small.busy,
        conditions=how,
        dense_conditions=dense_how,
        raw_s=raw_s,
        dense_raw_s=dense_raw_s,
        **asdict(conditions),
    )


def _measured(found: Measurement) -> Row:
    return {
        "n_params": found.n_params,
        "size_bytes": found.size_bytes,
        "macs": found.macs,
        "accuracy": found.accuracy,
        "n_examples": found.n_examples,
        "predictions": packed(found.predictions),
    }


def _compared(found: Measurement, dense: Measurement) -> Row:
    (low, high), change = found.interval, found.change(dense)
    return {
        "plan": found.plan.to_json() if found.plan else None,
        "accuracy_low": low,
        "accuracy_high": high,
        "change": change.value,
        "change_low": change.low,
        "change_high": change.high,
    }


def _insert(path: Path, table: str, **values: Any) -> None:
    """Where another run of the same study was faster, its row stays."""
    slots = ", ".join(f":{name}" for name in values)
    with writing(path) as connection:
        connection.execute(f"INSERT INTO {table} ({', '.join(values)}) VALUES ({slots}) ON CONFLICT DO NOTHING", values)
