"""What travels to the browser: tables as binary arrays, findings as plain words."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from lowrank_kit.i18n import LANGUAGES, strings
from lowrank_kit.methods.allocation import COSTS, RULES, table_ladder
from lowrank_kit.records import Measurement, NetworkTables, Timing

__all__ = ["BUDGETS", "curves_message", "finding_words", "tables_message"]

# The budget slider moves in steps of a thousandth.
BUDGETS = np.arange(1001) / 1000


def tables_message(tables: NetworkTables, rooms: Sequence[str] = ("board",)) -> tuple[dict[str, Any], list[bytes]]:
    """The message a board paints from, with the words of these rooms, and its buffers.

    It is a message and not a trait, because traits are stored with a notebook.
    """
    words, arrays = tables.to_arrays()
    words["budgets"] = {}
    for rule in RULES:
        for cost in COSTS:
            steps = table_ladder(tables, rule, cost)
            arrays[f"{rule} {cost}"] = steps.table(BUDGETS).astype(np.float64).ravel()
            words["budgets"][f"{rule} {cost}"] = {"layers": steps.layers, "cheapest": steps.cheapest}
    spoken = {code: {k: v for room in rooms for k, v in strings(room, code).items()} for code in LANGUAGES}
    return {"kind": "tables", "words": words, "arrays": _lengths(arrays), "strings": spoken}, _buffers(arrays)


def curves_message(tables: NetworkTables) -> tuple[dict[str, Any], list[bytes]]:
    """What has become better known since the tables were sent, and its buffers."""
    words, arrays = tables.to_arrays()
    arrays = {name: arrays[name] for name in tables.growing}
    return {"kind": "curves", "layers": words["layers"], "arrays": _lengths(arrays)}, _buffers(arrays)


def _lengths(arrays: Mapping[str, np.ndarray]) -> dict[str, int]:
    return {name: len(values) for name, values in arrays.items()}


def _buffers(arrays: Mapping[str, np.ndarray]) -> list[bytes]:
    """Little-endian, in double precision unless they are single, which is half as much to send."""
    return [np.ascontiguousarray(v, "<f4" if v.dtype == np.float32 else "<f8").tobytes() for v in arrays.values()]


def finding_words(measured: Measurement, dense: Measurement) -> dict[str, Any]:
    """What the tiles say of a measurement beside the dense one: accuracy, paired change, latency."""
    change, (low, high) = measured.change(dense), measured.interval
    words: dict[str, Any] = {
        "accuracy": measured.accuracy,
        "interval": [low, high],
        "n": measured.n_examples,
        "change": [change.value, change.low, change.high],
    }
    if measured.timing is not None and dense.timing is not None:
        words["latency"] = _latency_words(measured.timing, dense.timing)
    return words


def _latency_words(timing: Timing, dense: Timing) -> Mapping[str, Any]:
    return {
        "median_s": timing.median_s,
        "dense_s": dense.median_s,
        "speedup": timing.speedup(dense),
        "batch": timing.batch,
        "threads": timing.threads,
        "device": timing.device,
        "dtype": timing.dtype,
        "busy": timing.busy if timing.is_disturbed else 0,
    }
