"""The training behind a player, a piece of work at a time, so that it can be stopped between any two."""

import copy
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from lowrank_kit.checks import InputError, check_labels
from lowrank_kit.measurement.cost import macs, n_params, size_bytes
from lowrank_kit.measurement.quality import logits_by_batch
from lowrank_kit.methods.adaptive import Adaptation, AdaptiveTraining
from lowrank_kit.methods.batches import Batches
from lowrank_kit.methods.randomness import random_state, set_random_state
from lowrank_kit.methods.training import one_cycle, stacked
from lowrank_kit.models.factored import View
from lowrank_kit.records import Data, Examples, Measurement, RankPlan, Trajectory
from lowrank_kit.records.measurements import wilson

__all__ = ["Course", "Recipe"]

# How many validation examples are looked at on the way, and how often.
LOOKED_AT = 300
LOOKS = 12


@dataclass(frozen=True)
class Recipe:
    """How a player trains: stochastic gradient descent with momentum, the learning rate in one cycle."""

    epochs: int = 3
    batch: int = 64
    learning_rate: float = 0.05
    local_steps: int = 5
    burn_in: int = 0
    seed: int = 0
    rank: float = 0.5
    keep: tuple[str, ...] | None = None
    view: View = "tucker"
    momentum: float = 0.9
    weight_decay: float = 2e-3
    label_smoothing: float = 0.05

    def __post_init__(self) -> None:
        for name in ("epochs", "batch"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise InputError(f"`{name}` must be a whole number of at least 1; got {value!r}.")
        if not self.learning_rate > 0:
            raise InputError(f"`learning_rate` must be above 0; got {self.learning_rate!r}.")

    def adaptation(self, tolerance: float, ceiling: int | None) -> Adaptation:
        return Adaptation(tolerance=tolerance, ceiling=ceiling, local_steps=self.local_steps, burn_in=self.burn_in)

    def optimiser(self, parameters: Any) -> torch.optim.Optimizer:
        return torch.optim.SGD(
            parameters, lr=self.learning_rate, momentum=self.momentum, nesterov=True, weight_decay=self.weight_decay
        )


class Course:
    """One training, from the network as it is given to its test accuracy.

    Parameters
    ----------
    network : a copy of it is trained
    data : with training examples; on some of the validation ones accuracy is looked at on the way, on the test ones
        once, at the end
    adaptation : how ranks are found; the training's may be replaced while it runs
    dense : what the test accuracy is compared with

    Batches are drawn from the recipe's seed. A network that draws itself, as dropout does, draws from the generator of
    the whole process, set to the recipe's numbers for each piece of work: what another thread draws in that moment
    mixes with it.
    """

    def __init__(
        self,
        network: nn.Module,
        data: Data,
        adaptation: Adaptation,
        recipe: Recipe,
        *,
        dense: Measurement | None = None,
    ):
        if data.train is None:
            raise InputError(
                "`data` must hold training examples, Data(name, validation, test, train); "
                f"{data.name!r} has validation and test examples only."
            )
        if dense is not None and not np.array_equal(dense.labels, data.test.y):
            raise InputError("`dense` must be measured on the test examples of `data`; its labels are other ones.")
        self.data, self.recipe, self.dense = data, recipe, dense
        self.record: Measurement | None = None
        self.training = AdaptiveTraining(
            network,
            recipe.optimiser,
            adaptation,
            rank=recipe.rank,
            keep=recipe.keep,
            view=recipe.view,
            loss=partial(F.cross_entropy, label_smoothing=recipe.label_smoothing),
            schedule=one_cycle,
            name=data.name,
        )
        self.batches: Any = Batches.of(data.train, size=recipe.batch, seed=recipe.seed)
        self.training.total = recipe.epochs * len(self.batches)
        order = data.validation.stratified_order()[:LOOKED_AT]
        self.looked_at = data.validation.take(np.sort(order))
        self._n_params = n_params(network)
        self._looked = -np.inf
        self._random = {"cpu": torch.Generator().manual_seed(recipe.seed).get_state()}
        self._pieces = self._work()
        self._record_start()

    @property
    def expected_rows(self) -> int:
        """How many rows the trajectory will have, where no step fails: the start, and one for each truncation."""
        return 1 - (-self.training.total // self.training.adaptation.local_steps)

    @property
    def rows(self) -> list[dict[str, Any]]:
        """What was recorded so far, also while the training goes on in another thread."""
        return [dict(row) for row in self.training.rows]

    @property
    def trajectory(self) -> Trajectory:
        seen = copy.copy(self.training)
        seen.rows = self.rows
        found = seen.trajectory
        return replace(found, facts={**found.facts, **self.facts})

    @property
    def facts(self) -> dict[str, Any]:
        """What holds for the whole training, in plain words and numbers."""
        layers = self.training.layers.items()
        found: dict[str, Any] = {
            **asdict(self.recipe),
            "n_train": len(self.batches.y),
            "n_params": self._n_params,
            "n_looked_at": len(self.looked_at),
            "total": self.training.total,
            "matrices": [name for name, layer in layers if layer.independent_modes == 1],
        }
        return found | ({"test": self.outcome} if self.outcome else {})

    @property
    def outcome(self) -> dict[str, Any]:
        """What is known of the trained network on the test examples; nothing before the end."""
        if self.record is None:
            return {}
        change = None if self.dense is None else self.record.change(self.dense)
        return {
            "accuracy": self.record.accuracy,
            "interval": list(self.record.interval),
            "n": self.record.n_examples,
            "n_params": self.record.n_params,
            "change": None if change is None else [change.value, change.low, change.high],
        }

    @property
    def progress(self) -> dict[str, int]:
        """How many batches are done and how many there are, and how many steps were undone."""
        done = self.training.epoch * len(self.batches) + self.training.batches
        return {"done": done, "total": self.training.total, "undone": len(self.training.failures)}

    def advance(self) -> bool:
        """Do the next piece of work; False where nothing is left to do."""
        with self._own_random():
            return next(self._pieces, self) is not self

    def compressed(self) -> tuple[nn.Module, RankPlan]:
        """The network as it stands, in plain layers, and its plan; the training is left where it is."""
        shared = {id(self.batches): self.batches}  # which may be large, and does not change
        return copy.deepcopy(self.training, shared).compressed()

    def _work(self) -> Iterator[None]:
        training = self.training
        yield from self._look()
        for _ in training.run(self.batches, self.recipe.epochs):
            self._record_settings()
            yield
            if self._is_due():
                yield from self._look()
        if training.position:
            training.truncate()
            self._record_settings()
        yield from self._look()
        yield from self._test()

    def _record_start(self) -> None:
        """The ranks and spectra that the network begins with, which no truncation tells of."""
        layers = self.training.layers.values()
        values = [stacked([part.cpu().numpy() for part, _ in layer.directions()]) for layer in layers]
        ranks = stacked([layer.ranks for layer in layers])
        self.training.record(size=self.training.n_factored, ranks=ranks, values=stacked(values))
        self._record_settings()

    def _record_settings(self) -> None:
        """The ceiling that this step's truncation heeded, if it ended with one."""
        row = self.training.rows[-1]
        if row["step"] == self.training.steps and "ceiling" not in row:
            self.training.record(ceiling=self.training.adaptation.ceiling or np.nan)

    def _is_due(self) -> bool:
        """After a truncation, and not too soon after the last look."""
        steps = self.training.steps
        return self.training.rows[-1]["step"] == steps and steps - self._looked >= self.training.total / LOOKS

    def _look(self) -> Iterator[None]:
        """Accuracy on some of the validation examples, unless it is known."""
        if self._looked != self.training.steps:
            found = yield from _predicted(self.training.model, self.looked_at)
            accuracy = float((found == self.looked_at.y).mean())
            low, high = wilson(accuracy, len(found))
            self.training.record(accuracy=accuracy, accuracy_low=low, accuracy_high=high)
            self._looked = self.training.steps

    def _test(self) -> Iterator[None]:
        network, plan = self.training.compressed()
        test = self.data.test
        found = yield from _predicted(network, test)
        counts = n_params(network), size_bytes(network), macs(network, test.x)
        self.record = Measurement("adaptive", *counts, test.y, found, plan=plan)

    @contextmanager
    def _own_random(self) -> Iterator[None]:
        before = random_state()
        set_random_state(self._random)
        try:
            yield
        finally:
            self._random = dict(random_state())
            set_random_state(before)


def _predicted(model: nn.Module, examples: Examples) -> Generator[None, None, np.ndarray]:
    """The predicted class (n,) of every example, after as many pieces of work as there are batches."""
    scores = []
    for part in logits_by_batch(model, examples.x):
        check_labels(examples.y, part.shape[1])
        scores.append(part)
        yield
    return np.concatenate(scores).argmax(axis=1)
