"""Writes the tables behind the boards of every network in the zoo: `python data/tables.py`.

data/<network>/tables.safetensors holds each layer's spectrum and the accuracy lost at every rank (validation
examples), and how far the predictions made from them were off for 50 random plans (test examples). For a network whose
convolutions have several inputs, tucker.safetensors holds the same of the Tucker board: both spectra of each of them,
its error at every pair of ranks, and the accuracy lost along a path of pairs.
"""

from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from pathlib import Path

import torch
from tqdm import tqdm

from lowrank_kit.files import shipped, write_arrays
from lowrank_kit.measurement.measure import measure
from lowrank_kit.measurement.placement import device_name
from lowrank_kit.methods.prediction import measure_drops, tabulate, try_plans
from lowrank_kit.methods.tucker_tables import measure_tucker_drops, random_pairs, tabulate_tucker
from lowrank_kit.models.low_rank import has_modes
from lowrank_kit.models.surgery import Factorisation
from lowrank_kit.models.zoo import ZOO, load
from lowrank_kit.records import NetworkTables


def write(path: Path, steps: Iterator[NetworkTables]) -> None:
    """Write the last of ever better tables."""
    *_, tables = tqdm(steps, desc=f"{path.parent.name}: {path.stem}")
    recorded = f"{date.today()}, {device_name(torch.device('cpu'))}, torch {torch.__version__}"
    write_arrays(path, *replace(tables, recorded=recorded).to_arrays())


if __name__ == "__main__":
    torch.set_num_threads(1)
    for name in ZOO:
        model, data = load(name)
        found = Factorisation(model)
        dense = measure(model, data, latency_budget_s=0)
        *_, tables = measure_drops(tabulate(found, data, dense), found, data)
        write(shipped("data", name) / "tables.safetensors", try_plans(tables, found, data))
        if any(has_modes(layer) and layer.weight.shape[1] > 1 for layer in found.layers.values()):
            *_, pairs = measure_tucker_drops(tabulate_tucker(found, data, dense), found, data)
            write(shipped("data", name) / "tucker.safetensors", try_plans(pairs, found, data, draw=random_pairs))
