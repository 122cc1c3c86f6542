"""What the runs on CIFAR-10 found, as the files the kit ships."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.cifar10.images import described
from benchmarks.cifar10.run import finished
from lowrank_kit.checks import InputError
from lowrank_kit.files import shipped, write_rows

__all__ = ["publish"]


def publish(network: str, folder: Path, images: Path) -> None:
    """Write data/adaptive/cifar10-<network>.json, with a row for every finished run, and beside it the trajectories
    and compressed networks of the first seed."""
    rows = list(_rows(folder))
    recipes = {json.dumps(row["recipe"], sort_keys=True) for row in rows}
    if len(recipes) != 1:
        raise InputError(f"{folder} must hold finished runs of one recipe; it holds those of {len(recipes)}.")
    target = shipped("data") / "adaptive"
    facts = {
        "network": network,
        "recipe": rows[0]["recipe"],
        "recorded": rows[0]["recorded"],
        "images": described(images),
    }
    write_rows(target / f"cifar10-{network}.json", facts, map(_row, rows))
    for row in rows:
        if row["run"]["method"] == "tdlrt" and row["run"]["seed"] == 0:
            source = folder / f"tdlrt-{row['run']['setting']}-0"
            name = f"cifar10-{network}-{row['run']['setting']}"
            shutil.copyfile(source / "trajectory.safetensors", target / f"{name}.safetensors")
            shutil.copytree(source / "network", target / name, dirs_exist_ok=True)


def _rows(folder: Path) -> Iterator[dict[str, Any]]:
    for path in sorted(folder.iterdir()):
        if row := finished(path):
            yield row


def _row(row: dict[str, Any]) -> dict[str, Any]:
    return row["run"] | {name: value for name, value in row.items() if name not in ("run", "recipe")}
