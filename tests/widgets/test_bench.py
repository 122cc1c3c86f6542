"""What is measured behind a board is what the plain calls measure."""

import pytest
import torch
from torch import nn

from lowrank_kit.measurement.cost import macs
from lowrank_kit.widgets.bench import Bench


class Reader(nn.Module):
    """Reads the weight of a layer itself: cut in two, it takes as long as before."""

    def __init__(self):
        super().__init__()
        self.fc, self.head = nn.Linear(12, 12), nn.Linear(12, 4)

    def forward(self, x):
        return self.head(nn.functional.linear(x, self.fc.weight))


@pytest.mark.parametrize("build", [Reader, lambda: nn.Sequential(nn.Linear(12, 12), nn.Linear(12, 4))])
def test_multiply_adds_are_those_of_the_network_that_is_really_cut(build, vectors, split, by_hand):
    torch.manual_seed(0)
    bench = Bench(build(), split(vectors))
    name = bench.tables.layers[0].name
    plan = by_hand(bench.model, {name: 2})
    first = next(bench.trial(plan, 8, lambda: False))
    assert first.measured.macs == macs(bench.factorisation.compress(plan), vectors.x)
