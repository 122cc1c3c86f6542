"""What cutting costs, over ranks, layers and classes."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from lowrank_kit.checks import InputError
from lowrank_kit.records.measurements import Change

__all__ = ["Grid", "JointSearch", "RankCurve", "SearchStep"]

Measure = Literal["accuracy", "change", "advantage", "learned", "kept"]
Axis = Literal["layer", "class", "fraction", "cut", "tolerance", "rate"]
# Fractions of examples are compared up to rounding.
ROUNDING = 1e-9


@dataclass(frozen=True, eq=False)
class Grid:
    """Values (R, C) over two axes, NaN where there is none.

    Parameters
    ----------
    measure : what the values are, as fractions: "accuracy", its "change" against the whole network, the "advantage"
        of one method over another, the accuracy "learned" in a training, or the added directions "kept" in it
    row_axis, column_axis : what rows and columns are, "layer", "class", "fraction" of the full rank, "cut",
        "tolerance" or learning "rate"
    trials : how many examples a cell speaks of
    notes : (R, C) a short text for every cell, such as its rank
    """

    measure: Measure
    row_axis: Axis
    rows: tuple[str, ...]
    column_axis: Axis
    columns: tuple[str, ...]
    values: np.ndarray
    trials: int
    notes: np.ndarray | None = None

    def __post_init__(self) -> None:
        shape = len(self.rows), len(self.columns)
        if self.values.shape != shape or (self.notes is not None and self.notes.shape != shape):
            raise InputError(
                f"`values` and `notes` must be {shape[0]} x {shape[1]}, a cell for every row and column; got values of "
                f"shape {self.values.shape}{'' if self.notes is None else f' and notes of shape {self.notes.shape}'}."
            )


@dataclass(frozen=True, eq=False)
class RankCurve:
    """One layer at several ranks, the rest of the network left whole.

    Parameters
    ----------
    shape : (m, n) of the layer's matrix
    ranks : (R,), rising
    labels, dense : (n,) the classes of the examples, and what the whole network predicts
    predictions : (R, n) what is predicted at each rank
    """

    layer: str
    shape: tuple[int, int]
    ranks: np.ndarray
    labels: np.ndarray
    dense: np.ndarray
    predictions: np.ndarray

    @property
    def n_examples(self) -> int:
        return len(self.labels)

    @property
    def dense_accuracy(self) -> float:
        return float((self.dense == self.labels).mean())

    @property
    def accuracy(self) -> np.ndarray:
        """Fraction (R,) of the examples that are right; on training examples this is recall."""
        return (self.predictions == self.labels).mean(axis=1)

    @property
    def classes(self) -> np.ndarray:
        return np.unique(self.labels)

    def at(self, rank: int) -> float:
        """The accuracy at one of the ranks."""
        return float(self.accuracy[self._index(rank)])

    def class_accuracy(self, rank: int) -> np.ndarray:
        """The accuracy on each of the classes (classes,) at one of the ranks."""
        right = self.predictions[self._index(rank)] == self.labels
        return np.array([right[self.labels == c].mean() for c in self.classes])

    def change(self, rank: int) -> Change:
        """Accuracy at one of the ranks minus that of the whole network, paired, with its 95 % interval."""
        return Change.between(self.predictions[self._index(rank)] == self.labels, self.dense == self.labels)

    def take(self, index: np.ndarray) -> "RankCurve":
        """The same cuts on some of the examples."""
        return replace(self, labels=self.labels[index], dense=self.dense[index], predictions=self.predictions[:, index])

    def capacity(self, tolerance: float) -> int:
        """The smallest of the ranks that loses at most this fraction of the examples. Raises InputError if none is."""
        enough = self.ranks[self.accuracy >= self.dense_accuracy - tolerance - ROUNDING]
        if not len(enough):
            raise InputError(
                f"`ranks` must hold one that loses at most {tolerance:.1%}; rank {self.ranks[-1]} of {self.layer} "
                f"still loses {self.dense_accuracy - self.accuracy[-1]:.1%}. Add larger ranks."
            )
        return int(enough[0])

    def _index(self, rank: int) -> int:
        found = np.flatnonzero(self.ranks == rank)
        if not len(found):
            raise InputError(f"`rank` must be one of the curve's, {', '.join(map(str, self.ranks))}; got {rank!r}.")
        return int(found[0])


@dataclass(frozen=True)
class SearchStep:
    """Ranks that were tried on all layers at once: the numbers they store, and the recall.

    `changed` names the layer that shrank; it is empty while all layers are scaled together.
    """

    ranks: Mapping[str, int]
    stored: int
    recall: float
    changed: str = ""


@dataclass(frozen=True)
class JointSearch:
    """The way of a greedy search to small ranks for all layers at once.

    It first scales the capacities of the single layers, the first step, until recall is within the tolerance, and
    then shrinks one layer at a time. `dense_recall` is that of the whole network on the `n_examples`, `dense_stored`
    the numbers in its matrices.
    """

    steps: tuple[SearchStep, ...]
    tolerance: float
    dense_recall: float
    dense_stored: int
    n_examples: int

    @property
    def alone(self) -> SearchStep:
        """Every layer at the capacity that it has by itself."""
        return self.steps[0]

    @property
    def best(self) -> SearchStep:
        """The last ranks, the smallest found to be within the tolerance."""
        return self.steps[-1]
