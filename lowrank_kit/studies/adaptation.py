"""Few examples of a new task, and what a network learnt of them, as data/deep_lora.py recorded it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F

from lowrank_kit.checks import InputError, check_name
from lowrank_kit.files import shipped
from lowrank_kit.models.zoo import load
from lowrank_kit.records import AccuracyCurve, Data, Examples, UpdateValues
from lowrank_kit.studies.comparison import mean_interval
from lowrank_kit.studies.recorded import facts_and_rows
from lowrank_kit.studies.results import Row

__all__ = ["FORMAT", "AdaptationStudy", "best_rates", "few", "other_digits"]

FORMAT = "lowrank-kit adaptation 1"
FIELDS = {"part", "method", "n", "rank", "rate", "seed"}
SIDE = 28  # of MNIST's images
# A method, a number of examples and a rank.
Cell = tuple[str, int, int | None]


def other_digits() -> Data:
    """scikit-learn's digits as a network of MNIST takes them: 8 x 8, stretched bilinearly to (n, 1, 28, 28)."""
    _, data = load("digits-mlp")
    train = None if data.train is None else _stretched(data.train)
    return Data("other digits", _stretched(data.validation), _stretched(data.test), train)


def few(examples: Examples, n: int, *, seed: int = 0) -> Examples:
    """n of the examples, of every class as many as their share, drawn by the seed."""
    return examples.take(np.sort(examples.stratified_order(seed=seed)[:n]))


def best_rates(rows: Iterable[Row]) -> dict[Cell, float]:
    """{cell: the learning rate of the highest validation accuracy}, mean over draws; of equal ones the smallest."""
    return {cell: max(rates, key=rates.__getitem__) for cell, rates in _validations(rows).items()}


@dataclass(frozen=True, eq=False)
class AdaptationStudy:
    """Trainings of one network on few examples, several seeds a cell, and the facts they share.

    A rank that is not given is the study's own; the whole network has none.
    """

    facts: Mapping[str, Any]
    rows: tuple[Row, ...]

    @classmethod
    def read(cls, path: str | Path | None = None) -> "AdaptationStudy":
        """A file that data/deep_lora.py wrote; the kit's own where no path is given.

        Raises InputError where it is something else.
        """
        path = shipped("data", "adaptation", "mnist-vit.json") if path is None else Path(path)
        return cls(*facts_and_rows(path, FIELDS, maker="data/deep_lora.py"))

    @property
    def methods(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(row["method"] for row in self.rows))

    @property
    def examples(self) -> tuple[int, ...]:
        """The numbers of examples that were learnt from."""
        return tuple(self.facts["settings"]["examples"])

    @property
    def ranks(self) -> tuple[int, ...]:
        """The ranks that were tried, with the fewest examples."""
        return tuple(self.facts["settings"]["ranks"])

    @property
    def n_seeds(self) -> int:
        return len(self.facts["settings"]["seeds"])

    def rate(self, method: str, n: int, rank: int | None = None) -> float:
        """The learning rate that was chosen on validation examples."""
        return best_rates(self.rows)[_cell(self._of(method, n, rank)[0])]

    def validation(self, method: str, n: int, rank: int | None = None) -> dict[float, float]:
        """{learning rate: validation accuracy}, mean over the draws that rates are chosen on."""
        return _validations(self.rows)[_cell(self._of(method, n, rank)[0])]

    def test(self, method: str, n: int, rank: int | None = None) -> tuple[float, float, float]:
        """Test accuracy: the mean over seeds and its 95 % interval, as fractions."""
        return mean_interval([row["test"] for row in self._of(method, n, rank)])

    def advantage(
        self, n: int, rank: int | None = None, *, of: str = "deep-lora", over: str = "lora"
    ) -> tuple[float, float, float]:
        """Test accuracy less the other method's of the same seed: mean and 95 % interval over seeds, as fractions.

        The interval is about draws of examples and starts: the test examples are the same in all of them.
        """
        ours, theirs = ({row["seed"]: row["test"] for row in self._of(name, n, rank)} for name in (of, over))
        return mean_interval([ours[seed] - theirs[seed] for seed in ours if seed in theirs])

    def n_trained(self, method: str, rank: int | None = None) -> int:
        """How many numbers a training changes."""
        return int(self._of(method, self.examples[0], rank)[0]["trained"])

    def energy(self, method: str, n: int, rank: int | None = None) -> dict[int, float]:
        """{k: the share of an update's energy in its first k directions}, mean over layers and seeds."""
        shares = np.mean([row["energy"] for row in self._of(method, n, rank)], axis=0)
        return dict(zip(self.facts["settings"]["top"], shares.tolist(), strict=True))

    def values(self, method: str, n: int, rank: int | None = None) -> list[UpdateValues]:
        """The leading singular values of the updates of some layers. Raises InputError where they were not kept."""
        rows = self._of(method, n, rank)
        if not all("values" in row for row in rows):
            kept = sorted({(r["n"], r["rank"] or 0) for r in self.rows if "values" in r})
            known = ", ".join(f"{n} examples{f' at rank {r}' if r else ''}" for n, r in kept)
            raise InputError(f"singular values were kept for {known}; not for {n} examples at rank {rows[0]['rank']}.")
        return [
            UpdateValues(method, layer, np.array([row["values"][layer] for row in rows]), rows[0]["rank"], n)
            for layer in rows[0]["values"]
        ]

    def over_examples(self) -> list[AccuracyCurve]:
        """Test accuracy against the number of examples: of every method, and of the network as it was."""
        cells = {name: [self.test(name, n) for n in self.examples] for name in self.methods}
        return [self._before("examples", self.examples)] + [
            self._curve(name, "examples", self.examples, found) for name, found in cells.items()
        ]

    def over_ranks(self) -> list[AccuracyCurve]:
        """Test accuracy against the rank, with the fewest examples: of every method that has one."""
        least = self.examples[0]
        ranked = [name for name in self.methods if self._of(name, least)[0]["rank"] is not None]
        cells = {name: [self.test(name, least, rank) for rank in self.ranks] for name in ranked}
        return [self._before("rank", self.ranks)] + [
            self._curve(name, "rank", self.ranks, found) for name, found in cells.items()
        ]

    def as_text(self) -> str:
        """A line for every cell, and what Deep LoRA has over LoRA."""
        lines = [f"zero-shot: {self.facts['zero_shot']['test']:.1%} of {self.facts['sizes']['test']:,}"]
        for n in self.examples:
            for name in self.methods:
                lines.append(self._line(name, n))
            lines.append(f"{n:>4} examples  {'deep-lora - lora':22} {_points(self.advantage(n))}")
        for rank in self.ranks:
            lines.extend(self._line(name, self.examples[0], rank) for name in ("lora", "deep-lora"))
            lines.append(f"rank {rank:<8} {'deep-lora - lora':22} {_points(self.advantage(self.examples[0], rank))}")
        return "\n".join(lines)

    def _line(self, method: str, n: int, rank: int | None = None) -> str:
        mean, low, high = self.test(method, n, rank)
        where = f"{n:>4} examples " if rank is None else f"rank {rank:<8}"
        first = self.energy(method, n, rank)[1]
        return (
            f"{where} {method:9} rate {self.rate(method, n, rank):<7g} {mean:.1%} [{low:.1%}, {min(high, 1):.1%}]  "
            f"{first:.1%} of its energy in one direction"
        )

    def _before(self, axis: Any, at: tuple[int, ...]) -> AccuracyCurve:
        known = np.full(len(at), self.facts["zero_shot"]["test"])
        return AccuracyCurve("zero-shot", axis, np.array(at), known, known, known, 1, self.facts["sizes"]["test"])

    def _curve(
        self, method: str, axis: Any, at: tuple[int, ...], found: list[tuple[float, float, float]]
    ) -> AccuracyCurve:
        mean, low, high = np.array(found).T
        return AccuracyCurve(method, axis, np.array(at), mean, low, high, self.n_seeds, self.facts["sizes"]["test"])

    def _of(self, method: str, n: int, rank: int | None = None) -> list[Row]:
        """The reported rows of a cell."""
        check_name(method, self.methods, name="method")
        ranks = {rank} if rank is not None else {None, self.facts["settings"]["rank"]}
        rows = [
            row
            for row in self.rows
            if (row["part"], row["method"], row["n"]) == ("report", method, n) and row["rank"] in ranks
        ]
        if not rows:
            tried = sorted({(r["n"], r["rank"] or 0) for r in self.rows if r["method"] == method})
            known = ", ".join(f"{n} examples{f' at rank {r}' if r else ''}" for n, r in tried)
            raise InputError(f"{method!r} was tried with {known}; got {n!r} and {rank!r}.")
        return sorted(rows, key=lambda row: row["seed"])


def _stretched(examples: Examples) -> Examples:
    images = torch.from_numpy(examples.x.reshape(-1, 1, 8, 8))
    return Examples(F.interpolate(images, size=(SIDE, SIDE), mode="bilinear").numpy(), examples.y)


def _validations(rows: Iterable[Row]) -> dict[Cell, dict[float, float]]:
    """{cell: {learning rate: mean validation accuracy}}, rates rising."""
    found: dict[Cell, dict[float, list[float]]] = {}
    for row in rows:
        if row["part"] == "tuning":
            found.setdefault(_cell(row), {}).setdefault(row["rate"], []).append(row["validation"])
    return {cell: {rate: fmean(rates[rate]) for rate in sorted(rates)} for cell, rates in found.items()}


def _cell(row: Row) -> Cell:
    return row["method"], row["n"], row["rank"]


def _points(change: tuple[float, float, float]) -> str:
    return "{:+.1f} points [{:+.1f}, {:+.1f}]".format(*(100 * value for value in change))
