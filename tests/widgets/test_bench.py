"""What is measured behind a board is what the plain calls measure."""

import pytest
import torch
from torch import nn

from lowrank_kit.measurement.cost import macs
from lowrank_kit.methods.latency_prediction import PLANS
from lowrank_kit.methods.prediction import random_ranks
from lowrank_kit.methods.tucker_tables import random_pairs
from lowrank_kit.widgets import bench as room
from lowrank_kit.widgets.bench import Bench, TuckerBench


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


def test_each_batch_has_one_predictor(mlp, vectors, split):
    bench = Bench(mlp, split(vectors))
    one, other = bench.predictor(4), bench.predictor(8)
    assert (one.batch, other.batch) == (4, 8)
    assert bench.predictor(4) is one and {*bench.predictors} == {4, 8}


def test_plans_are_tried_as_tables_have_ranks_or_pairs(mlp, vectors, cnn, images, split):
    ranks, pairs = Bench(mlp, split(vectors)), TuckerBench(cnn, split(images))
    assert [*ranks.predictor(4).trials] == [*random_ranks(ranks.tables, PLANS)]
    assert [*pairs.predictor(4).trials] == [*random_pairs(pairs.tables, PLANS)]


def test_a_finding_is_noted_for_its_batch_once_it_is_timed(mlp, vectors, split, by_hand, monkeypatch):
    monkeypatch.setattr(room, "LATENCY_BUDGET_S", 0)
    bench = Bench(mlp, split(vectors))
    plan, ranks = by_hand(bench.model, {"0": 2}), {"0": 2, "2": 10, "4": 4}
    *before, last = bench.trial(plan, 8, lambda: False)
    for finding in before:
        bench.note(ranks, finding)
    assert not bench.predictors
    bench.note(ranks, last)
    assert {*bench.predictors} == {8}
    assert bench.predictor(8).times.dense_s == last.dense.timing.median_s
