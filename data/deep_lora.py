"""Fine-tunes the transformer on few examples of other digits: `python data/deep_lora.py [--jobs 2]`.

`mnist-vit` has learnt MNIST; scikit-learn's digits, 8 x 8 and stretched to its 28 x 28, it reads poorly. From 16, 64
and 256 of them it learns by LoRA, by Deep LoRA and whole, and from 16 at several ranks. Every cell - method, number of
examples, rank - has its own learning rate, the best of the same six on the validation digits over two draws of
examples. Then ten other draws are trained at that rate, once, and these are reported on the test digits. A seed is
a draw of examples, an order to see them in and a start; it is the same for all methods.

Every row stands in data/adaptation/mnist-vit.json as soon as it is measured, so the same command goes on where it was
stopped.
"""

import argparse
import platform
from datetime import date
from pathlib import Path

import numpy as np
import torch
from joblib import delayed
from tqdm import tqdm

from lowrank_kit.checks import InputError
from lowrank_kit.files import write_rows
from lowrank_kit.measurement.placement import device_name
from lowrank_kit.measurement.quality import predictions
from lowrank_kit.methods.fine_tuning import fine_tune
from lowrank_kit.models.adapters import DeepLoRA, LoRA, update_spectra
from lowrank_kit.models.zoo import load
from lowrank_kit.studies.adaptation import FORMAT, best_rates, few, other_digits
from lowrank_kit.studies.parallel import in_parallel
from lowrank_kit.studies.recorded import facts_and_rows

PATH = Path(__file__).parent / "adaptation" / "mnist-vit.json"
NETWORK = "mnist-vit"
METHODS = {"lora": LoRA, "deep-lora": DeepLoRA, "full": None}
EXAMPLES, RANK = (16, 64, 256), 8
RANKS = (2, 4, 8, 16, 32, 64)
RATES = (3e-5, 1e-4, 3e-4, 1e-3, 3e-3, 1e-2)
TUNED_ON, SEEDS = range(100, 102), range(10)
STEPS, BATCH, GAMMA = 300, 16, 1e-2
# Rows of these ranks and numbers of examples keep the singular values of these layers' updates, so many each.
SHOWN_RANKS, SHOWN_EXAMPLES = (None, 8, 64), (16, 256)
SHOWN = ("block1.attention.qkv", "block1.mlp.fc1", "block4.attention.qkv", "block4.mlp.fc1")
VALUES = 12
# The energy of an update in its first so many directions.
TOP = (1, 2, 4, 8)


def cells():
    """(method, number of examples, rank), rank None where the whole network is trained."""
    over_examples = [(name, n, None if name == "full" else RANK) for n in EXAMPLES for name in METHODS]
    over_ranks = [(name, EXAMPLES[0], rank) for rank in RANKS for name in ("lora", "deep-lora")]
    return list(dict.fromkeys([*over_examples, *over_ranks]))


def trained(method, n, rank, rate, seed, steps=STEPS):
    """The network before, the one that learnt, and the training."""
    torch.set_num_threads(1)
    network, _ = load(NETWORK)
    adapter = None if rank is None else METHODS[method](rank)
    examples = few(other_digits().train, n, seed=seed)
    options = {"steps": steps, "learning_rate": rate, "gamma": GAMMA, "batch": BATCH, "seed": seed}
    return network, *fine_tune(network, examples, adapter, **options)


def accuracy(network, examples):
    return round(float((predictions(network, examples) == examples.y).mean()), 5)


def tuning(method, n, rank, rate, seed, steps=STEPS):
    """A row by which a learning rate is chosen; a training that broke off has a reason and counts as nothing."""
    row = {"part": "tuning", "method": method, "n": n, "rank": rank, "rate": rate, "seed": seed}
    try:
        _, network, _ = trained(method, n, rank, rate, seed, steps)
    except InputError as fault:
        return row | {"validation": 0.0, "reason": str(fault)}
    return row | {"validation": accuracy(network, other_digits().validation)}


def report(method, n, rank, rate, seed, steps=STEPS):
    """A row that is reported."""
    row = {"part": "report", "method": method, "n": n, "rank": rank, "rate": rate, "seed": seed}
    try:
        start, network, way = trained(method, n, rank, rate, seed, steps)
    except InputError as fault:
        return row | {"test": 0.0, "reason": str(fault)}
    spectra = {name: found for name, found in update_spectra(network, start).items() if name.startswith("block")}
    row |= {"test": accuracy(network, other_digits().test), "loss": round(float(way.last("loss")), 4)}
    row |= {"trained": way.facts["trained"], "energy": energies(spectra)}
    if rank in SHOWN_RANKS and n in SHOWN_EXAMPLES:
        row["values"] = {name: [float(f"{v:.3g}") for v in spectra[name].values[:VALUES]] for name in SHOWN}
    return row


def energies(spectra):
    """The share of an update's energy in its first directions, mean over layers."""
    shares = np.array([[spectrum.energy[top - 1] for top in TOP] for spectrum in spectra.values()])
    return [round(float(share), 4) for share in shares.mean(axis=0)]


# Which rows are still to be made.


def rounds(rows, *, steps=STEPS):
    """Lists of tasks, one after the other; `rows` grows in between."""
    every = [(*cell, rate, seed) for cell in cells() for rate in RATES for seed in TUNED_ON]
    yield [delayed(tuning)(*one, steps) for one in missing(every, "tuning", rows)]
    rates = best_rates(rows)
    every = [(*cell, rates[cell], seed) for cell in cells() for seed in SEEDS]
    yield [delayed(report)(*one, steps) for one in missing(every, "report", rows)]


def missing(wanted, part, rows):
    known = {place(row) for row in rows}
    return [one for one in wanted if (part, *one) not in known]


def place(row):
    return tuple(row[name] for name in ("part", "method", "n", "rank", "rate", "seed"))


# The file.


def settings(steps=STEPS):
    return {
        "network": NETWORK,
        "task": "scikit-learn's digits, 8 x 8, stretched to 28 x 28",
        "adapted": "every linear layer but the head, which adapters leave as it is; full trains all parameters",
        "optimiser": "AdamW, betas 0.9 and 0.999, eps 1e-6, no weight decay, constant learning rate",
        "steps": steps,
        "batch": BATCH,
        "gamma": GAMMA,
        "epsilon": DeepLoRA.epsilon,
        "examples": list(EXAMPLES),
        "rank": RANK,
        "ranks": list(RANKS),
        "rates": list(RATES),
        "tuned_on": list(TUNED_ON),
        "seeds": list(SEEDS),
        "top": list(TOP),
    }


def versions():
    return {"torch": torch.__version__, "numpy": np.__version__, "python": platform.python_version()}


def facts(steps=STEPS):
    """What all rows share, and what the network reads of the other digits before it learns."""
    network, images = load(NETWORK)[0], other_digits()
    parts = {"validation": images.validation, "test": images.test}
    return {
        "format": FORMAT,
        "settings": settings(steps),
        "sizes": {name: len(part) for name, part in parts.items()},
        "zero_shot": {name: accuracy(network, part) for name, part in parts.items()},
        "params": sum(p.numel() for p in network.parameters()),
        "versions": versions(),
        "recorded": f"{date.today()}, {device_name(torch.device('cpu'))}, torch {torch.__version__}, 1 thread",
    }


def stored(path, steps):
    """The rows so far. Rows of other settings or versions can't stand beside new ones."""
    if not path.exists():
        return []
    found, rows = facts_and_rows(path, {"part"}, maker="data/deep_lora.py")
    now = {"format": FORMAT, "settings": settings(steps), "versions": versions()}
    other = [name for name, value in now.items() if found.get(name) != value]
    if other:
        raise SystemExit(f"{path} was made with other {', '.join(other)}; move it away to begin anew.")
    return [*rows]


def order(row):
    """As cells are, tuning before the report."""
    part, method, n, rank, rate, seed = place(row)
    return part != "tuning", cells().index((method, n, rank)), rate, seed


def record(path, *, steps=STEPS, jobs=1):
    rows, known = stored(path, steps), facts(steps)
    for number, tasks in enumerate(rounds(rows, steps=steps)):
        for row in tqdm(
            in_parallel(tasks, jobs, last=number == 1), total=len(tasks), desc=("tuning", "report")[number]
        ):
            rows.append(row)
            write_rows(path, known, sorted(rows, key=order))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=2)
    record(PATH, jobs=parser.parse_args().jobs)


if __name__ == "__main__":
    main()
