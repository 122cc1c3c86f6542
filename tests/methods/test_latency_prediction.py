"""Times of layers and networks that the test makes: where they add up, the prediction is the truth."""

import math
from itertools import islice

import numpy as np
import pytest
from torch import nn

from lowrank_kit.measurement.measure import measure
from lowrank_kit.methods import latency_prediction as room
from lowrank_kit.methods.latency_prediction import PLANS, LatencyPredictor
from lowrank_kit.methods.prediction import tabulate
from lowrank_kit.methods.tucker_tables import random_pairs, tabulate_tucker
from lowrank_kit.models.blocks import rank_of
from lowrank_kit.models.inventory import factorable_layers
from lowrank_kit.models.low_rank import LowRank
from lowrank_kit.models.surgery import Factorisation
from lowrank_kit.models.tucker import Tucker
from lowrank_kit.records import LayerTimes, Timing


class Machine:
    """A layer takes 10 s, in factors a second for every 8 of its ranks' product; a network takes 5 s beside its layers.

    `aside` is what cutting a layer costs the rest of the network, `pace` how much slower the machine is now.
    """

    def __init__(self, aside=()):
        self.aside, self.pace, self.log, self.batches = dict(aside), 1.0, [], set()

    def layer_times(self, model, x, plans, *, batch, budget_s, stop):
        self.batches.add(batch)
        ((name, grid),) = plans.items()
        self.log.append(name)
        seconds = np.array([self.seconds(plan.ranks) for plan in grid])
        yield LayerTimes(name, tuple(grid), self.pace * seconds, self.pace * 10.0, {})

    def latency(self, models, x, *, batch, budget_s, stop):
        self.batches.add(batch)
        self.log.append([*map(cut, models)])
        times = [np.full(6, self.pace * self.network_s(cut(model), factorable_layers(models[-1]))) for model in models]
        return [Timing(raw, batch, "a machine", "float32", "contiguous", 1) for raw in times]

    def network_s(self, ranks, layers):
        aside = sum(self.aside.get(name, 0) for name in ranks)
        return 5.0 + aside + sum(self.seconds(ranks[name]) if name in ranks else 10.0 for name in layers)

    def seconds(self, ranks):
        return math.prod(ranks) / 8


def cut(model):
    """{layer: ranks} of what is in factors."""
    blocks = {name: block for name, block in model.named_modules() if isinstance(block, (LowRank, Tucker))}
    return {name: tuple(np.atleast_1d(rank_of(block)).tolist()) for name, block in blocks.items()}


@pytest.fixture
def machine(monkeypatch):
    found = Machine()
    monkeypatch.setattr(room, "layer_times", found.layer_times)
    monkeypatch.setattr(room, "latency", found.latency)
    return found


@pytest.fixture
def learner(mlp, vectors, split):
    return _learner(mlp, split(vectors), tabulate)


@pytest.fixture
def pairs(cnn, images, split):
    return _learner(cnn, split(images), tabulate_tucker, draw=random_pairs)


def _learner(model, data, tabulated, **options):
    found = Factorisation(model.eval())
    tables = tabulated(found, data, measure(model, data, latency_budget_s=0))
    return LatencyPredictor(tables, found, data.test.x, batch=4, **options)


def everything(learner):
    for _ in learner.learn():
        pass
    return learner.times


def settings(learner):
    """Every rank of every layer, the others dense."""
    for name, table in learner.tables.items():
        for rank in range(1, table.full_rank + 1):
            yield learner.dense | {name: rank}


def real_s(machine, learner, ranks):
    found = {name: np.atleast_1d(r) for name, r in ranks.items() if learner.tables[name].saves(r)}
    return machine.network_s({name: tuple(r) for name, r in found.items()}, learner.found.layers)


def test_where_times_add_up_every_rank_is_predicted(machine, learner):
    times = everything(learner)
    assert times.predict(learner.dense) == times.dense_s == 5 + 10 * len(learner.tables)
    for ranks in settings(learner):
        assert times.predict(ranks) == pytest.approx(real_s(machine, learner, ranks), rel=1e-6)
    assert times.error(times.dense_s) == pytest.approx(0, abs=1e-6)
    assert machine.batches == {4} and times.batch == 4


def test_the_steps_are_the_network_the_layers_their_places_and_plans(machine, learner):
    steps, names = sum(1 for _ in learner.learn()), [*learner.tables]
    assert steps == 1 + 2 * len(names) + PLANS == len(machine.log)
    assert machine.log[0] == [{}, {}]
    assert machine.log[1 : 1 + len(names)] == names
    assert [[*run[0]] for run in machine.log[1 + len(names) : -PLANS]] == [[name] for name in names]
    assert len(learner.times.predicted) == len(learner.times.observed) == PLANS


def test_between_timed_ranks_lies_a_straight_line(machine, learner, monkeypatch):
    monkeypatch.setattr(machine, "seconds", lambda ranks: {1: 1.0, 4: 4.0}.get(ranks[0], 6.0))
    monkeypatch.setattr(room, "rank_grid", lambda *_: [room.LayerPlan(4)])
    everything(learner)
    table, shares = learner.tables["0"], learner.times.shares["0"] * 35
    assert table.break_even_rank == 6
    np.testing.assert_allclose(shares, [1, 2, 3, 4, 5, 6, *[10] * 6], rtol=1e-6)


@pytest.mark.parametrize("tile", [1, 8, 64])
def test_the_least_and_the_most_that_save_are_timed_and_nothing_that_does_not(learner, pairs, tile):
    for found in (learner, pairs):
        shapes = room.layer_shapes(found.found.model, found.x)
        for name, table in found.tables.items():
            plans = room._grid(table, shapes[name], tile)
            macs = [float(table.price("macs").of(np.array([plan.ranks]))[0]) for plan in plans]
            saving = table.price("macs").of(room._ranks(table)[room._saving(table).ravel()])
            assert (macs[0], macs[-1]) == (saving.min(), saving.max())
            assert macs == sorted(macs)
            assert all(table.saves(plan.rank) for plan in plans)


def test_where_a_layer_saves_is_what_its_table_says(learner, pairs):
    for found in (learner, pairs):
        for table in found.tables.values():
            saving = [table.saves(tuple(rank) if len(rank) > 1 else rank[0]) for rank in room._ranks(table)]
            assert room._saving(table).ravel().tolist() == saving


def test_pairs_with_as_many_multiply_adds_take_as_long(machine, pairs):
    times = everything(pairs)
    for name, table in pairs.tables.items():
        saving = room._saving(table)
        macs, shares = table.price("macs").of(room._ranks(table)).reshape(saving.shape)[saving], times.shares[name]
        assert shares.shape == table.full_rank
        assert (shares[~saving] == shares[-1, -1]).all()
        order = np.argsort(macs, kind="stable")
        assert (np.diff(shares[saving][order])[np.diff(macs[order]) == 0] == 0).all()
    assert times.predict(pairs.dense) == times.dense_s


def test_what_cutting_a_layer_costs_the_rest_is_seen_in_its_place(machine, learner):
    machine.aside = {"0": 7.0}
    times = everything(learner)
    for ranks in settings(learner):
        assert times.predict(ranks) == pytest.approx(real_s(machine, learner, ranks), rel=1e-6)
    assert times.predict(learner.dense) == times.dense_s


def test_a_difference_that_is_chance_corrects_nothing(learner, rng):
    learner.times = learner.times.seen(learner.dense, 1.0, 1.0)
    learner.times = learner.times.knowing("0", np.where(np.isnan(learner.times.shares["0"]), 0.25, 0.5))
    dense, known = 1 + 0.2 * rng.random(40), learner.times
    cut = learner.dense | {"0": 2}
    for real, is_chance in ((0.75 * dense * (1 + 0.2 * (rng.random(40) - 0.5)), True), (0.9 * dense, False)):
        learner._correct("0", cut, *(Timing(raw, 4, "a machine", "float32", "c", 1) for raw in (real, dense)))
        assert (learner.times is known) == is_chance


def test_a_cut_that_changes_the_layout_is_compared_all_the_same(learner):
    learner.times = learner.times.seen(learner.dense, 1.0, 1.0)
    learner.times = learner.times.knowing("0", np.where(np.isnan(learner.times.shares["0"]), 0.25, 0.5))
    one, other = (Timing(np.full(5, 1.0), 4, "a machine", "float32", layout, 1) for layout in ("contiguous", "last"))
    learner._correct("0", learner.dense | {"0": 2}, one, other)
    assert learner.times.predict(learner.dense | {"0": 2}) == pytest.approx(1.0)


def test_a_machine_that_slows_down_slows_predictions_down(machine, learner):
    before = everything(learner)
    machine.pace = 3.0
    ranks = next(settings(learner))
    timing, dense = machine.latency([learner.found.compress(learner._plan(ranks)), learner.found.model], None,
                                    batch=4, budget_s=0, stop=None)  # fmt: skip
    learner.see(ranks, timing, dense)
    assert learner.times.predict(ranks) == pytest.approx(3 * before.predict(ranks))
    assert len(learner.times.predicted) == PLANS + 1


def test_a_step_that_is_cut_short_is_taken_anew(machine, learner):
    calls = iter(range(1000))
    # Every second look finds something else wanted.
    for _ in learner.learn(lambda: next(calls) % 2 == 0):
        pass
    assert machine.log[0:4:2] == [[{}, {}], "0"] and machine.log[1] == machine.log[0] and machine.log[3] == "0"
    assert all(learner.times.predict(ranks) is not None for ranks in settings(learner))
    assert len(learner.times.predicted) == PLANS


def test_a_dense_time_that_is_known_is_not_taken_again(machine, learner):
    timing = Timing(np.array([35.0]), 4, "a machine", "float32", "contiguous", 1)
    learner.see(learner.dense, timing, timing)
    next(learner.learn())
    assert machine.log == ["0"]


def test_a_hands_settings_are_kept_while_layers_are_timed(machine, learner):
    steps = learner.learn()
    for _ in islice(steps, 1 + len(learner.tables)):
        pass
    timing = Timing(np.array([30.0]), 4, "a machine", "float32", "contiguous", 1)
    learner.see(learner.dense | {"0": 1}, timing, timing)
    for _ in steps:
        pass
    assert len(learner.times.predicted) == PLANS + 1 and learner.times.observed[0] == 30.0


class Twice(nn.Module):
    """Runs a layer twice: it has no time of its own."""

    def __init__(self):
        super().__init__()
        self.fc, self.last, self.head = nn.Linear(12, 12), nn.Linear(12, 12), nn.Linear(12, 4)

    def forward(self, x):
        return self.head(self.last(self.fc(self.fc(x))))


def test_what_can_not_be_timed_alone_is_not_predicted(machine, vectors, split):
    learner = _learner(Twice(), split(vectors), tabulate)
    times = everything(learner)
    assert "fc" not in machine.log
    assert times.predict(learner.dense | {"fc": 2}) is None
    assert times.predict(learner.dense | {"fc": 12, "last": 2}) is not None
    assert len(times.predicted) == 0 and times.error(1.0) is None


def test_real_times_give_a_prediction(mlp, vectors, split, monkeypatch):
    monkeypatch.setattr(room, "LAYER_BUDGET_S", 0)
    monkeypatch.setattr(room, "NETWORK_BUDGET_S", 0)
    learner = _learner(mlp, split(vectors), tabulate)
    times = everything(learner)
    assert all(times.predict(ranks) > 0 for ranks in settings(learner))
    assert len(times.predicted) == PLANS and times.error(times.dense_s) >= 0
