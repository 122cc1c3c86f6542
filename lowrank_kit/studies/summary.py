"""A study's results in one line for each network, method, rule and budget, over its seeds."""

from collections.abc import Sequence
from statistics import fmean

from lowrank_kit.studies.grid import Study
from lowrank_kit.studies.results import Results, Row

__all__ = ["as_text", "summary"]

LINE = ("network", "method", "rule", "budget")
LEGEND = """\
Accuracy on test examples: the mean over seeds [lowest, highest], of one seed its 95% interval.
Parameters and multiply-adds: what remains of the dense network's. Budget: a share of {}."""
COSTS = {"params": "the parameters of linear and convolution layers", "macs": "the multiply-adds"}


def summary(results: Results, study: Study) -> list[Row]:
    """One record a line: accuracy on the test examples and what remains, means over the `seeds` that were measured.

    `low` and `high` are the range over seeds or, of a single seed, the ends of its 95 % interval; `speedup` holds
    {batch: times as fast} where times were taken. A line that no seed could be measured for has its `reason`.
    """
    timings = results.timings(study)
    lines: dict[tuple[object, ...], list[Row]] = {}
    for row in results.rows(study):
        lines.setdefault(_line(row), []).append(row)
    return [
        {**dict(zip(LINE, line, strict=True)), **_over_seeds(rows, [t for t in timings if _line(t) == line])}
        for line, rows in lines.items()
    ]


def as_text(study: Study, lines: Sequence[Row]) -> str:
    """The lines as a table with a legend, and what could not be done below it."""
    batches = study.latency_batches
    head = [
        *LINE,
        "accuracy",
        "",
        "seeds",
        "parameters",
        "multiply-adds",
        *(f"speed-up ({b} at once)" for b in batches),
    ]
    cells = [head, *(_cells(line, batches) for line in lines)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    table = ["  ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)).rstrip() for line in cells]
    reasons = dict.fromkeys(f"Not measured on {line['network']}: {line['reason']}" for line in lines if line["reason"])
    return "\n".join([*table, LEGEND.format(COSTS[study.cost]), *reasons])


def _line(row: Row) -> tuple[object, ...]:
    return tuple(row[name] for name in LINE)


def _over_seeds(rows: Sequence[Row], timings: Sequence[Row]) -> Row:
    measured = [row for row in rows if row["status"] == "measured"]
    found: Row = {"seeds": len(measured), "reason": next((row["reason"] for row in rows if row["reason"]), "")}
    if not measured:
        return found
    accuracies = [row["accuracy"] for row in measured]
    one = measured[0] if len(measured) == 1 else None
    return {
        **found,
        "accuracy": fmean(accuracies),
        "low": one["accuracy_low"] if one else min(accuracies),
        "high": one["accuracy_high"] if one else max(accuracies),
        "params": fmean(row["n_params"] / row["dense_n_params"] for row in measured),
        "macs": fmean(row["macs"] / row["dense_macs"] for row in measured),
        "speedup": {
            batch: fmean(timed["speedup"] for timed in timings if timed["batch"] == batch)
            for batch in sorted({timed["batch"] for timed in timings})
        },
    }


def _cells(line: Row, batches: Sequence[int]) -> list[str]:
    name = [*(str(line[part]) for part in LINE[:-1]), f"{line['budget']:g}"]
    if not line["seeds"]:
        return [*name, "-", "", "0", "-", "-", *("-" for _ in batches)]
    times = [f"{line['speedup'][batch]:.2f}" if batch in line["speedup"] else "-" for batch in batches]
    interval = f"[{line['low']:.1%}, {line['high']:.1%}]"
    return [
        *(*name, f"{line['accuracy']:.1%}", interval, str(line["seeds"])),
        *(f"{line['params']:.0%}", f"{line['macs']:.0%}", *times),
    ]
