"""What a worker does: makes a network, plans, compresses, measures. It writes nothing."""

import os
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import version
from multiprocessing import current_process, parent_process
from typing import Any

import numpy as np
import psutil
import torch
from torch import nn

from lowrank_kit.checks import InputError
from lowrank_kit.measurement.measure import measure
from lowrank_kit.measurement.placement import device_name
from lowrank_kit.measurement.quality import predictions
from lowrank_kit.methods.planning import plan
from lowrank_kit.models.running import weight_of
from lowrank_kit.models.surgery import Factorisation
from lowrank_kit.records import Data, Measurement, RankPlan
from lowrank_kit.studies.grid import Cell
from lowrank_kit.studies.networks import blaming, open_network

__all__ = [
    "Baseline",
    "Conditions",
    "Identity",
    "Outcome",
    "Subject",
    "baseline",
    "forget",
    "identity",
    "subject",
    "trial",
]


@dataclass(frozen=True)
class Identity:
    """What a network of a seed is: the hashes of its weights and of the examples it is judged on."""

    network: str
    seed: int
    weights: str
    data: str


@dataclass(frozen=True)
class Conditions:
    """When, on what and with which versions something was measured."""

    date: str
    device: str
    kit: str = field(default_factory=lambda: version("lowrank-kit"))
    torch: str = torch.__version__


@dataclass(frozen=True, eq=False)
class Baseline:
    """A dense network, measured."""

    identity: Identity
    measurement: Measurement
    validation_accuracy: float
    conditions: Conditions


@dataclass(frozen=True, eq=False)
class Outcome:
    """What became of a cell: a measurement, or the reason why there can be none.

    `layers` counts what is compressed, dense and refused; `seconds` is the time from plan to last measurement.
    """

    cell: Cell
    identity: Identity
    conditions: Conditions
    seconds: float
    reason: str = ""
    measurement: Measurement | None = None
    validation_accuracy: float | None = None
    layers: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Subject:
    """A network with its decompositions, which serve all its cells, and its data."""

    network: str
    seed: int
    factorisation: Factorisation
    data: Data

    @property
    def model(self) -> nn.Module:
        return self.factorisation.model

    @property
    def identity(self) -> Identity:
        return Identity(self.network, self.seed, self.factorisation.weights, self.data.fingerprint)

    @property
    def conditions(self) -> Conditions:
        now = datetime.now(UTC).isoformat(timespec="seconds")
        return Conditions(now, device_name(weight_of(self.model).device))

    def plan(self, cell: Cell) -> RankPlan:
        return plan(
            self.factorisation,
            rule=cell.rule,
            budget=cell.budget,
            cost=cell.cost,  # type: ignore[arg-type]  # a study has checked both names
            method=cell.method,  # type: ignore[arg-type]
            data=self.data,
        )

    def validated(self, model: nn.Module) -> float:
        """Accuracy on the validation examples."""
        examples = self.data.validation
        return float(np.mean(predictions(model, examples) == examples.y))


# One at a time in a process: its threads share PyTorch's random generator, which a network's function has seeded, and
# its switches, which counting sets.
_turn = threading.RLock()
_kept: dict[tuple[str, int, str], Subject] = {}


def subject(network: str, seed: int, run: str) -> Subject:
    """The network, kept until another one or another run is asked for: weights may change between runs."""
    with _turn:
        key = (network, seed, run)
        if key not in _kept:
            forget()
            model, data = open_network(network, seed)
            _kept[key] = Subject(network, seed, Factorisation(model, data), data)
        return _kept[key]


def forget() -> None:
    """Let go of the network that is kept."""
    _kept.clear()


def identity(network: str, seed: int, run: str) -> Identity:
    """What a network that was measured before is now."""
    _end_with_parent()
    with _turn:
        return subject(network, seed, run).identity


def baseline(network: str, seed: int, run: str) -> Baseline:
    """The dense network, measured. Raises InputError where it can't be made or judged."""
    _end_with_parent()
    with _turn:
        found = subject(network, seed, run)
        with blaming(network, "classify its data"):
            measurement = measure(found.model, found.data, label="dense", latency_budget_s=0)
            accuracy = found.validated(found.model)
        return Baseline(found.identity, measurement, accuracy, found.conditions)


def trial(cell: Cell, run: str) -> Outcome:
    """One cell, planned, compressed and measured; a cell that can't be done says why."""
    _end_with_parent()
    with _turn:
        found = subject(cell.network, cell.seed, run)
        start = time.perf_counter()
        reason, measured = "", {}
        try:
            measured = _measured(cell, found)
        except InputError as fault:
            reason = str(fault)
        seconds = time.perf_counter() - start
        return Outcome(cell, found.identity, found.conditions, seconds, reason, **measured)


def _measured(cell: Cell, found: Subject) -> dict[str, Any]:
    chosen = found.plan(cell)
    small = found.factorisation.compress(chosen)
    with blaming(cell.network, "run when it is compressed"):
        return {
            "measurement": measure(small, found.data, label=cell.method, plan=chosen, latency_budget_s=0),
            "validation_accuracy": found.validated(small),
            "layers": found.factorisation.survey(chosen).counts,
        }


@cache
def _end_with_parent() -> None:
    """joblib's own worker processes outlive a killed parent by minutes; ours see it and end."""
    parent = parent_process()
    if parent is not None and current_process().name.startswith("LokyProcess"):
        threading.Thread(target=_watch, args=[parent.pid], name="lowrank_kit study", daemon=True).start()


def _watch(parent: int | None) -> None:
    while os.getppid() == parent and psutil.pid_exists(parent):
        time.sleep(1)
    os._exit(1)
