"""A study as a value: which networks, methods, rules, budgets and seeds are crossed."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from itertools import product
from numbers import Integral, Real
from pathlib import Path
from reprlib import repr as short
from typing import Any

import numpy as np
import yaml

from lowrank_kit.checks import InputError, check_fraction, check_name
from lowrank_kit.methods.allocation import COSTS, RULES
from lowrank_kit.records import METHODS
from lowrank_kit.studies.networks import check_network, check_seed

__all__ = ["Cell", "Study"]

TEXTS, NUMBERS = ("networks", "methods", "rules"), ("budgets", "seeds", "latency_batches")


@dataclass(frozen=True)
class Cell:
    """One plan on one network: what a row of the results is about."""

    network: str
    seed: int
    method: str
    rule: str
    budget: float
    cost: str


@dataclass(frozen=True)
class Study:
    """A grid: every network by every method, rule, budget and seed.

    Parameters
    ----------
    networks : names of the zoo, or "package.module:function", a function of one argument `seed` that returns a module
        and its data as :func:`lowrank_kit.models.zoo.load` takes them; the same seed must give the same weights
    methods, rules, budgets, cost : as :func:`lowrank_kit.methods.planning.plan` takes them
    seeds : for the zoo, which of the shipped trainings
    latency_batches : how many examples are timed at once, one timing for each; empty for none
    name : names the file of results where no other is given

    Raises InputError for an axis that is empty, holds a value twice, or holds one that cannot be.

    >>> len(Study(["digits-mlp"], budgets=[0.7, 0.5, 0.3], seeds=[0]))
    3
    """

    networks: Sequence[str]
    methods: Sequence[str] = ("svd",)
    rules: Sequence[str] = ("energy",)
    budgets: Sequence[float] = (0.5,)
    seeds: Sequence[int] = (0,)
    cost: str = "params"
    latency_batches: Sequence[int] = ()
    name: str = "study"

    def __post_init__(self) -> None:
        for axis in (*TEXTS, *NUMBERS):
            object.__setattr__(self, axis, _axis(getattr(self, axis), axis))
        for axis, known in (("methods", METHODS), ("rules", RULES)):
            for value in getattr(self, axis):
                check_name(value, known, name=axis)
        for budget in self.budgets:
            check_fraction(budget, name="budgets")
        object.__setattr__(self, "budgets", tuple(map(float, self.budgets)))
        _check_whole(self.seeds, "seeds", at_least=0)
        _check_whole(self.latency_batches, "latency_batches", at_least=1)
        check_name(self.cost, COSTS, name="cost")
        if not isinstance(self.name, str) or not re.fullmatch(r"\w[\w .-]*", self.name):
            raise InputError(f"`name` must be letters, digits, '-', '_' and '.', as of a file; got {short(self.name)}.")
        for network in self.networks:
            check_network(network)
        for network, seed in self.pairs:
            check_seed(network, seed)

    @classmethod
    def from_yaml(cls, path: str | Path) -> "Study":
        """The study in a YAML file, whose keys are this class's parameters; it is named after the file by default.

        Raises InputError where the file can't be read, is no YAML, or does not hold a study.
        """
        path = Path(path)
        try:
            words = _read(path)
            for key in words:
                check_name(key, [field.name for field in fields(cls)], name="key")
            if "networks" not in words:
                raise InputError("`networks` must be there: a list of names, such as [digits-mlp]; got none.")
            return cls(**{"name": path.stem, **words})
        except InputError as fault:
            raise InputError(f"{path}: {fault}") from None

    @property
    def pairs(self) -> list[tuple[str, int]]:
        """Every network with every seed."""
        return [*product(self.networks, self.seeds)]

    @property
    def cells(self) -> list[Cell]:
        """All cells of the grid, those of one network and seed together, because they share decompositions."""
        plans = [*product(self.methods, self.rules, self.budgets)]
        return [
            Cell(network, seed, method, rule, budget, self.cost)
            for network, seed in self.pairs
            for method, rule, budget in plans
        ]

    def run(
        self,
        path: str | Path | None = None,
        *,
        jobs: int | None = -1,
        progress: bool = True,
        latency_budget_s: float = 1.0,
    ) -> Iterator[dict[str, Any]]:
        """Rows as they are measured, each stored before it is given; see :func:`lowrank_kit.studies.run.run`."""
        from lowrank_kit.studies.run import run

        return run(self, path, jobs=jobs, progress=progress, latency_budget_s=latency_budget_s)

    def __len__(self) -> int:
        return len(self.pairs) * len(self.methods) * len(self.rules) * len(self.budgets)


def _axis(values: Any, axis: str) -> tuple[Any, ...]:
    """The values of an axis as plain Python values: texts or numbers, one at least, each once."""
    kind, called = (str, "text") if axis in TEXTS else (Real, "numbers")
    if isinstance(values, str) or not isinstance(values, (Sequence, np.ndarray)):
        hint = f" For one value write [{values}]." if isinstance(values, (str, Real)) else ""
        raise InputError(f"`{axis}` must be a list; got {short(values)}.{hint}")
    plain = tuple(values.tolist() if isinstance(values, np.ndarray) else values)
    for value in plain:
        if not isinstance(value, kind) or isinstance(value, bool):
            raise InputError(f"`{axis}` must be a list of {called}; it holds {short(value)}.")
        if plain.count(value) > 1:
            raise InputError(f"`{axis}` must hold every value once; it holds {short(value)} more than once.")
    if not plain and axis != "latency_batches":
        raise InputError(f"`{axis}` must hold at least one value; got none.")
    return plain


def _check_whole(values: Sequence[Any], axis: str, *, at_least: int) -> None:
    for value in values:
        if not isinstance(value, Integral) or value < at_least:
            raise InputError(f"`{axis}` must be whole numbers of at least {at_least}; got {short(value)}.")


def _read(path: Path) -> dict[Any, Any]:
    """The keys of a YAML file with their values. A key that stands there twice is refused: one would be lost."""
    try:
        text = path.read_text(encoding="utf-8")
        words, node = yaml.safe_load(text), yaml.compose(text, Loader=yaml.SafeLoader)
    except OSError as fault:
        raise InputError(f"a study must be a file that can be read; {fault.strerror}.") from None
    except (yaml.YAMLError, ValueError, RecursionError) as fault:
        raise InputError(f"a study must be written in YAML; {' '.join(str(fault).split())}.") from None
    if not isinstance(words, dict):
        raise InputError(f"a study must be keys with values, such as networks: [digits-mlp]; got {short(words)}.")
    keys = [key.value for key, _ in node.value]
    for key in keys:
        if keys.count(key) > 1:
            raise InputError(f"every key must stand there once; {short(key)} stands there {keys.count(key)} times.")
    return words
