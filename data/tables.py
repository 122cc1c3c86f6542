"""Writes the tables behind the rank board of every network in the zoo: `python data/tables.py`.

data/<network>/tables.safetensors holds each layer's spectrum and the accuracy lost at every rank (validation
examples), and how far the predictions made from them were off for 50 random plans (test examples).
"""

from dataclasses import replace
from datetime import date

import torch
from tqdm import tqdm

from lowrank_kit.files import shipped, write_arrays
from lowrank_kit.measurement.measure import measure
from lowrank_kit.measurement.placement import device_name
from lowrank_kit.methods.prediction import measure_drops, tabulate, try_plans
from lowrank_kit.models.surgery import Factorisation
from lowrank_kit.models.zoo import ZOO, load

if __name__ == "__main__":
    torch.set_num_threads(1)
    recorded = f"{date.today()}, {device_name(torch.device('cpu'))}, torch {torch.__version__}"
    for name in ZOO:
        model, data = load(name)
        factorisation = Factorisation(model)
        dense = measure(model, data, latency_budget_s=0)
        tables = replace(tabulate(factorisation, data, dense), recorded=recorded)
        *_, tables = tqdm(measure_drops(tables, factorisation, data), desc=f"{name}: layers")
        *_, tables = tqdm(try_plans(tables, factorisation, data), desc=f"{name}: plans")
        write_arrays(shipped("data", name) / "tables.safetensors", *tables.to_arrays())
