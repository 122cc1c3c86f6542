"""What a player plays: a trajectory's rows, and what of its layers they cannot say."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from lowrank_kit.checks import InputError
from lowrank_kit.records import Trajectory
from lowrank_kit.widgets.rows import Row, rows_of

__all__ = ["Recording", "described", "limits_of"]


class Recording:
    """A finished trajectory with the face of a :class:`lowrank_kit.widgets.course.Course`."""

    def __init__(self, trajectory: Trajectory):
        if not len(trajectory):
            raise InputError("`source` must be a trajectory with at least one entry; this one has none yet.")
        self.trajectory = trajectory
        self.rows: list[Row] = rows_of(trajectory)

    @property
    def expected_rows(self) -> int:
        return len(self.rows)

    @property
    def outcome(self) -> dict[str, Any]:
        """What is known of the trained network on the test examples."""
        return dict(self.trajectory.facts.get("test", {}))


def limits_of(trajectory: Trajectory) -> dict[str, list[int]]:
    """{layer: the size of each of its modes}; the largest ranks there were where the facts don't tell."""
    if "limits" in trajectory.facts:
        return {name: list(trajectory.facts["limits"][name]) for name in trajectory.layers}
    if "ranks" not in trajectory.arrays:
        return {name: [] for name in trajectory.layers}
    # A mode that a layer does not have, and an entry without ranks, are NaN.
    most = np.nan_to_num(trajectory["ranks"], nan=0).max(axis=0).astype(int)
    return {name: part[part > 0].tolist() for name, part in zip(trajectory.layers, most, strict=True)}


def described(trajectory: Trajectory, limits: Mapping[str, list[int]]) -> dict[str, Any]:
    """What a page says of the whole training beside its rows, in plain words and numbers."""
    facts = trajectory.facts
    names = ("n_dense", "n_params", "n_train", "n_looked_at", "epochs", "total", "recorded")
    layers = [
        {"name": name, "limits": limits[name], "matrix": _is_matrix(trajectory, index)}
        for index, name in enumerate(trajectory.layers)
    ]
    columns = max(map(len, limits.values()), default=0)
    return {"name": trajectory.name, "layers": layers, "columns": columns} | {name: facts.get(name) for name in names}


def _is_matrix(trajectory: Trajectory, index: int) -> bool:
    """Whether a layer has but one rank: as the facts tell, or as far as can be seen."""
    if "matrices" in trajectory.facts:
        return trajectory.layers[index] in trajectory.facts["matrices"]
    ranks = trajectory.arrays.get("ranks")
    return ranks is not None and bool(np.array_equal(ranks[:, index, 0], ranks[:, index, 1], equal_nan=True))
