"""What changed while something was trained, step by step."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from lowrank_kit.checks import InputError

__all__ = ["Trajectory"]


@dataclass(frozen=True, eq=False)
class Trajectory:
    """Named arrays over the steps (T,) of a training, NaN where something was not looked at.

    Parameters
    ----------
    name : what was trained
    steps : (T,) how many steps had been taken, rising
    arrays : each (T, ...), such as "loss" (T,), "accuracy" (T,), "ranks" (T, L, d) or "values" (T, L, d, k)
    layers : the names of the L layers that arrays over layers speak of
    facts : plain words and numbers for the whole training: settings, sizes, when and where it was recorded
    """

    name: str
    steps: np.ndarray
    arrays: Mapping[str, np.ndarray]
    layers: tuple[str, ...] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        wrong = [name for name, values in self.arrays.items() if len(values) != len(self.steps)]
        if wrong:
            raise InputError(
                f"`arrays` must have an entry for each of the {len(self.steps)} steps; {wrong[0]!r} has "
                f"{len(self.arrays[wrong[0]])}."
            )

    def __len__(self) -> int:
        return len(self.steps)

    def __getitem__(self, name: str) -> np.ndarray:
        return self.arrays[name]

    def last(self, name: str) -> Any:
        """The last entry of an array that is not NaN throughout. Raises InputError where there is none."""
        known = [values for values in self.arrays.get(name, ()) if not np.isnan(values).all()]
        if not known:
            raise InputError(f"{name!r} was not looked at in this training, or not yet.")
        return known[-1]

    def plateau(self, name: str, *, within: float = 0.0) -> int:
        """The first recorded step from which an array (T, ...) stays within this distance of its last entry."""
        last, values = self.last(name), np.asarray(self.arrays[name], dtype=np.float64)
        far = np.abs(values - last).reshape(len(self), -1)
        outside = np.flatnonzero((np.nan_to_num(far) > within).any(axis=1))
        start = outside[-1] + 1 if len(outside) else 0
        return int(self.steps[start:][~np.isnan(far[start:]).all(axis=1)][0])

    def to_arrays(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """Plain words and named arrays for a file; `from_arrays` reads them back."""
        words = {"name": self.name, "layers": list(self.layers), "facts": dict(self.facts)}
        return words, {"steps": np.asarray(self.steps), **{f"over/{n}": np.asarray(v) for n, v in self.arrays.items()}}

    @classmethod
    def from_arrays(cls, words: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> "Trajectory":
        over = {name.removeprefix("over/"): values for name, values in arrays.items() if name.startswith("over/")}
        return cls(words["name"], arrays["steps"], over, tuple(words["layers"]), words["facts"])

    def __repr__(self) -> str:
        end = f"to step {self.steps[-1]}" if len(self) else "no step yet"
        return f"Trajectory({self.name}: {len(self)} entries {end}; {', '.join(self.arrays)})"
