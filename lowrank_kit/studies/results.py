"""A study's results, read back as records."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from lowrank_kit.checks import InputError
from lowrank_kit.records import Measurement, RankPlan, Timing
from lowrank_kit.studies.database import reading
from lowrank_kit.studies.grid import Cell, Study
from lowrank_kit.studies.packing import unpacked, unpacked_timing
from lowrank_kit.studies.trial import Identity

__all__ = ["KEY", "Results", "Row"]

Row = dict[str, Any]

KEY = tuple(Cell.__dataclass_fields__)


@dataclass(frozen=True)
class Results:
    """What one SQLite file holds. Every method raises InputError where that file can't be read.

    >>> import pandas
    >>> frame = pandas.DataFrame(Results("budgets.sqlite").rows())  # doctest: +SKIP
    """

    path: str | Path

    @property
    def file(self) -> Path:
        return Path(self.path)

    def rows(self, study: Study | None = None) -> list[Row]:
        """One record a cell, plain values, in the study's order; without a study, those of all cells.

        `status` is "measured" or "impossible", with the `reason`. Fractions lie in [0, 1]. `accuracy` is on the test
        examples and only reported, `change` is paired there with the dense network, `_low` and `_high` end their 95 %
        intervals; choices are made by `validation_accuracy`.
        """
        found = {_key(row): _plain(row) for row in self._select("results")}
        return [*found.values()] if study is None else [found[c] for c in study.cells if c in found]

    def timings(self, study: Study | None = None) -> list[Row]:
        """One record for each cell and batch that was timed, dense and compressed in turn."""
        found = {(_key(row), row["batch"]): _plain(row) for row in self._select("timings")}
        if study is None:
            return [*found.values()]
        asked = [(cell, batch) for cell in study.cells for batch in study.latency_batches]
        return [found[key] for key in asked if key in found]

    def row(self, cell: Cell) -> Row:
        """The record of one cell."""
        (found,) = self._select("results", asdict(cell))
        return _plain(found)

    def timing(self, row: Mapping[str, Any], batch: int) -> Row:
        """The record of one timing."""
        return _plain(next(timed for timed in self._select("timings", row) if timed["batch"] == batch))

    def measurement(self, row: Mapping[str, Any], *, batch: int | None = None) -> Measurement:
        """The compressed network of a row, with its timing where it was timed with this batch (or the smallest)."""
        (found,), timed = self._select("cells", row), self._timed(row, batch)
        if found["status"] != "measured":
            raise InputError(f"`row` must be a measured one; this one is {found['status']}: {found['reason']}")
        timing = unpacked_timing(timed["raw_s"], timed["conditions"]) if timed else None
        label = f"{found['method']}, {found['rule']}, {found['budget']:g} of {found['cost']}"
        return replace(self._measurement(found, timing), label=label, plan=RankPlan.from_json(found["plan"]))

    def dense(self, row: Mapping[str, Any], *, batch: int | None = None) -> Measurement:
        """The dense network that a row is compared with, timed in turn with it."""
        timed = self._timed(row, batch)
        timing = unpacked_timing(timed["dense_raw_s"], timed["dense_conditions"]) if timed else None
        return self._measurement(self._baseline(row), timing)

    def identities(self) -> dict[tuple[str, int], Identity]:
        """{(network, seed): the hashes of what was measured}."""
        rows = self._select("baselines")
        found = [Identity(row["network"], row["seed"], row["weights"], row["data"]) for row in rows]
        return {(one.network, one.seed): one for one in found}

    def missing(self, study: Study) -> list[Cell]:
        """The cells of a study that have no row."""
        there = {_key(row) for row in self.rows(study)}
        return [cell for cell in study.cells if cell not in there]

    def untimed(self, study: Study) -> list[tuple[Row, int]]:
        """Measured rows of a study, each with a batch that it is still to be timed with."""
        there = {(_key(row), row["batch"]) for row in self.timings(study)}
        return [(row, batch) for row, batch in self._timeable(study) if (_key(row), batch) not in there]

    def standing(self, study: Study) -> str:
        """How much of a study is there, as part of a sentence."""
        rows = f"{len(self.rows(study))} of {len(study)} rows"
        timings = f" and {len(self.timings(study))} of their {len(self._timeable(study))} timings"
        return f"{rows}{timings if study.latency_batches else ''} are in {self.file}"

    def _timeable(self, study: Study) -> list[tuple[Row, int]]:
        measured = [row for row in self.rows(study) if row["status"] == "measured"]
        return [(row, batch) for row in measured for batch in study.latency_batches]

    def _timed(self, row: Mapping[str, Any], batch: int | None) -> Row | None:
        found = sorted(self._select("timings", row), key=lambda timed: timed["batch"])
        return next((timed for timed in found if batch is None or timed["batch"] == batch), None)

    def _baseline(self, row: Mapping[str, Any]) -> Row:
        (found,) = self._select("baselines", row, keys=("network", "seed"))
        return found

    def _measurement(self, row: Row, timing: Timing | None) -> Measurement:
        n, labels = row["n_examples"], self._baseline(row)["labels"]
        sizes = (row["n_params"], row["size_bytes"], row["macs"])
        return Measurement("dense", *sizes, unpacked(labels, n), unpacked(row["predictions"], n), timing)

    def _select(self, table: str, of: Mapping[str, Any] | None = None, keys: tuple[str, ...] = KEY) -> list[Row]:
        """Rows of a table, all or those of one cell."""
        asked = {} if of is None else {name: of[name] for name in keys}
        where = "".join(f" AND {name} = :{name}" for name in asked)
        with reading(self.file) as connection:
            found = [dict(row) for row in connection.execute(f"SELECT * FROM {table} WHERE 1{where}", asked)]
        if asked and not found and table != "timings":
            raise InputError(f"`row` must be one of {self.file}; it has none of {', '.join(map(str, asked.values()))}.")
        return found


def _key(row: Mapping[str, Any]) -> Cell:
    return Cell(**{name: row[name] for name in KEY})


def _plain(row: Row) -> Row:
    return {name: value for name, value in row.items() if not isinstance(value, bytes)}
