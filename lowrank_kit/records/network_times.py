"""How long a network should take at any ranks, from times of its layers alone, and how far off that has been."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

__all__ = ["NetworkTimes"]

# A prediction's error is read off the settings whose predictions lie nearest to it, and not off fewer than so many.
NEIGHBOURS = 10
FEWEST = 5


@dataclass(frozen=True, eq=False)
class NetworkTimes:
    """The dense network's time, and what share of it each layer takes at every rank.

    Parameters
    ----------
    batch : examples a pass
    dense_s : seconds a pass of the dense network, when it was last timed; NaN before
    shares : {layer: (k,) or for pairs of ranks (m, n)}, the layer's time alone as a share of the dense network's, at
        full rank the dense layer's; NaN where it was not timed, and 0 where such a layer stays dense
    predicted, observed : (t,) seconds predicted for settings, and what they were then found to take

    >>> times = NetworkTimes(1, 0.01, {"fc": np.array([0.1, 0.3, 0.6])})
    >>> round(times.predict({"fc": 1}), 6), times.predict({"fc": 3})
    (0.005, 0.01)
    """

    batch: int
    dense_s: float
    shares: Mapping[str, np.ndarray]
    predicted: np.ndarray = field(default_factory=lambda: np.empty(0))
    observed: np.ndarray = field(default_factory=lambda: np.empty(0))

    def predict(self, ranks: Mapping[str, Any]) -> float | None:
        """Seconds a pass: the dense network's less what its layers save. None where that is not known."""
        whole = sum(float(shares.flat[-1]) for shares in self.shares.values())
        now = sum(self._share(name, ranks[name]) for name in self.shares)
        if math.isnan(now + self.dense_s):
            return None
        # No less than the layers take alone: where these add up to more than the network, the rest of it has no share.
        return self.dense_s * max(1 - (whole - now), now / max(whole, 1.0))

    def error(self, predicted: float) -> float | None:
        """The error, as a fraction, that 9 in 10 of the 10 settings with the nearest predictions stayed within.

        Of fewer than 10 it is the largest; None until there are five.
        """
        if len(self.predicted) < FEWEST:
            return None
        nearest = np.argsort(np.abs(self.predicted - predicted), kind="stable")[:NEIGHBOURS]
        errors = np.abs(self.predicted / self.observed - 1)[nearest]
        return float(np.quantile(errors, 0.9, method="higher"))

    def knowing(self, layer: str, shares: np.ndarray) -> "NetworkTimes":
        """With a layer's shares of the dense network's time, at all its ranks."""
        return replace(self, shares={**self.shares, layer: shares.astype(np.float32)})

    def seen(self, ranks: Mapping[str, Any], seconds: float, dense_s: float) -> "NetworkTimes":
        """With a setting that was timed, in turn with the dense network, after it had been predicted."""
        predicted, now = self.predict(ranks), replace(self, dense_s=dense_s)
        if predicted is None or self._is_dense(ranks):
            return now
        pairs = np.append(self.predicted, predicted), np.append(self.observed, seconds)
        return replace(now, predicted=pairs[0], observed=pairs[1])

    def _is_dense(self, ranks: Mapping[str, Any]) -> bool:
        return all(self._share(name, ranks[name]) == shares.flat[-1] for name, shares in self.shares.items())

    def _share(self, layer: str, rank: Any) -> float:
        return float(self.shares[layer][tuple(np.atleast_1d(rank) - 1)])
