"""How well a network tells what it knows from what it does not."""

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np

from lowrank_kit.checks import InputError
from lowrank_kit.records.measurements import Change

__all__ = ["Recognition"]

Resampled = Literal["auroc", "rejected"]
Figure = Literal["accuracy", "auroc", "rejected"]
RESAMPLES = 500
# An example is let through where the network is at least as sure of it as it is of this fraction of the known ones.
KEPT = 0.95


@dataclass(frozen=True, eq=False)
class Recognition:
    """How sure a network is of examples of classes that it was trained on, and of others that it never met.

    Parameters
    ----------
    score : what sureness means
    known, unknown : (n,) and (m,) sureness of each example, larger is surer
    correct : (n,) whether the network classes a known example rightly
    """

    label: str
    score: str
    known: np.ndarray
    unknown: np.ndarray
    correct: np.ndarray

    @property
    def accuracy(self) -> float:
        """On the known examples."""
        return float(self.correct.mean())

    @property
    def auroc(self) -> float:
        """The chance that a known example is surer than an unknown one, ties counting half; 0.5 is guessing."""
        return float(self._surer.mean(dtype=np.float64))

    @property
    def rejected(self) -> float:
        """Fraction of the unknown examples below the threshold that 95 % of the known ones pass."""
        threshold = np.sort(self.known)[int((1 - KEPT) * len(self.known))]
        return float((self.unknown < threshold).mean())

    def interval(self, figure: Resampled) -> tuple[float, float]:
        """The 95 % interval of `auroc` or `rejected` by the bootstrap, known and unknown drawn apart."""
        low, high = np.quantile(self._resampled[figure], (0.025, 0.975))
        return float(low), float(high)

    def change(self, against: "Recognition", figure: Figure) -> Change:
        """One of the figures minus that of `against` on the same examples, paired.

        The interval of `auroc` and `rejected` is that of the bootstrap, of `accuracy` as in :class:`Change`.
        """
        sizes = [(len(r.known), len(r.unknown)) for r in (self, against)]
        if sizes[0] != sizes[1]:
            raise InputError(f"a change is paired: both must be on the same examples; got {sizes[0]} and {sizes[1]}.")
        if figure == "accuracy":
            return Change.between(self.correct, against.correct)
        low, high = np.quantile(self._resampled[figure] - against._resampled[figure], (0.025, 0.975))
        value = getattr(self, figure) - getattr(against, figure)
        return Change(float(value), float(low), float(high), sum(sizes[0]) if figure == "auroc" else sizes[0][1])

    @cached_property
    def _resampled(self) -> dict[str, np.ndarray]:
        """Both figures (RESAMPLES,) where each example counts as often as it was drawn, the same for all networks."""
        rng, (n, m) = np.random.default_rng(0), (len(self.known), len(self.unknown))
        known, unknown = (rng.multinomial(k, np.full(k, 1 / k), RESAMPLES).astype(np.float32) for k in (n, m))
        order = np.argsort(self.known, kind="stable")
        passed = np.cumsum(known[:, order], axis=1)
        threshold = self.known[order][(passed <= int((1 - KEPT) * n)).sum(axis=1)]
        return {
            "auroc": np.einsum("bm,bm->b", known @ self._surer, unknown) / (n * m),
            "rejected": np.einsum("bm,bm->b", self.unknown < threshold[:, None], unknown) / m,
        }

    @property
    def _surer(self) -> np.ndarray:
        """(n, m): 1 where a known example is surer than an unknown one, 0.5 where they are equal."""
        known, unknown = self.known[:, None], self.unknown
        return ((known > unknown) + 0.5 * (known == unknown)).astype(np.float32)

    def __repr__(self) -> str:
        return (
            f"Recognition({self.label}: accuracy {self.accuracy:.1%} on {len(self.known)} known; AUROC "
            f"{self.auroc:.1%}, {self.rejected:.0%} of {len(self.unknown)} unknown rejected, by {self.score})"
        )
