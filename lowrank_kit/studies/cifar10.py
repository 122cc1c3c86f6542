"""What the runs on CIFAR-10 found, as `python -m benchmarks.cifar10 --publish` recorded it."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np

from lowrank_kit.checks import InputError
from lowrank_kit.files import read_arrays, shipped
from lowrank_kit.records import Trajectory
from lowrank_kit.records.measurements import wilson
from lowrank_kit.studies.comparison import mean_interval
from lowrank_kit.studies.recorded import facts_and_rows
from lowrank_kit.studies.results import Row

__all__ = ["Cifar10Runs"]

FIELDS = {"method", "setting", "seed", "test", "params", "conv_params", "macs", "predictions"}
# What stays as it was at steps at which only accuracy was looked at.
LASTING = ("ranks", "size", "widened", "tolerance", "kept", "values")
HEAD = ("method", "seeds", "accuracy", "change in points", "conv parameters", "removed", "multiply-adds")
LEGEND = """\
{network}, {epochs} epochs; images: {images}.
Accuracy on the {n:,} test images, mean over seeds, with its 95% interval where there is but one; change against the
dense network of the same seed, with its 95% interval over seeds where there are several. Conv parameters: weights of
all convolutions, the first included. Recorded: {recorded}."""


@dataclass(frozen=True, eq=False)
class Cifar10Runs:
    """Finished trainings of one network and the facts they share; `folder` is where they were published."""

    facts: Mapping[str, Any]
    rows: tuple[Row, ...]
    folder: Path

    @classmethod
    def read(cls, network: str = "vgg8", folder: str | Path | None = None) -> "Cifar10Runs":
        """What was published of a network, in the kit's own folder where none is given.

        Raises InputError where nothing was, or where it is something else.
        """
        folder = shipped("data", "adaptive") if folder is None else Path(folder)
        facts, rows = facts_and_rows(folder / f"cifar10-{network}.json", FIELDS, maker="benchmarks/cifar10 --publish")
        return cls(facts, rows, folder)

    @property
    def methods(self) -> list[tuple[str, float | None]]:
        """Methods with their settings, the dense network first and the others from the mildest setting on."""
        found = {(row["method"], row["setting"]) for row in self.rows}
        return sorted(found, key=lambda each: (each[0] != "dense", each[0] != "tdlrt", each[0], each[1] or 0))

    def of(self, method: str, setting: float | None) -> dict[int, Row]:
        """{seed: row}."""
        rows = [row for row in self.rows if (row["method"], row["setting"]) == (method, setting)]
        return {row["seed"]: row for row in sorted(rows, key=lambda row: row["seed"])}

    def trajectory(self, setting: float) -> Trajectory:
        """How ranks were found at a tolerance, by the first seed. Raises InputError where that was not published."""
        path = self.folder / f"cifar10-{self.facts['network']}-{setting}.safetensors"
        if not path.exists():
            settings = [str(each) for method, each in self.methods if method == "tdlrt"]
            raise InputError(
                f"`setting` must be a tolerance of a published run, {', '.join(settings)}; got {setting!r}."
            )
        found, row = Trajectory.from_arrays(*read_arrays(path)), next(iter(self.of("tdlrt", setting).values()))
        n = len(row["predictions"])
        test = {"accuracy": row["test"], "interval": wilson(row["test"], n), "n": n, "n_params": row["params"]}
        arrays = {name: _carried(values) if name in LASTING else values for name, values in found.arrays.items()}
        facts = {"recorded": self.facts["recorded"], **found.facts, "test": test | {"change": None}}
        return Trajectory(found.name, found.steps, arrays, found.layers, facts)

    def as_text(self) -> str:
        """A line for every method and setting, with a legend."""
        cells = [HEAD, *(self._cells(*each) for each in self.methods)]
        widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
        table = ["  ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)).rstrip() for line in cells]
        n, epochs = len(self.rows[0]["predictions"]), self.facts["recipe"]["epochs"]
        named = {name: self.facts[name] for name in ("network", "recorded", "images")}
        return "\n".join([*table, LEGEND.format(n=n, epochs=epochs, **named)])

    def _cells(self, method: str, setting: float | None) -> tuple[str, ...]:
        rows, whole = self.of(method, setting), self.of("dense", None)
        accuracy = fmean(row["test"] for row in rows.values())
        if len(rows) == 1:
            low, high = wilson(accuracy, len(self.rows[0]["predictions"]))
            told = f"{accuracy:.2%} [{low:.1%}, {high:.1%}]"
        else:
            told = f"{accuracy:.2%}"
        paired = [row["test"] - whole[seed]["test"] for seed, row in rows.items() if seed in whole]
        convolutions = fmean(row["conv_params"] for row in rows.values())
        removed = f"{1 - convolutions / next(iter(whole.values()))['conv_params']:.1%}" if whole else ""
        return (
            method if setting is None else f"{method} {setting:g}",
            str(len(rows)),
            told,
            "" if method == "dense" else _change(paired),
            f"{convolutions:,.0f}",
            removed,
            f"{fmean(row['macs'] for row in rows.values()):,.0f}",
        )


def _carried(values: np.ndarray) -> np.ndarray:
    """Entries (T, ...) that are NaN throughout as the last one before that is not."""
    known = ~np.isnan(values).reshape(len(values), -1).all(axis=1)
    last: np.ndarray = np.maximum.accumulate(np.where(known, np.arange(len(values)), 0))
    return values[last]


def _change(paired: list[float]) -> str:
    if len(paired) < 2:
        return "".join(f"{100 * change:+.2f}" for change in paired)
    mean, low, high = (100 * value for value in mean_interval(paired))
    return f"{mean:+.2f} [{low:+.2f}, {high:+.2f}]"
