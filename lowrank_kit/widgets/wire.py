"""What travels to the browser: tables as binary arrays, findings as plain words."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from lowrank_kit.i18n import LANGUAGES, strings
from lowrank_kit.methods.allocation import COSTS, RULES, table_ladder
from lowrank_kit.records import Measurement, NetworkTables, NetworkTimes, Timing

__all__ = ["BUDGETS", "curves_message", "finding_words", "latency_words", "packed", "tables_message", "times_message"]

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
    return packed({"kind": "tables", "words": words, "strings": spoken}, arrays)


def curves_message(tables: NetworkTables) -> tuple[dict[str, Any], list[bytes]]:
    """What has become better known since the tables were sent, and its buffers."""
    words, arrays = tables.to_arrays()
    arrays = {name: arrays[name] for name in tables.growing}
    return packed({"kind": "curves", "layers": words["layers"]}, arrays)


def times_message(times: NetworkTimes, told: NetworkTimes | None = None) -> tuple[dict[str, Any], list[bytes]]:
    """What is known of the network's times at one batch, of the layers only what is better than was `told` before."""
    before = {} if told is None else told.shares
    arrays = {name: shares.ravel() for name, shares in times.shares.items() if shares is not before.get(name)}
    pairs = {"predicted": times.predicted.tolist(), "observed": times.observed.tolist()}
    return packed({"kind": "times", "batch": times.batch, "dense_s": times.dense_s, **pairs}, arrays)


def packed(words: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> tuple[dict[str, Any], list[bytes]]:
    """A message of words, and of arrays as buffers; the words then say how long each of them is.

    Numbers are little-endian, in double precision unless they are single, which is half as much to send.
    """
    lengths = {name: len(values) for name, values in arrays.items()}
    forms = ("<f4" if values.dtype == np.float32 else "<f8" for values in arrays.values())
    buffers = [np.ascontiguousarray(v, form).tobytes() for v, form in zip(arrays.values(), forms, strict=True)]
    return {**words, "arrays": lengths}, buffers


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
        words["latency"] = latency_words(measured.timing, dense.timing)
    return words


def latency_words(timing: Timing, dense: Timing) -> dict[str, Any]:
    """What a tile says of two times taken in turn."""
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
