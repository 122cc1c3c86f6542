"""Maps what becomes of ranks over tolerance and learning rate: `python data/tolerances.py [--jobs 2]`.

A small convolutional network learns the digits in Tucker form, from narrow and from wide bases, with plain gradient
descent, five seeds a cell; beside it the dense network at the same learning rates. Accuracies are on the test digits,
and nothing is chosen by them. Writes data/adaptive/tolerances.json.
"""

import argparse
import platform
from datetime import date
from functools import partial
from itertools import product
from pathlib import Path

import numpy as np
import torch
from joblib import Parallel, delayed

from lowrank_kit.files import write_rows
from lowrank_kit.measurement.placement import device_name
from lowrank_kit.measurement.quality import predictions
from lowrank_kit.methods.adaptive import Adaptation, AdaptiveTraining
from lowrank_kit.methods.batches import Batches
from lowrank_kit.methods.training import Training
from lowrank_kit.models.networks import digits_cnn
from lowrank_kit.models.zoo import load
from lowrank_kit.records import Examples

STARTS = (1 / 16, 1 / 2)
TOLERANCES = (0.002, 0.01, 0.03, 0.1, 0.2, 0.3, 0.5)
RATES = (0.02, 0.05, 0.1, 0.2, 0.5)
SEEDS = range(5)
EPOCHS, BATCH, LOCAL_STEPS = 20, 64, 10


def images(examples):
    return Examples(examples.x.reshape(-1, 1, 8, 8), examples.y)


def cell(start, tolerance, rate, seed):
    """One training; `tolerance` None is the dense network."""
    _, data = load("digits-mlp")
    torch.manual_seed(seed)
    descent = partial(torch.optim.SGD, lr=rate)
    if tolerance is None:
        training = Training(digits_cnn(), descent)
    else:
        found = Adaptation(tolerance=tolerance, local_steps=LOCAL_STEPS)
        training = AdaptiveTraining(digits_cnn(), descent, found, rank=start)
    for _ in training.run(Batches.of(images(data.train), size=BATCH, seed=seed), EPOCHS):
        pass
    test = images(data.test)
    row = {"start": start, "tolerance": tolerance, "rate": rate, "seed": seed}
    row["accuracy"] = float((predictions(training.model, test) == test.y).mean())
    if tolerance is not None:
        row["ranks"] = {name: list(layer.ranks) for name, layer in training.layers.items()}
        row["size"] = training.n_factored / training.n_dense
        row["kept"] = float(np.nanmean(training.trajectory["kept"])) if len(training.trajectory) else None
    return row


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=2)
    cells = [*product(STARTS, TOLERANCES, RATES, SEEDS), *product([None], [None], RATES, SEEDS)]
    rows = Parallel(n_jobs=parser.parse_args().jobs, verbose=1)(delayed(cell)(*which) for which in cells)
    facts = {
        "recorded": f"{date.today()}, {device_name(torch.device('cpu'))}, torch {torch.__version__}",
        "python": platform.python_version(),
        "network": "digits_cnn, conv1 and head whole",
        "epochs": EPOCHS,
        "batch": BATCH,
        "local_steps": LOCAL_STEPS,
        "test_examples": len(load("digits-mlp")[1].test),
    }
    write_rows(Path(__file__).parent / "adaptive" / "tolerances.json", facts, rows)


if __name__ == "__main__":
    main()
