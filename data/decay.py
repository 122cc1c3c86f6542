"""Trains from cores that fall off steeply: `python data/decay.py [--jobs 1]`.

A small convolutional network learns the digits: dense, in plain Tucker factors, and rank-adaptive, with ranks that
never pass those of the plain factors. conv2 and conv3 begin with decaying cores. Every method has its own learning rate
for every decay, the best of a few on validation digits over five seeds; accuracies on test digits are reported. Writes
data/adaptive/decay.json.
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

from lowrank_kit.checks import InputError
from lowrank_kit.files import write_rows
from lowrank_kit.measurement.placement import device_name
from lowrank_kit.measurement.quality import predictions
from lowrank_kit.methods.adaptive import Adaptation, AdaptiveTraining
from lowrank_kit.methods.batches import Batches
from lowrank_kit.methods.decay import with_decaying_cores
from lowrank_kit.methods.training import Training
from lowrank_kit.models.factoring import factored, plain
from lowrank_kit.models.networks import digits_cnn
from lowrank_kit.models.zoo import load
from lowrank_kit.records import Examples

METHODS = ("dense", "vanilla", "adaptive")
LAYERS = ("conv2", "conv3")
DECAYS = (0.0, 0.5, 1.0)
RATES = (0.05, 0.1, 0.2, 0.3, 0.5)
SEEDS = range(5)
EPOCHS, BATCH = 10, 64
# The fraction of every mode that plain factors have and adaptive ones start from and are held to: at most 16 ranks.
RANK, CEILING = 0.25, 16
TOLERANCE, LOCAL_STEPS = 0.01, 10
EVERY = 7  # steps to a stored loss, their mean
PATH = Path(__file__).parent / "adaptive" / "decay.json"


def images(examples):
    return Examples(examples.x.reshape(-1, 1, 8, 8), examples.y)


def training_of(method, decay, rate):
    model, descent = with_decaying_cores(digits_cnn(), LAYERS, decay), partial(torch.optim.SGD, lr=rate)
    if method == "adaptive":
        found = Adaptation(tolerance=TOLERANCE, ceiling=CEILING, local_steps=LOCAL_STEPS)
        return AdaptiveTraining(model, descent, found, rank=RANK)
    return Training(plain(factored(model, rank=RANK))[0] if method == "vanilla" else model, descent)


def cell(method, decay, rate, seed, epochs=EPOCHS):
    torch.set_num_threads(1)
    _, data = load("digits-mlp")
    torch.manual_seed(seed)
    training, losses = training_of(method, decay, rate), []
    row = {"method": method, "decay": decay, "rate": rate, "seed": seed}
    try:
        losses.extend(training.run(Batches.of(images(data.train), size=BATCH, seed=seed), epochs))
    except InputError as fault:
        return row | {"reason": str(fault)}
    whole = np.array(losses[: len(losses) // EVERY * EVERY]).reshape(-1, EVERY).mean(axis=1)
    row["losses"] = [round(float(loss), 4) for loss in whole]
    for name in ("validation", "test"):
        part = images(getattr(data, name))
        row[name] = float((predictions(training.model, part) == part.y).mean())
    if method == "adaptive":
        row["ranks"] = {name: list(layer.ranks) for name, layer in training.layers.items()}
    return row


def facts(epochs):
    """What all rows share."""
    _, data = load("digits-mlp")
    return {
        "recorded": f"{date.today()}, {device_name(torch.device('cpu'))}, torch {torch.__version__}",
        "python": platform.python_version(),
        "network": "digits_cnn, conv1 and head whole",
        "epochs": epochs,
        "batch": BATCH,
        "every": EVERY,
        "rank": RANK,
        "ceiling": CEILING,
        "tolerance": TOLERANCE,
        "local_steps": LOCAL_STEPS,
        "validation_examples": len(data.validation),
        "test_examples": len(data.test),
    }


def record(cells, path, *, epochs=EPOCHS, jobs=1):
    rows = Parallel(n_jobs=jobs, verbose=1)(delayed(cell)(*which, epochs) for which in cells)
    write_rows(path, facts(epochs), rows)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=1)
    record(product(METHODS, DECAYS, RATES, SEEDS), PATH, jobs=parser.parse_args().jobs)


if __name__ == "__main__":
    main()
