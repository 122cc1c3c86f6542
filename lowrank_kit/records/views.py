"""A layer's inputs, seen through its weight."""

from dataclasses import dataclass

import numpy as np

__all__ = ["LatentView"]


@dataclass(frozen=True, eq=False)
class LatentView:
    """What one layer reads of its inputs h, two numbers an example: z = S Vh h, averaged over positions.

    Parameters
    ----------
    rank : how many directions are kept
    labels : (n,) the classes of the examples
    kept, cut : (n, 2) the two strongest directions that are kept, and the two strongest that are not
    principal : (n, 2) the inputs themselves in their own two principal directions, which know nothing of the weight
    separation : of these three, the fraction of the variance that lies between the classes
    readable : accuracy of the nearest class mean in all directions that are kept, and in all that are not
    dimension : intrinsic dimension of the inputs (two nearest neighbours)
    """

    layer: str
    rank: int
    labels: np.ndarray
    kept: np.ndarray
    cut: np.ndarray
    principal: np.ndarray
    separation: tuple[float, float, float]
    readable: tuple[float, float]
    dimension: float
