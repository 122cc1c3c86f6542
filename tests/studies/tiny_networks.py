"""Networks that studies in tests are made of, by name: workers import this module."""

import os
import time
from multiprocessing import current_process

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from lowrank_kit.models import THREADS
from lowrank_kit.records import Data, Examples

not_a_function = 3


class Slow(nn.Module):
    """Takes a while for each batch."""

    def forward(self, x):
        time.sleep(0.04)
        return x


def examples(n, seed):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((n, 12)).astype(np.float32)
    return Examples(x, (x[:, :4] + 0.5 * rng.standard_normal((n, 4))).argmax(1))


def network(seed, *first):
    torch.manual_seed(seed)
    return nn.Sequential(*first, nn.Linear(12, 16), nn.ReLU(), nn.Linear(16, 14), nn.ReLU(), nn.Linear(14, 4))


def mlp(seed):
    assert torch.get_num_threads() == THREADS, "a worker computes with the kit's number of threads"
    return network(seed), Data("points", examples(40, seed), examples(60, seed + 100))


class Particular(nn.Module):
    """Wants its layers as they were."""

    def __init__(self, layers):
        super().__init__()
        self.layers = layers

    def forward(self, x):
        if type(self.layers[0]) is not nn.Linear:
            raise AttributeError("this is not my layer")
        return self.layers(x)


def particular(seed):
    return Particular(network(seed)), mlp(seed)[1]


def slow(seed):
    return network(seed, Slow()), mlp(seed)[1]


def from_loader(seed):
    found = examples(90, seed)
    return network(seed), DataLoader(TensorDataset(torch.from_numpy(found.x), torch.from_numpy(found.y)), batch_size=32)


def cnn(seed):
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    parts = (Examples(rng.random((30, 3, 6, 6)).astype(np.float32), rng.integers(0, 3, 30)) for _ in range(2))
    layers = (nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 8, 3), nn.Flatten(), nn.Linear(32, 3))
    return nn.Sequential(*layers), Data("noise", *parts)


def retrained(seed):
    """Its weights follow an environment variable."""
    return network(int(os.environ.get("TINY_WEIGHTS", "0"))), mlp(seed)[1]


def other_data(seed):
    """Its test examples follow an environment variable."""
    return network(seed), Data("points", examples(40, 0), examples(60, int(os.environ.get("TINY_DATA", "0"))))


def dying(seed):
    if current_process().name != "MainProcess":
        os._exit(1)
    return mlp(seed)


def failing(seed):
    raise RuntimeError(f"no weights for {seed}\nand a long story")


def alone(seed):
    return network(seed)


def wrong_inputs(seed):
    return nn.Sequential(nn.Linear(7, 4)), mlp(seed)[1]


def wrong_labels(seed):
    return nn.Sequential(nn.Linear(12, 2)), mlp(seed)[1]
