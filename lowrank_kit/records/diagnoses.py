"""What is known of the shape of data: how many dimensions they have, seen in several ways."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from html import escape
from typing import Literal, NamedTuple

import numpy as np

from lowrank_kit.checks import check_fraction

__all__ = ["Diagnosis", "Estimate", "Target"]

Verdict = Literal["low", "partly", "none"]
Reason = tuple[str, Mapping[str, float]]

# Directions for this fraction of the variance are enough.
ENOUGH = 0.95
# Neighbours that see less than this fraction of what they see in a flat cloud are on something curved, or in clusters.
CURVED = 0.8
# Inputs X with cond(X) below 1.5 are called white; variances are squares.
WHITE = 1.5**2
# What holds more of the variance than this holds most of it.
HALF = 0.5


class Estimate(NamedTuple):
    """A number with its 95 % interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.1f} [{self.low:.1f}, {self.high:.1f}]"


class Target(NamedTuple):
    """What is to be learned: how many classes or outputs, and the rank they give a linear map from the inputs."""

    kind: Literal["classes", "outputs"]
    n: int
    rank: int


@dataclass(frozen=True, eq=False)
class Diagnosis:
    """Whether data have few dimensions, flat or curved, and whether a target leaves the law of parsimony room.

    Parameters
    ----------
    n_points, n_used : how many there are, and how many of them were looked at
    n_dims : numbers of which a point consists
    variances : (k,) in the principal directions, descending; k = min(n_used - 1, coordinates that change at all)
    noise : the variance up to which a direction may be white noise (Gavish and Donoho 2014)
    two_nn, maximum_likelihood : intrinsic dimension, the second from `neighbours` neighbours
    flat : what `two_nn` finds in a flat (Gaussian) cloud of as many points with the same variances
    largest_share : fraction of the variance that lies in a single coordinate
    width : of the layers in question
    seed : by which points were drawn where not all were used, and the flat cloud
    """

    name: str
    n_points: int
    n_used: int
    n_dims: int
    variances: np.ndarray
    noise: float
    two_nn: Estimate
    maximum_likelihood: Estimate
    neighbours: int
    flat: float
    largest_share: float
    width: int
    target: Target | None = None
    seed: int = 0

    @cached_property
    def energy(self) -> np.ndarray:
        """Fraction (k,) of the variance in the leading 1, 2, ..., k directions."""
        return np.asarray(np.cumsum(self.variances) / np.sum(self.variances))

    def directions(self, fraction: float) -> int:
        """How many principal directions hold at least this fraction of the variance."""
        check_fraction(fraction, name="fraction")
        return min(int(np.searchsorted(self.energy, fraction)) + 1, len(self.variances))

    @property
    def above_noise(self) -> int:
        """Directions that stand out of noise that is equally strong in all of them."""
        return int(np.count_nonzero(self.variances > self.noise))

    @property
    def participation_ratio(self) -> float:
        """(sum l)^2 / sum l^2 of the variances: k equal ones give k."""
        return float(self.variances.sum() ** 2 / np.square(self.variances).sum())

    @property
    def kept(self) -> int:
        """Directions that a linear method needs: for 95 % of the variance, without those that noise may explain."""
        return min(self.directions(ENOUGH), self.above_noise)

    @property
    def share(self) -> float:
        """Fraction of the variance in the directions kept."""
        return float(self.energy[self.kept - 1]) if self.kept else 0.0

    @property
    def condition(self) -> float:
        """Largest over smallest variance of the directions kept (of all that 95 % take, if none is); 1 is white."""
        return float(self.variances[0] / self.variances[(self.kept or self.directions(ENOUGH)) - 1])

    @property
    def is_curved(self) -> bool:
        """Whether neighbours see clearly fewer dimensions than in a flat cloud of the same variances."""
        return self.two_nn.high < CURVED * self.flat

    @property
    def has_room(self) -> bool | None:
        """Whether the law of parsimony leaves anything idle: 2 r < width, with r the rank of the target."""
        return None if self.target is None else 2 * self.target.rank < self.width

    @property
    def verdict(self) -> Verdict:
        """Whether the data have the few dimensions that low rank lives on.

        "low" where a quarter of the k directions is kept or less, so that a square layer in factors of that rank
        stores half or less, where these hold half of the variance, and where a target leaves room.
        "partly" where less than a half is kept, and where the data are curved.
        "none" otherwise: two factors would be no smaller than the layer.
        """
        total = len(self.variances)
        if 0 < 4 * self.kept <= total and self.share >= HALF and self.has_room is not False:
            return "low"
        return "partly" if 0 < 2 * self.kept < total or self.is_curved else "none"

    @property
    def reasons(self) -> tuple[Reason, ...]:
        """Why, most telling first: pairs of a key and the numbers that belong to it."""
        return self._linear, self._neighbours, *self._law, *self._cautions

    @property
    def _linear(self) -> Reason:
        total, kept = len(self.variances), self.kept
        key = "few" if 4 * kept <= total else "some" if 2 * kept < total else "many"
        return "noise" if kept == 0 else key, {"kept": kept, "total": total, "share": self.share}

    @property
    def _neighbours(self) -> Reason:
        value, low, high = self.two_nn
        seen = {"value": value, "low": low, "high": high, "flat": self.flat}
        return "curved" if self.is_curved else "flat", seen

    @property
    def _law(self) -> list[Reason]:
        white: Reason = ("white" if self.condition <= WHITE else "tinted", {"condition": self.condition})
        if self.target is None:
            return [white]
        facts = {"rank": self.target.rank, "width": self.width, "twice": 2 * self.target.rank}
        return [("room" if self.has_room else "no_room", facts), white]

    @property
    def _cautions(self) -> list[Reason]:
        scarce = len(self.variances) == self.n_used - 1
        found: dict[str, tuple[bool, dict[str, float]]] = {
            "faint": (0 < self.share < HALF, {"share": 1 - self.share}),
            "scarce": (scarce, {"used": self.n_used, "dims": self.n_dims}),
            "units": (self.largest_share > HALF and self.n_dims > 2, {"share": self.largest_share}),
        }
        return [(key, facts) for key, (holds, facts) in found.items() if holds]

    @property
    def facts(self) -> dict[str, str]:
        """All figures as written in tables, in no language but numbers."""
        rows = {
            "points": f"{self.n_points:,}",
            "used": f"{self.n_used:,}",
            "dimensions": f"{self.n_dims:,}",
            "directions": f"{len(self.variances):,}",
            **{f"variance_{percent}": f"{self.directions(percent / 100):,}" for percent in (90, 95, 99)},
            "above_noise": f"{self.above_noise:,}",
            "participation_ratio": f"{self.participation_ratio:.1f}",
            "two_nn": str(self.two_nn),
            "flat": f"{self.flat:.1f}",
            "maximum_likelihood": f"{self.maximum_likelihood}, k = {self.neighbours}",
            "condition": f"{self.condition:.3g}",
        }
        if self.target is not None:
            sign = "<" if self.has_room else "≥"
            rows |= {self.target.kind: f"{self.target.n:,}"}
            rows |= {"room": f"2 × {self.target.rank:,} {sign} {self.width:,}"}
        return rows

    def _repr_html_(self) -> str:
        rows = {"data": self.name, "verdict": self.verdict, **self.facts}
        cells = "".join(f"<tr><th>{k.replace('_', ' ')}</th><td>{escape(v)}</td></tr>" for k, v in rows.items())
        return f"<table><tbody>{cells}</tbody></table>"

    def __repr__(self) -> str:
        return (
            f"Diagnosis({self.name}: {self.verdict}; {self.kept} of {len(self.variances)} directions, "
            f"intrinsic dimension {self.two_nn}; {self.n_used} of {self.n_points} points, seed {self.seed})"
        )
