"""How rows of a trajectory travel to the browser: as binary arrays, and only what can be seen of them."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from lowrank_kit.records import Trajectory

__all__ = ["SCALARS", "rows_message", "rows_of"]

Row = Mapping[str, Any]

# What is one number a row: how the browser calls it, and how a row does.
SCALARS = {name: name for name in ("step", "loss", "accuracy", "tolerance", "ceiling", "size")} | {
    "low": "accuracy_low",
    "high": "accuracy_high",
}
# Smaller singular values than this share of a row's largest one are no longer drawn.
SHOWN = 1e-4


def rows_of(trajectory: Trajectory) -> list[Row]:
    """A finished trajectory's rows, as a training that goes on has them."""
    arrays = trajectory.arrays.items()
    return [{"step": step} | {name: values[t] for name, values in arrays} for t, step in enumerate(trajectory.steps)]


def rows_message(rows: Sequence[Row], start: int, shape: tuple[int, int]) -> tuple[dict[str, Any], list[bytes]]:
    """The rows from `start` on, of which each has this `shape` of layers and modes, and their buffers.

    A row is SCALARS, NaN where something was not looked at; ranks and shares kept (layers, modes); and the singular
    values of every mode one behind the other, with how many there are of each.
    """
    sent = rows[start:]
    numbers = np.array([[row.get(name, np.nan) for name in SCALARS.values()] for row in sent], dtype=np.float64)
    grids = np.array([[_grid(row.get(name), shape) for name in ("ranks", "kept")] for row in sent], dtype=np.float32)
    spectra = [part for row in sent for part in _spectra(row.get("values"), shape)]
    counts = np.array([len(part) for part in spectra], dtype=np.int32)
    values = np.concatenate([np.empty(0), *spectra]).astype(np.float32)
    message = {"start": start, "count": len(sent), "size": shape[0] * shape[1], "scalars": [*SCALARS]}
    return message, [array.tobytes() for array in (numbers, grids, counts, values)]


def _grid(found: Any, shape: tuple[int, int]) -> np.ndarray:
    grid = np.full(shape, np.nan)
    if found is not None:
        part = np.asarray(found)[:, : shape[1]]
        grid[:, : part.shape[1]] = part
    return grid


def _spectra(found: Any, shape: tuple[int, int]) -> Iterable[np.ndarray]:
    """Of every layer and mode, the singular values that can be seen."""
    layers, modes = shape
    for layer in range(layers):
        for mode in range(modes):
            known = found is not None and mode < np.shape(found)[1]
            part = np.asarray(found[layer][mode]) if known else np.empty(0)
            yield part[part > SHOWN * part[0]] if len(part) else part
