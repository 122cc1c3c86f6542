"""Trainings of several kinds from the same seeds, each with its own best learning rate, side by side in a table."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from scipy.special import stdtrit

from lowrank_kit.checks import InputError, check_name
from lowrank_kit.files import shipped
from lowrank_kit.studies.results import Row

__all__ = ["Comparison", "mean_interval"]

FORMAT = "lowrank-kit comparison 1"
REFERENCE = "dense"
HEAD = (
    "method", "rate", "accuracy", "change in points", "conv", "removed", "all", "macs", "trained", "step", "speed-up",
)  # fmt: skip
LEGEND = """\
Rate: of learning. Accuracy: on test images, mean over {seeds} seeds. Change: against the dense network of the same
seed, with its 95% interval over seeds (Student's t). Conv: weights of all convolutions, the first included; removed: of
the dense network's; all: parameters of the network, biases and norms included. Of pruned networks those that are not
zero; all are stored. Macs: multiply-adds an image. Trained: parameters held at most in training. Step: processor time.
Speed-up: of one pass, 64 images at once, against dense. k: thousands, M: millions.
Recorded: {recorded}."""


def mean_interval(values: Sequence[float]) -> tuple[float, float, float]:
    """The mean of values (n,), n at least 2, and the ends of its 95 % interval by Student's t.

    >>> mean_interval([1.0, 2.0, 3.0])
    (2.0, -0.48..., 4.48...)
    """
    half_width = float(stdtrit(len(values) - 1, 0.975)) * stdev(values) / len(values) ** 0.5
    return fmean(values), fmean(values) - half_width, fmean(values) + half_width


@dataclass(frozen=True, eq=False)
class Comparison:
    """Rows of single trainings and the facts they share; `rates` among these are the chosen learning rates."""

    facts: Mapping[str, Any]
    rows: tuple[Row, ...]

    @classmethod
    def read(cls, path: str | Path | None = None) -> "Comparison":
        """A file that data/compare.py wrote; the kit's own, on MNIST-5k, where no path is given.

        Raises InputError where it is something else.
        """
        path = shipped("data", "adaptive", "mnist-5k.json") if path is None else Path(path)
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
            if found["format"] != FORMAT:
                raise ValueError(f"its format is {found['format']!r}")
            return cls({name: value for name, value in found.items() if name != "rows"}, tuple(found["rows"]))
        except (OSError, ValueError, KeyError, TypeError) as fault:
            raise InputError(f"{path} must be a comparison that data/compare.py wrote; it is not ({fault}).") from None

    @property
    def methods(self) -> list[str]:
        """Those that a learning rate was chosen for, or that need none."""
        return list(self.facts["rates"])

    def of(self, method: str) -> dict[int, Row]:
        """{seed: row} of a method at its chosen learning rate, where the training came to an end."""
        check_name(method, self.methods, name="method")
        chosen = [r for r in self.rows if r["method"] == method and r["rate"] == self.facts["rates"][method]]
        return {row["seed"]: row for row in sorted(chosen, key=lambda row: row["seed"]) if "test" in row}

    def change(self, method: str, against: str = REFERENCE) -> tuple[float, float, float]:
        """Test accuracy less the other method's from the same seed: mean and 95 % interval over seeds, fractions.

        The interval is about seeds: the test images are the same in all of them. Raises InputError for fewer than two
        seeds in common.
        """
        ours, theirs = self.of(method), self.of(against)
        paired = [ours[seed]["test"] - theirs[seed]["test"] for seed in ours if seed in theirs]
        if len(paired) < 2:
            raise InputError(f"{method!r} and {against!r} must have two seeds in common at least; got {len(paired)}.")
        return mean_interval(paired)

    def lines(self) -> list[Row]:
        """One record for each method, means over its seeds; of pruned networks, parameters that are not zero count."""
        return [self._line(method) for method in self.methods if len(self.of(method)) > 1]

    def as_text(self) -> str:
        """The lines as a table with a legend."""
        cells = [HEAD, *(_cells(line) for line in self.lines())]
        widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
        table = ["  ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)).rstrip() for line in cells]
        seeds = " or ".join(sorted({str(line["seeds"]) for line in self.lines()}))
        return "\n".join([*table, LEGEND.format(seeds=seeds, recorded=self.facts["recorded"])])

    def _line(self, method: str) -> Row:
        rows = [*self.of(method).values()]
        change, low, high = self.change(method)
        convolutions = fmean(row["nonzero"]["convolutions"] for row in rows)
        whole = next(iter(self.of(REFERENCE).values()))["sizes"]["convolutions"]
        return {
            "method": method,
            "rate": self.facts["rates"][method],
            "seeds": len(rows),
            "accuracy": fmean(row["test"] for row in rows),
            "change": change,
            "change_low": low,
            "change_high": high,
            "convolutions": convolutions,
            "removed": 1 - convolutions / whole,
            "params": fmean(sum(row["nonzero"].values()) for row in rows),
            "stored_params": fmean(sum(row["sizes"].values()) for row in rows),
            "macs": fmean(row["macs"] for row in rows),
            "trained_params": _mean_of(rows, "trained_params"),
            "step_ms": _mean_of(rows, "step_ms"),
            "speedup": {n: fmean(row["speedup"][n] for row in rows) for n in rows[0]["speedup"]},
        }


def _mean_of(rows: Sequence[Row], name: str) -> float | None:
    """None for methods that train nothing."""
    return fmean(row[name] for row in rows) if all(name in row for row in rows) else None


def _cells(line: Row) -> tuple[str, ...]:
    change, low, high = (f"{100 * line[name]:+.2f}" for name in ("change", "change_low", "change_high"))
    trains = line["step_ms"] is not None
    return (
        line["method"],
        f"{line['rate']:g}" if trains else "-",
        f"{line['accuracy']:.2%}",
        "" if line["method"] == REFERENCE else f"{change} [{low}, {high}]",
        _short(line["convolutions"]),
        f"{line['removed']:.1%}",
        _short(line["params"]),
        _short(line["macs"]),
        _short(line["trained_params"]) if trains else "-",
        f"{line['step_ms']:.1f} ms" if trains else "-",
        f"{line['speedup']['64']:.2f}",
    )


def _short(number: float) -> str:
    """Three digits or so, in thousands or millions.

    >>> _short(9027), _short(391146), _short(8150016)
    ('9.0 k', '391.1 k', '8.2 M')
    """
    return f"{number / 1e6:.1f} M" if number >= 1e6 else f"{number / 1e3:.1f} k"
