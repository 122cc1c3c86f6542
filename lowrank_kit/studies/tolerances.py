"""What becomes of ranks over tolerance and learning rate, as data/tolerances.py recorded it."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from lowrank_kit.checks import InputError, check_name
from lowrank_kit.files import shipped
from lowrank_kit.records import Grid
from lowrank_kit.studies.recorded import facts_and_rows
from lowrank_kit.studies.results import Row

__all__ = ["ToleranceMap"]

DENSE = "dense"
Figure = Literal["learned", "kept"]
FIELDS = {"start", "tolerance", "rate", "seed", "accuracy"}
# What the rows of the file call it.
COLUMNS: dict[Figure, str] = {"learned": "accuracy", "kept": "kept"}


@dataclass(frozen=True, eq=False)
class ToleranceMap:
    """Trainings of one network, several seeds a cell, and the facts they share."""

    facts: Mapping[str, Any]
    rows: tuple[Row, ...]

    @classmethod
    def read(cls, path: str | Path | None = None) -> "ToleranceMap":
        """A file that data/tolerances.py wrote; the kit's own where no path is given.

        Raises InputError where it is something else.
        """
        path = shipped("data", "adaptive", "tolerances.json") if path is None else Path(path)
        return cls(*facts_and_rows(path, FIELDS, maker="data/tolerances.py"))

    @property
    def starts(self) -> tuple[float, ...]:
        """Where ranks started, as fractions of every mode."""
        return self._values("start")

    @property
    def tolerances(self) -> tuple[float, ...]:
        return self._values("tolerance")

    @property
    def rates(self) -> tuple[float, ...]:
        return self._values("rate")

    @property
    def n_seeds(self) -> int:
        return len({row["seed"] for row in self.rows})

    def grid(self, start: float, figure: Figure = "learned") -> Grid:
        """Tolerances by learning rates, means over seeds: test accuracy, or the share of added directions kept.

        Accuracies have a first row with the dense network, and each notes the share of the factored layers' parameters
        that is left. Raises InputError for a start that was not tried.
        """
        check_name(figure, COLUMNS, name="figure")
        if start not in self.starts:
            raise InputError(f"`start` must be one of {', '.join(f'{s:g}' for s in self.starts)}; got {start!r}.")
        cells = [[self._of(start, tolerance, rate) for rate in self.rates] for tolerance in self.tolerances]
        names = [f"{tolerance:g}" for tolerance in self.tolerances]
        if figure == "learned":
            cells, names = [[self._of(None, None, rate) for rate in self.rates], *cells], [DENSE, *names]
        values = np.array([[_mean(cell, COLUMNS[figure]) for cell in row] for row in cells])
        notes = np.array([[_left(cell) for cell in row] for row in cells], dtype=object)
        columns = tuple(f"{rate:g}" for rate in self.rates)
        shown = notes if figure == "learned" else None
        n = int(self.facts["test_examples"])
        return Grid(figure, "tolerance", tuple(names), "rate", columns, values, n, shown)

    def mean(self, figure: str, start: float | None, tolerance: float | None, rate: float) -> float:
        """Over the seeds of one cell: "accuracy", "size" or "kept"; start and tolerance None are the dense network."""
        return _mean(self._of(start, tolerance, rate), figure)

    def _values(self, name: str) -> tuple[float, ...]:
        return tuple(sorted({row[name] for row in self.rows if row[name] is not None}))

    def _of(self, start: float | None, tolerance: float | None, rate: float) -> list[Row]:
        where = (start, tolerance, rate)
        return [row for row in self.rows if (row["start"], row["tolerance"], row["rate"]) == where]


def _mean(rows: list[Row], name: str) -> float:
    known = [row[name] for row in rows if row.get(name) is not None]
    return float(np.mean(known)) if known else float("nan")


def _left(rows: list[Row]) -> str:
    share = _mean(rows, "size")
    return "" if np.isnan(share) else f"{share:.0%}"
