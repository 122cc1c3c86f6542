"""Compares ways to a small network on MNIST-5k: `python data/compare.py [--jobs 2]`.

Rank-adaptive training in Tucker form (tdlrt) against the dense network and against others of its size, all of them
`mnist_cnn` trained by the same loop, on the same images, for the same epochs. The size to match is what tdlrt came to
from the same seed:

narrow-macs, narrow-params   a dense network of fewer channels, of its multiply-adds or of its parameters
fixed-tucker                 factors of its very ranks, trained as they are
dlrt                         convolutions taken as matrices, ranks adapted
cut-tucker, cut-svd          the trained dense network, cut to its ranks, or by the energy rule to its parameters
pruned                       the trained dense network, its smallest weights zero
...-tuned                    the same, trained on for as many epochs again

Learning rates are tuned for each method on the validation images, each of them distorted anew eight times, since five
hundred tell too little: in steps of two, two seeds each, further on while the best lies at an end. Every row stands in
data/adaptive/mnist-5k.json as soon as it is measured, so the same command goes on where it was stopped. Trained dense
networks are kept meanwhile in the folder `--work`.
"""

import argparse
import hashlib
import json
import platform
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from joblib import Parallel, delayed
from safetensors.torch import load_file
from torch import nn
from torch.nn import functional as F
from train import RECIPES, SOURCES, SPLIT, distort, save

from lowrank_kit.checks import InputError
from lowrank_kit.files import write_rows
from lowrank_kit.measurement.cost import layer_params, macs
from lowrank_kit.measurement.latency import latency
from lowrank_kit.measurement.placement import device_name
from lowrank_kit.measurement.quality import logits
from lowrank_kit.methods.adaptive import Adaptation, AdaptiveTraining
from lowrank_kit.methods.baselines import narrower, pruned, settled, with_ranks
from lowrank_kit.methods.batches import Batches
from lowrank_kit.methods.planning import plan
from lowrank_kit.methods.training import Training, one_cycle
from lowrank_kit.models.layers import channels_last
from lowrank_kit.models.networks import mnist_cnn
from lowrank_kit.models.zoo import load
from lowrank_kit.records import Examples, RankPlan

PATH = Path(__file__).parent / "adaptive" / "mnist-5k.json"
FORMAT = "lowrank-kit comparison 1"

EPOCHS = 30
# The layers that are made small, and how many biases they have; conv1 and the head stay whole throughout.
BLOCKS, N_BIASES = ("conv2", "conv3", "fc1"), 256
# The share of their numbers that tdlrt keeps. Ten classes need nine directions in fc1, and with those the budget leaves
# less than a tenth of the convolutions.
BUDGET, FLOOR = 0.0545, 9
LOCAL_STEPS = 10
SEEDS = (0, 1, 2, 3, 4)
TUNED_ON = (0, 1)
RATES = (0.05, 0.1, 0.2)
LIMITS = (0.002, 1.0)
# How often each validation image is distorted to choose a learning rate by.
VIEWS = 8
RECIPE = replace(RECIPES["mnist-cnn"][1], epochs=EPOCHS)

SETTINGS = {
    "budget": BUDGET,
    "floor": FLOOR,
    "local_steps": LOCAL_STEPS,
    "made_small": list(BLOCKS),
    "tuned_on": list(TUNED_ON),
    "seeds": list(SEEDS),
    "views": VIEWS,
}

KINDS = {nn.Conv2d: "convolutions", nn.Linear: "linear", nn.BatchNorm2d: "norms"}


@dataclass(frozen=True)
class Task:
    """One run. `match` is the tdlrt row of the same seed, and `dense_rate` what the dense network is trained with."""

    method: str
    seed: int
    rate: float
    match: dict[str, Any] | None = None
    dense_rate: float = 0.0
    work: Path = Path()


# How each method begins: the network that is trained, or judged as it is.


def dense(task):
    torch.manual_seed(task.seed)
    return channels_last(mnist_cnn())


def narrow(task, **limits):
    torch.manual_seed(task.seed)
    return channels_last(narrower(lambda width: mnist_cnn(width=width), data().train.x, **limits)[0])


def narrow_macs(task):
    return narrow(task, most_macs=task.match["macs"])


def narrow_params(task):
    return narrow(task, most_params=sum(task.match["sizes"].values()))


def fixed_tucker(task):
    return with_ranks(dense(task), RankPlan.from_json(json.dumps(task.match["plan"])))


def trained(task):
    """The dense network of this seed, trained at the rate that was chosen for it."""
    model, path = dense(task), weights_path(task, task.dense_rate)
    if not path.exists():
        fit(replace(task, method="dense", rate=task.dense_rate))
    model.load_state_dict(load_file(path))
    return model


def weights_path(task, rate):
    recipe = hashlib.sha256(repr(RECIPE).encode()).hexdigest()[:8]
    return task.work / f"dense-{task.seed}-{rate:g}-{recipe}.safetensors"


def cut_tucker(task):
    return with_ranks(trained(task), RankPlan.from_json(json.dumps(task.match["plan"])))


def cut_svd(task):
    model = trained(task)
    share = (task.match["in_blocks"] + N_BIASES) / layer_params(model, BLOCKS)
    return with_ranks(model, plan(model, rule="energy", budget=share, layers=BLOCKS))


def smallest_zero(task):
    return pruned(trained(task), task.match["in_blocks"])


def adaptation(task):
    """Of a method whose ranks adapt; dlrt has as many numbers in its layers as tdlrt came to."""
    if task.match is None:
        return Adaptation(budget=BUDGET, floor=FLOOR, local_steps=LOCAL_STEPS)
    return Adaptation(budget=task.match["factored_share"], local_steps=LOCAL_STEPS)


@dataclass(frozen=True)
class Method:
    start: Callable[[Task], nn.Module]
    trains: bool = True
    view: str = ""  # of layers in factored form; others have none


METHODS = {
    "dense": Method(dense),
    "tdlrt": Method(dense, view="tucker"),
    "narrow-macs": Method(narrow_macs),
    "narrow-params": Method(narrow_params),
    "fixed-tucker": Method(fixed_tucker),
    "dlrt": Method(dense, view="matrix"),
    "cut-tucker": Method(cut_tucker, trains=False),
    "cut-tucker-tuned": Method(cut_tucker),
    "cut-svd": Method(cut_svd, trains=False),
    "cut-svd-tuned": Method(cut_svd),
    "pruned": Method(smallest_zero, trains=False),
    "pruned-tuned": Method(smallest_zero),
}
# What the others are made from.
FIRST = ("dense", "tdlrt")


def data():
    return load("mnist-cnn")[1]


def training_of(task):
    options = {"loss": partial(F.cross_entropy, label_smoothing=RECIPE.label_smoothing), "schedule": one_cycle}
    descent = partial(torch.optim.SGD, **RECIPE.options | {"lr": task.rate})
    method = METHODS[task.method]
    model = method.start(task)
    torch.manual_seed(task.seed)  # the same drop-outs whether or not something was trained on the way
    if not method.view:
        return Training(model, descent, **options)
    return AdaptiveTraining(model, descent, adaptation(task), view=method.view, **options)


def fit(task):
    """The trained network, ready to use, and what was seen on the way."""
    training = training_of(task)
    batches = Batches.of(data().train, size=RECIPE.batch, seed=task.seed, prepare=distort)
    most, begun = 0, time.thread_time()
    for _ in training.run(batches, EPOCHS):
        most = max(most, sum(p.numel() for p in training.model.parameters()))
    step_ms = round(1e3 * (time.thread_time() - begun) / training.steps, 2)
    seen = {"trained_params": most, "step_ms": step_ms, "failures": len(training.failures)}
    network, found = settled(training.model), {}
    if isinstance(training, AdaptiveTraining):
        network, ranks = training.compressed()
        found = {"plan": json.loads(ranks.to_json()), "factored_share": training.n_factored / training.n_dense}
    if task.method == "dense":
        save(network.state_dict(), weights_path(task, task.rate))
    return network.eval(), seen | found


def sizes(model, count=torch.numel):
    """Parameters by kind of layer; of weights, or of those that are not zero."""
    found = dict.fromkeys(KINDS.values(), 0)
    for module in model.modules():
        if type(module) in KINDS:
            found[KINDS[type(module)]] += sum(int(count(p)) for p in module.parameters())
    return found


def in_blocks(parameter):
    """Whether it is a weight of one of the layers that are made small, whatever became of it."""
    return parameter.split(".")[0] in BLOCKS and not parameter.endswith("bias")


def distorted(examples):
    """Each example in as many views as there are, the same ones every time."""
    x = torch.from_numpy(examples.x).repeat(VIEWS, 1, 1, 1)
    return Examples(distort(x, torch.Generator().manual_seed(0)).numpy(), np.tile(examples.y, VIEWS))


def judged(network):
    """What a network answers, and what it takes."""
    images = data()
    parts = {"distorted": distorted(images.validation), "validation": images.validation, "test": images.test}
    seen = {name: logits(network, part.x) for name, part in parts.items()}
    right = {name: float((values.argmax(1) == parts[name].y).mean()) for name, values in seen.items()}
    loss = F.cross_entropy(torch.from_numpy(seen["distorted"]), torch.from_numpy(parts["distorted"].y))
    whole = channels_last(mnist_cnn()).eval()
    times = {n: latency([whole, network], images.test.x, batch=n, budget_s=0.5) for n in (1, 64)}
    return {
        "sizes": sizes(network),
        "nonzero": sizes(network, torch.count_nonzero),
        "in_blocks": sum(p.numel() for name, p in network.named_parameters() if in_blocks(name)),
        "macs": macs(network, images.test.x),
        "speedup": {str(n): round(small.speedup(large), 3) for n, (large, small) in times.items()},
        **right,
        "distorted_loss": round(float(loss), 5),
        "predictions": "".join(map(str, seen["test"].argmax(1))),
    }


def row_of(task):
    """The row of one run; a training that could not go on has a reason in place of results."""
    torch.set_num_threads(1)
    begun = time.perf_counter()
    row = {"method": task.method, "seed": task.seed, "rate": task.rate}
    try:
        method = METHODS[task.method]
        network, seen = fit(task) if method.trains else (settled(method.start(task)).eval(), {})
        row |= judged(network) | seen
    except InputError as fault:
        row["reason"] = str(fault)
    return row | {"seconds": round(time.perf_counter() - begun, 1)}


# Which runs are still to be made.


def rates_tried(rows, method):
    """{rate: (accuracy on distorted validation images, -loss)} where all seeds are that rates are tuned on, means."""
    found = defaultdict(dict)
    for row in rows:
        if row["method"] == method and row["seed"] in TUNED_ON:
            found[row["rate"]][row["seed"]] = (row.get("distorted", 0.0), -row.get("distorted_loss", np.inf))
    return {rate: np.mean([*s.values()], axis=0).tolist() for rate, s in found.items() if len(s) == len(TUNED_ON)}


def best_rate(rows, method):
    """The rate of the highest accuracy, then of the lowest loss; 0 where nothing is trained."""
    tried = rates_tried(rows, method)
    return max(tried, key=tried.get) if METHODS[method].trains else 0.0


def rates_wanted(rows, method):
    """The rates that are still to be tried: further on while the best lies at an end."""
    tried = rates_tried(rows, method)
    missing = [rate for rate in RATES if rate not in tried]
    if missing:
        return missing
    best = best_rate(rows, method)
    further = {min(tried): best / 2, max(tried): best * 2}.get(best, 0.0)
    return [further] if LIMITS[0] <= further <= LIMITS[1] else []


def task_of(rows, method, seed, rate, work):
    if method in FIRST:
        return Task(method, seed, rate, work=work)
    rate_of = {name: best_rate(rows, name) for name in FIRST}
    match = next(r for r in rows if (r["method"], r["seed"], r["rate"]) == ("tdlrt", seed, rate_of["tdlrt"]))
    return Task(method, seed, rate, match, rate_of["dense"], work)


def rounds(rows, work):
    """Lists of tasks, one after the other; `rows` grows in between."""
    for methods in (FIRST, [name for name in METHODS if name not in FIRST]):
        tuned = [name for name in methods if METHODS[name].trains]
        while wanted := [(name, s, rate) for name in tuned for rate in rates_wanted(rows, name) for s in TUNED_ON]:
            yield [task_of(rows, *one, work) for one in missing(wanted, rows)]
        wanted = [(name, s, best_rate(rows, name)) for name in methods for s in SEEDS]
        yield [task_of(rows, *one, work) for one in missing(wanted, rows)]


def missing(wanted, rows):
    known = {(row["method"], row["seed"], row["rate"]) for row in rows}
    return [one for one in wanted if one not in known]


# The file.


def facts():
    return {
        "format": FORMAT,
        "network": "mnist_cnn",
        "settings": SETTINGS,
        "recipe": asdict(RECIPE) | {"schedule": "one_cycle"},
        "source": SOURCES[RECIPE.dataset],
        "split": SPLIT,
        "versions": {"torch": torch.__version__, "numpy": np.__version__, "python": platform.python_version()},
        "recorded": f"{date.today()}, {device_name(torch.device('cpu'))}, torch {torch.__version__}, 1 thread",
        "labels": "".join(map(str, data().test.y)),
    }


def stored():
    """The rows so far. Rows of other settings or versions can't stand beside new ones."""
    if not PATH.exists():
        return []
    found, now = json.loads(PATH.read_text(encoding="utf-8")), facts()
    other = [name for name in ("format", "settings", "recipe", "versions", "labels") if found.get(name) != now[name]]
    if other:
        raise SystemExit(f"{PATH} was made with other {', '.join(other)}; move it away to begin anew.")
    return found["rows"]


def write(rows):
    order = {name: place for place, name in enumerate(METHODS)}
    rows = sorted(rows, key=lambda row: (order[row["method"]], row["rate"], row["seed"]))
    rates = {name: best_rate(rows, name) for name in METHODS if rates_tried(rows, name)}
    write_rows(PATH, facts() | {"rates": rates}, rows)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "lowrank-kit-compare")
    arguments = parser.parse_args()
    arguments.work.mkdir(parents=True, exist_ok=True)
    rows = stored()
    for tasks in rounds(rows, arguments.work):
        for row in Parallel(n_jobs=arguments.jobs, return_as="generator_unordered")(delayed(row_of)(t) for t in tasks):
            rows.append(row)
            write(rows)
            shown = {name: row.get(name) for name in ("method", "seed", "rate", "distorted", "seconds", "reason")}
            print(shown, flush=True)


if __name__ == "__main__":
    main()
