"""Plans by times that the test makes: the least drop within the time there is, judged by the network that is run."""

import itertools
import re
from collections import Counter
from contextlib import ExitStack, contextmanager
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from torch import nn

from lowrank_kit.checks import InputError
from lowrank_kit.measurement.layer_times import rank_grid
from lowrank_kit.measurement.quality import logits
from lowrank_kit.methods import latency_planning as room
from lowrank_kit.methods.latency_planning import SLACK, LatencyPlanner
from lowrank_kit.models.blocks import rank_of
from lowrank_kit.models.inventory import weights_hash
from lowrank_kit.models.low_rank import LowRank
from lowrank_kit.models.shapes import layer_shapes
from lowrank_kit.models.surgery import Factorisation, compress
from lowrank_kit.models.tucker import Tucker
from lowrank_kit.records import Examples, LayerPlan, LayerTimes, RankPlan, Timing


class Machine:
    """Layers take the seconds of `times`, by layer and plan, None for dense; a plan that is not there takes 9.

    A network takes `rest` beside its layers, and of what its blocks promise to save it saves the fraction `kept`, from
    the second attempt on the fraction `later`. Every look at networks takes `drift` times as long as the last.
    """

    def __init__(self, times, rest=10.0, kept=1.0, later=None, drift=1.0):
        self.times, self.rest, self.kept, self.later, self.drift = times, rest, kept, later, drift
        self.asked, self.timed, self.batches, self.runs = [], Counter(), set(), []

    def layer_times(self, model, x, plans, *, batch):
        self.batches.add(batch)
        self.asked += plans
        for name, grid in plans.items():
            self.timed.update((name, plan) for plan in grid)
            seconds = np.array([self.seconds(name, plan) for plan in grid])
            yield LayerTimes(name, tuple(grid), seconds, self.seconds(name, None), {})

    def latency(self, models, x, *, batch, budget_s):
        self.batches.add(batch)
        found = [self.drift ** len(self.runs) * self.network_s(model) for model in models]
        self.runs.append(found)
        if len(self.runs) == 2 and self.later is not None:
            self.kept = self.later
        return [Timing(np.array([1, 2, 0.5]) * s, batch, "a machine", "float32", "contiguous", 1) for s in found]

    def seconds(self, name, plan):
        return self.times.get(name, {}).get(plan, 9.0)

    @property
    def dense_s(self):
        return self.rest + sum(self.seconds(name, None) for name in self.times)

    def saved_s(self, layers):
        return sum(self.seconds(name, None) - self.seconds(name, plan) for name, plan in layers.items())

    def network_s(self, model):
        return self.dense_s - self.kept * self.saved_s(blocks_of(model))

    def share(self, plan):
        """What the network under a plan takes of the dense one's time."""
        return 1 - self.kept * self.saved_s(plan.layers) / self.dense_s


def blocks_of(model):
    """{layer: the plan it was made by} of the blocks in a network."""
    return {name: plan_of(block) for name, block in model.named_modules() if isinstance(block, (LowRank, Tucker))}


def plan_of(block):
    if isinstance(block, Tucker):
        return LayerPlan(block.ranks, "tucker")
    spatial = isinstance(block.expand, nn.Conv2d) and block.expand.kernel_size[1] > 1
    return LayerPlan(rank_of(block), "spatial" if spatial else "svd")


@contextmanager
def on(machine):
    """The machine in place of clocks; no layer is suspected to slow others down."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(room, "layer_times", machine.layer_times)
        patch.setattr(room, "latency", machine.latency)
        patch.setattr(LatencyPlanner, "_holds", lambda *_: True)
        yield machine


@pytest.fixture
def run():
    """Puts a machine in place of clocks until the test ends."""
    with ExitStack() as stack:
        yield lambda times, **more: stack.enter_context(on(Machine(times, **more)))


def network():
    """Three layers with two or three ranks that save and a head; inputs (n, 48), 4 classes."""
    torch.manual_seed(0)
    sides = [48, 64, 40, 32, 4]
    layers = [nn.Sequential(nn.Linear(n, m), nn.ReLU()) for n, m in itertools.pairwise(sides)]
    model = nn.Sequential(*(part for layer in layers for part in layer))[:-1]
    with torch.no_grad():
        model[6].weight *= 20  # so that some scores stand out
    return model


@pytest.fixture(scope="module")
def case():
    """A network, examples whose labels it knows half of, its grids, and what each of their ranks drops."""
    model, rng = network(), np.random.default_rng(0)
    x = 3 * rng.standard_normal((40, 48)).astype(np.float32)
    found, cut = Factorisation(model), LayerPlan(8)
    # A third of the labels it knows itself, and a third a network that is cut: some ranks gain.
    known = [logits(net, x).argmax(axis=1) for net in (model, found.compress(RankPlan({"2": cut}, found.weights)))]
    examples = Examples(x, np.choose(np.arange(40) % 3, [*known, rng.integers(0, 4, 40)]))
    grids = {name: rank_grid(shape, "svd", 8) for name, shape in layer_shapes(model, x).items()}
    drops = {(n, plan): drop(found, examples, {n: plan}) for n, grid in grids.items() for plan in grid}
    return SimpleNamespace(model=model, found=found, examples=examples, grids=grids, drops=drops)


def sureness(model, examples):
    probabilities = torch.softmax(torch.from_numpy(logits(model, examples.x)).double(), 1)
    return float(probabilities[torch.arange(len(examples.y)), torch.from_numpy(examples.y)].mean())


def drop(found, examples, layers):
    """How much less probability the right class is given; a gain is none."""
    small = found.compress(RankPlan(layers, found.weights), break_even_guard=False)
    return max(sureness(found.model, examples) - sureness(small, examples), 0)


def stairs(machine, name, grid):
    """The plans that are faster than dense and than everything larger."""
    seconds = [machine.seconds(name, plan) for plan in grid] + [machine.seconds(name, None)]
    return [plan for index, plan in enumerate(grid) if seconds[index] < min(seconds[index + 1 :])]


def ways(machine, grids):
    """Every way to choose a plan of its stairs, or none, for each layer."""
    choices = [[None, *stairs(machine, name, grid)] for name, grid in grids.items()]
    for plans in itertools.product(*choices):
        yield {name: plan for name, plan in zip(grids, plans, strict=True) if plan is not None}


def lost(case, layers):
    return sum(case.drops[item] for item in layers.items())


@st.composite
def machines(draw):
    """Times in seconds, milliseconds or microseconds; some ranks are slower than larger ones, or than dense."""
    unit = draw(st.sampled_from([1.0, 1e-3, 1e-6, 1e-7]))
    few = st.integers(1, 12)
    grids = {"0": (8, 16, 24), "2": (8, 16, 24), "4": (8, 16)}
    times = {
        name: {LayerPlan(rank): unit * draw(few) for rank in ranks} | {None: unit * draw(few)}
        for name, ranks in grids.items()
    }
    return Machine(times, rest=unit * draw(few))


def planner(case, **asked):
    return LatencyPlanner(case.found, case.examples, **asked)


def told(fault):
    """The least budget that the sentence names."""
    return float(re.search(r"at least about ([\d.]+):", str(fault.value))[1])


def even(names=("0", "2", "4"), ranks=(8, 16, 24)):
    """Every layer takes 10 s dense, and a quarter of its rank in factors."""
    return {name: {LayerPlan(rank): rank / 4 for rank in ranks} | {None: 10.0} for name in names}


def test_the_grids_are_those_that_machines_know(case):
    ranks = {name: [plan.rank for plan in grid] for name, grid in case.grids.items()}
    assert ranks == {"0": [8, 16, 24], "2": [8, 16, 24], "4": [8, 16], "6": [2]}
    drops = [drop for (name, _), drop in case.drops.items() if name != "6"]
    assert min(drops) == 0  # a gain
    assert sum(drop > 1e-3 for drop in drops) > 4


@given(machines(), st.floats(0.05, 0.95))
def test_no_other_way_loses_less_within_the_time(case, machine, budget):
    """Beside every way there is; where none is fast enough, the fastest is told."""
    all_ways = list(ways(machine, case.grids))
    most = max(machine.saved_s(layers) for layers in all_ways)
    fastest = 1 - most / machine.dense_s
    assume(abs(fastest - SLACK * budget) > 1e-9)
    with on(machine):
        if fastest > SLACK * budget:
            with pytest.raises(InputError, match="at least about") as fault:
                planner(case).at(budget)
            assert told(fault) == pytest.approx(fastest, abs=0.0051)
            return
        found = planner(case).at(budget)
    enough = min((1 - budget) * machine.dense_s, most)
    least = min(lost(case, layers) for layers in all_ways if machine.saved_s(layers) >= enough * (1 - 1e-12))
    assert machine.saved_s(found.layers) >= enough * (1 - 1e-5)
    # Within a ten-thousandth, and as much again for saving more.
    assert lost(case, found.layers) <= least * (1 + 1e-4) + 1.01e-4
    assert machine.share(found) <= SLACK * budget


@given(machines(), st.floats(0.05, 0.95))
def test_no_plan_is_off_its_layers_stairs(case, machine, budget):
    with on(machine):
        offers = planner(case).offers
        try:
            found = planner(case).at(budget)
        except InputError:
            return
    expected = {name: plans for name, grid in case.grids.items() if (plans := stairs(machine, name, grid))}
    assert {name: list(offer.plans) for name, offer in offers.items()} == expected
    assert all(plan in expected[name] for name, plan in found.layers.items())


def test_an_offer_tells_what_each_plan_drops_and_saves(case, run):
    machine = run(even())
    for name, offer in planner(case).offers.items():
        assert offer.drops == pytest.approx([case.drops[name, plan] for plan in offer.plans], abs=1e-6)
        assert offer.saved_s == pytest.approx([machine.saved_s({name: plan}) for plan in offer.plans])
        assert (offer.drops >= 0).all()


@pytest.fixture
def indifferent(rng):
    """A network that gives the same scores whatever its first layers do, and examples."""
    model = network()
    nn.init.zeros_(model[6].weight)
    return Factorisation(model), Examples(rng.standard_normal((12, 48)).astype(np.float32), np.arange(12) % 4)


def test_of_ways_that_lose_nothing_the_fastest_is_taken(indifferent, run):
    run(even())
    assert LatencyPlanner(*indifferent).at(0.9).ranks == {"0": 8, "2": 8, "4": 8}


def test_less_time_never_loses_less(case, run):
    run(even(), rest=1.0)
    found = planner(case)
    budgets = [0.95, 0.8, 0.65, 0.5, 0.4, 0.35]
    losses = [lost(case, found.at(budget).layers) for budget in budgets]
    assert (np.diff(losses) >= -2e-4).all()
    assert losses[-1] > losses[0]


def test_layers_are_timed_once_for_all_budgets(case, run):
    machine = run(even())
    found = planner(case)
    timed = machine.timed.copy()
    assert set(timed.values()) == {1}
    for budget in (0.9, 0.6, 0.9):
        found.at(budget)
    assert machine.timed == timed


def test_no_layer_takes_two_plans_though_both_would_save(case, run):
    """Two plans of one layer would save 19 of 20 s, more than the 75 % that all layers can."""
    machine = run({name: {LayerPlan(8): 0.5, LayerPlan(16): 0.6, None: 10.0} for name in "024"}, rest=0.5)
    found = planner(case).at(0.1)
    assert len(found.layers) == 3
    assert machine.share(found) <= 0.1 * SLACK


def test_the_network_under_the_plan_is_measured_beside_the_dense_one(case, run):
    machine = run(even())
    found = planner(case).at(0.7)
    assert machine.runs == [[machine.dense_s], [machine.dense_s, pytest.approx(machine.share(found) * machine.dense_s)]]


def test_where_layers_promise_more_than_the_network_keeps_more_is_asked_of_them(case, run):
    machine = run(even(), rest=1.0, kept=0.6)
    found = planner(case).at(0.7)
    shares = [after / before for before, after in machine.runs[1:]]
    assert len(shares) > 1
    assert min(shares[:-1]) > 0.7 * SLACK
    assert machine.share(found) == pytest.approx(shares[-1])
    assert shares[-1] <= 0.7 * SLACK
    assert machine.saved_s(found.layers) / machine.dense_s > 0.3 / 0.6 - 0.05


def test_no_attempt_asks_for_more_than_twice_as_much(case, run):
    """The first network saves nothing, and that says little of how much the next one does."""
    machine = run(even(), kept=0.0, later=1.0)
    found = planner(case).at(0.9)
    assert 0.2 <= machine.saved_s(found.layers) / machine.dense_s < 0.35
    assert machine.saved_s({name: LayerPlan(8) for name in "024"}) / machine.dense_s == pytest.approx(0.6)


@pytest.mark.parametrize("drift", [0.5, 2.0])
def test_a_machine_that_grows_slower_or_faster_is_none_of_the_networks_doing(case, run, drift):
    run(even())
    expected = planner(case).at(0.7)
    run(even(), drift=drift)
    assert planner(case).at(0.7) == expected


def test_a_layer_that_nothing_makes_smaller_is_not_timed(rng, run):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(48, 64), nn.ReLU(), nn.Linear(64, 1), nn.ReLU(), nn.Linear(1, 4))
    examples = Examples(rng.standard_normal((8, 48)).astype(np.float32), np.arange(8) % 4)
    machine = run(even())
    LatencyPlanner(Factorisation(model), examples)
    assert machine.asked == ["0"]


def test_where_the_network_keeps_more_than_promised_the_first_plan_does(case, run):
    machine = run(even(), kept=1.2)
    plain = planner(case).at(0.7)
    assert len(machine.runs) == 2
    machine.kept = 1.0
    assert planner(case).at(0.7) == plain


def test_as_much_as_two_runs_differ_may_be_over(case, run):
    """All that can be saved is 30 of 100 s."""
    times = {"0": {LayerPlan(8): 20.0, LayerPlan(16): 60.0, LayerPlan(24): 60.0, None: 50.0}}
    for budget in (0.7, 0.687):
        run(times, rest=50.0)
        assert planner(case).at(budget).ranks == {"0": 8}
    run(times, rest=50.0)
    with pytest.raises(InputError, match=r"at least about 0\.70: no plan"):
        planner(case).at(0.686)


@pytest.mark.parametrize("kept", [1.0, 0.5])
def test_the_share_that_is_told_can_be_had(case, run, kept):
    machine = run(even(), kept=kept)
    most = machine.saved_s({name: LayerPlan(8) for name in "024"})
    least = 1 - kept * most / machine.dense_s
    with pytest.raises(
        InputError, match=rf"`budget` must be at least about {least:.2f}: no plan .* batch of 3; got 0.1\."
    ):
        planner(case, batch=3).at(0.1)
    assert planner(case).at(round(least, 2)).ranks == {"0": 8, "2": 8, "4": 8}


@pytest.mark.parametrize("slower", [0.0, 5.0])
def test_where_no_rank_is_faster_only_the_dense_network_is_told(case, run, slower):
    run({name: {LayerPlan(rank): 10.0 + slower for rank in (8, 16, 24)} | {None: 10.0} for name in "024"})
    found = planner(case)
    assert found.offers == {}
    with pytest.raises(InputError, match=r"at least about 1\.00"):
        found.at(0.5)
    assert found.at(1.0).layers == {}


@pytest.mark.parametrize("kept", [1.0, 0.0, -0.5])
def test_all_of_the_time_leaves_the_network_dense(indifferent, run, kept):
    """Even where blocks that lose nothing are faster alone, and slow the network down."""
    run(even(), kept=kept)
    weights = indifferent[0].weights
    assert LatencyPlanner(*indifferent).at(1.0) == RankPlan({}, weights, "latency", 1.0, "latency")


def test_a_network_that_grows_slower_is_told(case, run):
    run(even(), kept=-0.5)
    with pytest.raises(InputError, match=r"at least about 1\.00"):
        planner(case).at(0.9)


@pytest.mark.parametrize("budget", [0, -0.5, 1.5, float("nan"), "half", True])
def test_a_budget_is_a_fraction(case, run, budget):
    run(even())
    with pytest.raises(InputError, match="`budget` must be a fraction above 0 and at most 1"):
        planner(case).at(budget)


@pytest.mark.parametrize("keep_head", [True, False])
def test_the_head_is_dense_unless_it_may_be_cut(case, run, keep_head):
    machine = run({**even(), "6": {LayerPlan(2): 1.0, None: 30.0}}, rest=0.0)
    found = planner(case, keep_head=keep_head)
    assert ("6" in found.offers) is (("6", LayerPlan(2)) in machine.timed) is not keep_head
    if keep_head:
        with pytest.raises(InputError, match="`budget` must be at least"):
            found.at(0.3)
    else:
        assert found.at(0.3).ranks["6"] == 2


@pytest.mark.parametrize("layers", [[], ["2"], ["0", "4"], {"0", "2", "4", "6"}])
def test_only_layers_that_are_named_are_timed_and_cut(case, run, layers):
    machine = run(even(), rest=0.1)
    found = planner(case, layers=layers)
    expected = {*layers} - {"6"}
    assert set(found.offers) == {name for name, _ in machine.timed} == expected
    least = 1 - 8 * len(expected) / machine.dense_s
    assert set(found.at(least).layers) == expected


@pytest.mark.parametrize("batch", [1, 16])
def test_the_batch_is_that_of_all_times(case, run, batch):
    machine = run(even())
    planner(case, batch=batch).at(0.8)
    assert machine.batches == {batch}


def test_the_plan_is_one_that_compress_takes_and_json_keeps(case, run):
    machine = run(even())
    found = planner(case).at(0.6)
    assert (found.rule, found.cost, found.budget, found.weights) == (
        "latency",
        "latency",
        0.6,
        weights_hash(case.model),
    )
    again = RankPlan.from_json(found.to_json())
    assert again == found
    small = compress(case.model, again)
    assert blocks_of(small) == found.layers != {}
    assert machine.network_s(small) / machine.dense_s == pytest.approx(machine.share(found))


@pytest.fixture
def convolutions():
    """Two convolutions that all methods suit, one of a point, and a head."""
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 16, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(16, 12, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(12, 10, 1),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(10, 4),
    )


@pytest.fixture
def choosy(convolutions, images):
    """Times by which one convolution is fastest as a column and a row, and the other with two ranks."""
    shapes = layer_shapes(convolutions, images.x)

    def all_take(name, **seconds):
        return {plan: s for method, s in seconds.items() for plan in rank_grid(shapes[name], method, 8)} | {None: 10.0}

    return {"0": all_take("0", spatial=2.0, tucker=5.0), "2": all_take("2", spatial=8.0, tucker=3.0), "4": {None: 9.0}}


@pytest.mark.parametrize("method", ["svd", "spatial", "tucker", "aware"])
def test_layers_take_the_method_where_it_suits_and_svd_elsewhere(convolutions, images, run, method):
    machine = run({})
    LatencyPlanner(Factorisation(convolutions, images), images, method=method)
    elsewhere = method if method == "aware" else "svd"
    assert {name: plan.method for name, plan in machine.timed} == {"0": method, "2": method, "4": elsewhere}


def test_any_method_gives_each_layer_the_one_that_serves_it_best(convolutions, images, choosy, run):
    machine = run(choosy, rest=0.0)
    found = LatencyPlanner(Factorisation(convolutions), images, method="any")
    assert set(machine.timed.values()) == {1}  # a layer that a method does not suit is not timed anew by svd
    timed = {name: {plan.method for other, plan in machine.timed if other == name} for name, _ in machine.timed}
    assert timed == {"0": {"svd", "spatial", "tucker"}, "2": {"svd", "spatial", "tucker"}, "4": {"svd"}}
    plan = found.at(0.5)
    assert {name: layer.method for name, layer in plan.layers.items()} == {"0": "spatial", "2": "tucker"}
    assert blocks_of(compress(convolutions, plan)) == plan.layers


@pytest.mark.parametrize(("method", "seconds"), [("spatial", 2 + 8), ("tucker", 5 + 3), ("any", 2 + 3)])
def test_one_method_alone_can_do_less_than_any(convolutions, images, choosy, run, method, seconds):
    run(choosy, rest=0.0)
    with pytest.raises(InputError, match="at least about") as fault:
        LatencyPlanner(Factorisation(convolutions), images, method=method).at(0.3)
    assert told(fault) == pytest.approx((seconds + 9) / 29, abs=0.0051)


def test_a_layer_that_slows_the_network_behind_it_down_stays_dense(case, monkeypatch):
    """As where its factors hand on another layout: alone it is faster, in the network slower."""

    class Slowed(Machine):
        def network_s(self, model):
            return super().network_s(model) + 50 * ("2" in blocks_of(model))

    machine = Slowed(even())
    monkeypatch.setattr(room, "layer_times", machine.layer_times)
    monkeypatch.setattr(room, "latency", machine.latency)
    found = planner(case)
    assert set(found.offers) == {"0", "4"}
    assert set(found.at(0.7).layers) == {"0", "4"}


def test_a_layer_may_slow_the_network_by_as_much_as_two_runs_differ(case, monkeypatch):
    for more, kept in ((0.9 * (SLACK - 1), {"0", "2", "4"}), (1.1 * (SLACK - 1), set())):
        machine = Machine(even(), kept=0.0)
        machine.network_s = lambda model, m=machine, more=more: m.dense_s * (1 + more * bool(blocks_of(model)))
        with monkeypatch.context() as patch:
            patch.setattr(room, "layer_times", machine.layer_times)
            patch.setattr(room, "latency", machine.latency)
            assert set(planner(case).offers) == kept
