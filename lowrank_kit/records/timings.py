"""What was timed, with everything the times depend on."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from lowrank_kit.checks import InputError

__all__ = ["MODES", "Timing"]

# How kernels reach the device: one by one from Python, replayed as a CUDA graph, or compiled by torch.compile.
MODES = ("eager", "graph", "compiled")
CONDITIONS = ("batch", "device", "dtype", "layout", "threads", "mode", "precision")
QUANTILES = {"p05_s": 0.05, "p25_s": 0.25, "median_s": 0.5, "p75_s": 0.75, "p95_s": 0.95}
RESAMPLES = 1000


@dataclass(frozen=True, eq=False)
class Timing:
    """Raw wall times (k,) in seconds of one forward pass, and everything they depend on.

    `busy` is the fraction of the machine's processor time that other processes took meanwhile; `mode` one of MODES;
    `precision` how products of float32 are taken, "ieee" or, on tensor cores, "tf32"; `setup_s` the seconds that
    compiling or capturing took once. Networks that are timed together take turns: their k-th times belong together.
    """

    raw_s: np.ndarray
    batch: int
    device: str
    dtype: str
    layout: str
    threads: int
    busy: float = 0.0
    mode: str = "eager"
    precision: str = "ieee"
    setup_s: float = 0.0

    @property
    def conditions(self) -> dict[str, Any]:
        """What two times must have in common to be compared."""
        return {name: getattr(self, name) for name in CONDITIONS}

    @property
    def median_s(self) -> float:
        return float(np.median(self.raw_s))

    @property
    def p95_s(self) -> float:
        return float(np.quantile(self.raw_s, 0.95))

    @property
    def is_disturbed(self) -> bool:
        """More than a fifth of the machine was busy with other work: measure again when it is quiet."""
        return self.busy > 0.2

    def speedup(self, against: "Timing") -> float:
        """Median time of `against` over this one's: above 1 is faster. Raises if the conditions differ."""
        self._check_comparable(against)
        return against.median_s / self.median_s

    def speedup_interval(self, against: "Timing") -> tuple[float, float]:
        """The 95 % interval of the speed-up, by a bootstrap of the rounds in which both took their turn.

        Both times of a round are drawn together, since what disturbs one disturbs the other (Efron and Tibshirani
        1993, section 13.3). Raises if the conditions differ, or the numbers of rounds.
        """
        self._check_comparable(against)
        k = len(self.raw_s)
        if k != len(against.raw_s) or k == 0:
            raise InputError(
                f"an interval needs times taken in turn, as many of both; got {k} and {len(against.raw_s)} rounds."
            )
        rounds = np.random.default_rng(0).integers(k, size=(RESAMPLES, k))
        ratios = np.median(against.raw_s[rounds], axis=1) / np.median(self.raw_s[rounds], axis=1)
        low, high = np.quantile(ratios, (0.025, 0.975))
        return float(low), float(high)

    def to_row(self) -> dict[str, Any]:
        """Conditions and quantiles: what a table of many timings keeps of each."""
        quantiles = np.quantile(self.raw_s, list(QUANTILES.values())).tolist()
        found = dict(zip(QUANTILES, quantiles, strict=True))
        return self.conditions | found | {"rounds": len(self.raw_s), "busy": self.busy, "setup_s": self.setup_s}

    def _check_comparable(self, against: "Timing") -> None:
        mine, other = self.conditions, against.conditions
        unlike = [f"{name} ({mine[name]!r} and {other[name]!r})" for name in CONDITIONS if mine[name] != other[name]]
        if unlike:
            raise InputError(f"times can be compared only under the same conditions; got unlike {', '.join(unlike)}.")
