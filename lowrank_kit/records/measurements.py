"""What was measured, with the conditions it was measured under."""

import math
from dataclasses import dataclass, replace
from functools import cached_property
from statistics import NormalDist

import numpy as np

from lowrank_kit.checks import InputError
from lowrank_kit.records.plans import RankPlan
from lowrank_kit.records.timings import Timing

__all__ = ["Change", "Measurement", "TrainingMemory", "wilson"]

# Two-sided 95 %.
Z = NormalDist().inv_cdf(0.975)


@dataclass(frozen=True)
class TrainingMemory:
    """Bytes that a network holds while it is trained on a batch; in use, only the weights."""

    weights: int
    gradients: int
    moments: int
    activations: int

    @property
    def total(self) -> int:
        return self.weights + self.gradients + self.moments + self.activations

    def __str__(self) -> str:
        parts = (f"{name} {getattr(self, name) / 2**20:.1f}" for name in self.__dataclass_fields__)
        return f"{self.total / 2**20:.1f} MiB ({', '.join(parts)})"


def wilson(p: float, n: int) -> tuple[float, float]:
    """The 95 % interval of a fraction of n examples (Wilson 1927)."""
    # In full, because scipy.stats would take half a second and 45 MB of every kernel for these three lines.
    centre = (p + Z**2 / (2 * n)) / (1 + Z**2 / n)
    half_width = Z / (1 + Z**2 / n) * math.sqrt(p * (1 - p) / n + Z**2 / (4 * n**2))
    return max(centre - half_width, 0.0), min(centre + half_width, 1.0)


@dataclass(frozen=True)
class Change:
    """A paired difference in accuracy on the same n examples, with its 95 % interval, as fractions."""

    value: float
    low: float
    high: float
    n_examples: int

    @classmethod
    def between(cls, now: np.ndarray, before: np.ndarray) -> "Change":
        """`now` less `before`, which tell whether each of the same examples (n,) was right.

        The interval is the adjusted Wald interval for paired proportions (Bonett and Price 2012, equation 3):
        one is added to either count of discordant pairs.
        """
        n = len(now)
        gained, lost = int(np.count_nonzero(now & ~before)), int(np.count_nonzero(~now & before))
        up, down = (gained + 1) / (n + 2), (lost + 1) / (n + 2)
        half_width = Z * math.sqrt((up + down - (up - down) ** 2) / (n + 2))
        low, high = max(up - down - half_width, -1.0), min(up - down + half_width, 1.0)
        return cls((gained - lost) / n, float(low), float(high), n)

    def __str__(self) -> str:
        value, low, high = (f"{100 * part:+.1f}" for part in (self.value, self.low, self.high))
        return f"{value} points [{low}, {high}], n = {self.n_examples}, paired"


@dataclass(frozen=True, eq=False)
class Measurement:
    """One network on one set of examples; predictions (n,) are kept so that changes can be paired."""

    label: str
    n_params: int
    size_bytes: int
    macs: int
    labels: np.ndarray
    predictions: np.ndarray
    timing: Timing | None = None
    plan: RankPlan | None = None

    @property
    def n_examples(self) -> int:
        return len(self.labels)

    @cached_property
    def correct(self) -> np.ndarray:
        """Whether each example (n,) was classified right."""
        return self.labels == self.predictions

    @property
    def accuracy(self) -> float:
        return float(self.correct.mean())

    @cached_property
    def interval(self) -> tuple[float, float]:
        """The 95 % interval of the accuracy."""
        return wilson(self.accuracy, self.n_examples)

    @property
    def latency_s(self) -> np.ndarray | None:
        """Raw wall times (k,) in seconds, where latency was measured."""
        return None if self.timing is None else self.timing.raw_s

    @property
    def per_class(self) -> dict[int, float]:
        """Accuracy on the examples of each class."""
        return {int(c): float(self.correct[self.labels == c].mean()) for c in np.unique(self.labels)}

    def take(self, index: np.ndarray) -> "Measurement":
        """The same network on some of its examples."""
        return replace(self, labels=self.labels[index], predictions=self.predictions[index])

    def agreement(self, against: "Measurement") -> float:
        """Fraction of the examples on which both networks predict the same class."""
        self._check_same_examples(against)
        return float((self.predictions == against.predictions).mean())

    def change(self, against: "Measurement") -> Change:
        """Accuracy minus that of `against` on the same examples, with its interval."""
        self._check_same_examples(against)
        return Change.between(self.correct, against.correct)

    def speedup(self, against: "Measurement") -> float:
        """How many times faster than `against`; raises where either was not timed or the conditions differ."""
        if self.timing is None or against.timing is None:
            raise InputError("both measurements must hold a latency; measure them with `latency_budget_s` above 0.")
        return self.timing.speedup(against.timing)

    def _check_same_examples(self, against: "Measurement") -> None:
        if not np.array_equal(self.labels, against.labels):
            raise InputError(
                "a change is paired: both measurements must be on the same examples; "
                f"got {self.n_examples} and {against.n_examples} examples with different labels."
            )

    def __repr__(self) -> str:
        low, high = self.interval
        return (
            f"Measurement({self.label}: accuracy {self.accuracy:.1%} [{low:.1%}, {high:.1%}], n = {self.n_examples}; "
            f"{self.n_params:,} parameters; {self.macs:,} multiply-adds)"
        )
