"""A step of rank-adaptive training beside a step of the dense network, over an epoch from half of every rank."""

import time
from functools import partial
from itertools import islice

import torch

from benchmarks.figures import Figure
from lowrank_kit.methods.adaptive import Adaptation, AdaptiveTraining
from lowrank_kit.methods.batches import Batches
from lowrank_kit.methods.training import Training
from lowrank_kit.models.zoo import load

CYCLES = 8
LOCAL_STEPS = 10
EVERY_STEP = 1


def run() -> list[Figure]:
    return [*_figures(LOCAL_STEPS), *_figures(EVERY_STEP)]


def _figures(local_steps: int) -> list[Figure]:
    """The two take turns, `LOCAL_STEPS` steps each, so that what else the machine does hits both."""
    _, data = load("mnist-cnn")
    sources = [iter(training.run(Batches.of(data.train), 100)) for training in _pair(local_steps)]
    for steps in sources:
        _timed(steps)  # what is slow only once
    dense, adaptive = zip(*([_timed(steps) for steps in sources] for _ in range(CYCLES)), strict=True)
    name = f"mnist-cnn, mean step of adaptive training (n_loc = {local_steps}), beside dense ({sum(dense) / 80:.3g} s)"
    return [Figure(name, sum(adaptive) / sum(dense), "x its time", 2.5)]


def _pair(local_steps: int) -> tuple[Training, AdaptiveTraining]:
    descent = partial(torch.optim.SGD, lr=0.05, momentum=0.9)
    model, _ = load("mnist-cnn", weights="initial")
    adaptation = Adaptation(tolerance=0.1, local_steps=local_steps)
    adaptive = AdaptiveTraining(model, descent, adaptation)
    return Training(model, descent), adaptive


def _timed(steps: object) -> float:
    start = time.perf_counter()
    list(islice(steps, LOCAL_STEPS))
    return time.perf_counter() - start
