"""What became of a network that learnt something new, by several ways of letting it."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from lowrank_kit.checks import InputError

__all__ = ["AccuracyCurve", "UpdateValues"]


@dataclass(frozen=True, eq=False)
class AccuracyCurve:
    """Mean accuracies (T,) over seeds, as fractions, and the ends of their 95 % intervals.

    Parameters
    ----------
    method : "lora", "deep-lora", "full" (the whole network is trained) or "zero-shot" (nothing is)
    axis : what they are over, numbers of "examples" or "rank"
    at : (T,), rising
    seeds, n : how many trainings and how many test examples each mean speaks of
    """

    method: str
    axis: Literal["examples", "rank"]
    at: np.ndarray
    mean: np.ndarray
    low: np.ndarray
    high: np.ndarray
    seeds: int
    n: int

    def __post_init__(self) -> None:
        sizes = {len(part) for part in (self.at, self.mean, self.low, self.high)}
        if len(sizes) != 1:
            raise InputError(f"`at`, `mean`, `low` and `high` must be equally long; got sizes {sorted(sizes)}.")

    def __repr__(self) -> str:
        points = ", ".join(f"{mean:.1%} at {at}" for at, mean in zip(self.at.tolist(), self.mean, strict=True))
        return f"AccuracyCurve({self.method} over {self.axis}: {points})"


@dataclass(frozen=True, eq=False)
class UpdateValues:
    """The leading singular values (seeds, k), descending, of what training added to the weight of one layer."""

    method: str
    layer: str
    values: np.ndarray
    rank: int | None = None
    examples: int = 0

    def __repr__(self) -> str:
        rank = "" if self.rank is None else f" of rank {self.rank}"
        return f"UpdateValues({self.method}{rank}, {self.layer}, {len(self.values)} seeds)"
