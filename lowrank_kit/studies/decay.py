"""Trainings from cores that fall off steeply, as data/decay.py recorded them."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np

from lowrank_kit.checks import InputError
from lowrank_kit.files import shipped
from lowrank_kit.records import LossCurve
from lowrank_kit.studies.comparison import mean_interval
from lowrank_kit.studies.recorded import facts_and_rows
from lowrank_kit.studies.results import Row

__all__ = ["DecayStudy"]

FIELDS = {"method", "decay", "rate", "seed"}


@dataclass(frozen=True, eq=False)
class DecayStudy:
    """Trainings of one network by several methods, several seeds a cell, and the facts they share."""

    facts: Mapping[str, Any]
    rows: tuple[Row, ...]

    @classmethod
    def read(cls, path: str | Path | None = None) -> "DecayStudy":
        """A file that data/decay.py wrote; the kit's own where no path is given.

        Raises InputError where it is something else.
        """
        path = shipped("data", "adaptive", "decay.json") if path is None else Path(path)
        return cls(*facts_and_rows(path, FIELDS, maker="data/decay.py"))

    @property
    def methods(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(row["method"] for row in self.rows))

    @property
    def decays(self) -> tuple[float, ...]:
        return tuple(sorted({row["decay"] for row in self.rows}))

    def rate(self, method: str, decay: float) -> float:
        """The learning rate of the highest validation accuracy, mean over seeds; a training that broke off has none."""
        rates = sorted({row["rate"] for row in self._of(method, decay)})
        return max(rates, key=lambda rate: fmean(r.get("validation", 0.0) for r in self._of(method, decay, rate)))

    def test(self, method: str, decay: float) -> tuple[float, float, float]:
        """Test accuracy at that rate: the mean over seeds and its 95 % interval, as fractions."""
        rows = self._of(method, decay, self.rate(method, decay))
        return mean_interval([row.get("test", 0.0) for row in rows])

    def curves(self) -> list[LossCurve]:
        """The losses of every method and decay, each at its own rate; of the seeds that came to the end."""
        return [self._curve(method, decay) for decay in self.decays for method in self.methods]

    def as_text(self) -> str:
        """A line for every method and decay."""
        lines = []
        for decay in self.decays:
            for method in self.methods:
                mean, low, high = self.test(method, decay)
                rate = f"rate {self.rate(method, decay):<5g}"
                lines.append(f"decay {decay:<4g} {method:9} {rate} accuracy {mean:.1%} [{low:.1%}, {min(high, 1):.1%}]")
        return "\n".join(lines)

    def _curve(self, method: str, decay: float) -> LossCurve:
        rate, every = self.rate(method, decay), self.facts["every"]
        losses = np.array([row["losses"] for row in self._of(method, decay, rate) if "losses" in row])
        return LossCurve(method, decay, rate, every * np.arange(1, losses.shape[1] + 1), losses)

    def _of(self, method: str, decay: float, rate: float | None = None) -> list[Row]:
        rows = [row for row in self.rows if (row["method"], row["decay"]) == (method, decay)]
        if not rows:
            raise InputError(
                f"`method` and `decay` must be of {', '.join(self.methods)} and {', '.join(map(str, self.decays))}; "
                f"got {method!r} and {decay!r}."
            )
        return [row for row in rows if rate is None or row["rate"] == rate]
