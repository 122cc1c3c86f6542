"""What the layers of a network read of some examples, direction by direction: what a latent board paints from."""

from dataclasses import dataclass

import numpy as np

__all__ = ["LatentLayer", "LatentTables"]


@dataclass(frozen=True, eq=False)
class LatentLayer:
    """One layer on the examples.

    Parameters
    ----------
    shape, groups : of its matrix, and how many of them there are
    coordinates : (n, groups k), z = S Vh h averaged over positions, the directions that the lowest ranks keep first
    """

    name: str
    shape: tuple[int, int]
    groups: int
    coordinates: np.ndarray

    @property
    def full_rank(self) -> int:
        return min(self.shape)

    def share(self, rank: int) -> float:
        """The fraction of the variance of what the layer reads that lies in the directions kept at this rank."""
        variance = self.coordinates.var(axis=0, dtype=np.float64)
        total = float(variance.sum())
        return float(variance[: rank * self.groups].sum() / total) if total > 0 else 1.0


@dataclass(frozen=True, eq=False)
class LatentTables:
    """A network's layers on n examples: their `labels` (n,), `images` (n, height, width) in [0, 1] where they are some.

    `dense` (n, classes) are the probabilities that the whole network gives.
    """

    name: str
    labels: np.ndarray
    images: np.ndarray | None
    dense: np.ndarray
    layers: tuple[LatentLayer, ...]

    def __getitem__(self, layer: str) -> LatentLayer:
        return {found.name: found for found in self.layers}[layer]

    def accuracy(self, probabilities: np.ndarray) -> float:
        """Fraction of the examples that probabilities (n, classes) get right."""
        return float((probabilities.argmax(axis=1) == self.labels).mean())
