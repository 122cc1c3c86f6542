"""Trainings that are stopped, saved and resumed, which several files of tests share."""

from functools import cache, partial

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from lowrank_kit.methods.adaptive import Adaptation, AdaptiveTraining
from lowrank_kit.methods.batches import Batches
from lowrank_kit.methods.checkpoints import save_checkpoint
from lowrank_kit.methods.training import Training, one_cycle

EPOCHS = 3
OPTIMISERS = {
    "SGD": partial(torch.optim.SGD, lr=0.05, momentum=0.9, nesterov=True, weight_decay=1e-3),
    "Adam": partial(torch.optim.Adam, lr=0.01),
    "AMSGrad": partial(torch.optim.AdamW, lr=0.01, amsgrad=True),
    "plain": partial(torch.optim.SGD, lr=0.05),
}


class Net(nn.Module):
    """With BatchNorm and dropout, in float32; inputs (n, 2, 6, 6), 3 classes."""

    def __init__(self, width=8, classes=3):
        super().__init__()
        self.conv1, self.norm1 = nn.Conv2d(2, 6, 3, padding=1), nn.BatchNorm2d(6)
        self.conv2, self.drop = nn.Conv2d(6, width, 3, padding=1, bias=False), nn.Dropout(0.2)
        self.fc1, self.head = nn.Linear(width * 9, 10), nn.Linear(10, classes)

    def forward(self, x):
        x = nn.functional.max_pool2d(torch.relu(self.norm1(self.conv1(x))), 2)
        return self.head(torch.relu(self.fc1(self.drop(torch.relu(self.conv2(x)).flatten(1)))))


def net(**sizes):
    torch.manual_seed(0)
    return Net(**sizes)


def examples(n=35):
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(n, 2, 6, 6, generator=generator)
    return x, x.flatten(1)[:, :3].argmax(1)


def listed():
    x, y = examples()
    return [*zip(x.split(8), y.split(8), strict=True)]


def loader(own, **options):
    generator = torch.Generator().manual_seed(3) if own else None
    return DataLoader(TensorDataset(*examples()), batch_size=8, shuffle=True, generator=generator, **options)


# Batches of five an epoch.
BATCHES = {
    "list": listed,
    "loader": partial(loader, True),
    "loader on the common generator": partial(loader, False),
    "batches of the kit": lambda: Batches(*examples(), size=8, seed=4),
}


def adaptive(optimiser="SGD", model=None, adaptation=None, **options):
    adaptation = adaptation or Adaptation(0.3, local_steps=4)
    options = {"schedule": one_cycle, "rank": 0.6, **options}
    return AdaptiveTraining(model or net(), OPTIMISERS[optimiser], adaptation, **options)


def dense(optimiser="SGD"):
    return Training(net(), OPTIMISERS[optimiser], schedule=one_cycle)


BUILDS = {
    "adaptive": adaptive,
    "Adam": partial(adaptive, "Adam"),
    "AMSGrad": partial(adaptive, "AMSGrad"),
    "without memory": partial(adaptive, "plain"),
    "matrix": partial(adaptive, view="matrix"),
    "kernel": partial(adaptive, view="kernel"),
    "budget": partial(adaptive, adaptation=Adaptation(budget=0.4, local_steps=2, burn_in=3)),
    "dense": dense,
    "dense by Adam": partial(dense, "Adam"),
}


def run(training, batches, steps=None):
    """So many steps, an accuracy recorded at each third; all that is left by default."""
    found = []
    for loss in training.run(batches, EPOCHS):
        found.append(loss)
        if training.steps % 3 == 0:
            training.record(accuracy=training.steps / 100)
        if len(found) == steps:
            break
    return found


@cache
def whole(build, kind):
    """A training that was never stopped, and its losses."""
    training = BUILDS[build]()
    torch.manual_seed(11)
    return training, run(training, BATCHES[kind]())


def stopped(build, kind, steps, path):
    """Losses up to where a training was saved, after which much else was drawn."""
    training = BUILDS[build]()
    torch.manual_seed(11)
    losses = run(training, BATCHES[kind](), steps)
    save_checkpoint(training, path)
    torch.rand(100)
    return losses
