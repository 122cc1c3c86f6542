"""A plan keeps its budget on the network that is really compressed, and the next step would break it."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from lowrank_kit.checks import InputError
from lowrank_kit.measurement.cost import layer_macs, layer_params, macs, pair_macs, rank_macs
from lowrank_kit.measurement.measure import measure
from lowrank_kit.methods import latency_planning
from lowrank_kit.methods.allocation import ladder, params_prices, table_ladder
from lowrank_kit.methods.planning import plan
from lowrank_kit.methods.prediction import tabulate
from lowrank_kit.models.inventory import factorable_layers, weights_hash
from lowrank_kit.models.low_rank import suited
from lowrank_kit.models.surgery import Factorisation, compress, spectra
from lowrank_kit.records import Data, Examples, LayerPlan

rules = pytest.mark.parametrize("rule", ["energy", "uniform"])
networks = pytest.mark.parametrize("name", ["mnist", "digits"])


def params_of_layers(model):
    """Parameters of convolution and linear layers, which the budget is a share of."""
    layers = (m for m in model.modules() if isinstance(m, (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)))
    return sum(p.numel() for layer in layers for p in layer.parameters())


def following(model, found, rule, head, method="svd", data=None):
    """The plan of the ladder's next step, whatever the costs on it."""
    parts = Factorisation(model, data)
    methods = {name: suited(layer, method) for name, layer in parts.layers.items() if name != head}
    planned = {name: parts.spectrum(name, how) for name, how in methods.items()}
    steps = ladder(planned, rule, params_prices(planned), params_of_layers(model))
    full = {k: min(s.shape) for k, s in planned.items()}
    step = steps.ranks.tolist().index([found.ranks.get(k, full[k]) for k in planned])
    ranks = dict(zip(planned, steps.ranks[step + 1].tolist(), strict=True))
    return replace(found, layers={k: LayerPlan(r, methods[k]) for k, r in ranks.items() if r < full[k]})


def share(model, found, cost, data):
    """What is kept of the network that is really compressed."""
    small, x = compress(model, found, data=data), data.test.x
    return params_of_layers(small) / params_of_layers(model) if cost == "params" else macs(small, x) / macs(model, x)


@networks
@rules
@pytest.mark.parametrize("cost", ["params", "macs"])
@pytest.mark.parametrize("budget", [0.15, 0.5, 0.9])
@pytest.mark.parametrize("keep_head", [True, False])
def test_a_budget_is_kept_and_used_up(name, rule, cost, budget, keep_head, request):
    model, data = request.getfixturevalue(name)
    found = plan(model, rule=rule, budget=budget, cost=cost, data=data, keep_head=keep_head)
    assert (found.rule, found.budget, found.cost, found.weights) == (rule, budget, cost, weights_hash(model))
    assert share(model, found, cost, data) <= budget
    assert share(model, following(model, found, rule, "head" if keep_head else None), cost, data) > budget


@rules
@pytest.mark.parametrize("cost", ["params", "macs"])
@pytest.mark.parametrize("method", ["spatial", "aware"])
@pytest.mark.parametrize("name", ["mnist", "digits", "mixed"])
def test_a_budget_is_kept_and_used_up_by_every_method(name, rule, cost, method, request, images, split):
    given = request.getfixturevalue(name)
    model, data = (given, split(images)) if name == "mixed" else given
    found = plan(model, rule=rule, budget=0.7, cost=cost, method=method, data=data)
    kinds = {layer: type(model.get_submodule(layer)).__name__ for layer in found.layers}
    expected = {n: method if method == "aware" or kind == "Conv2d" else "svd" for n, kind in kinds.items()}
    assert {layer: part.method for layer, part in found.layers.items()} == expected != {}
    assert share(model, found, cost, data) <= 0.7
    assert share(model, following(model, found, rule, "head", method, data), cost, data) > 0.7


class Scaled(nn.Linear):
    """Computes something else by its weight: no plan can make it smaller, and a budget is a share of it."""

    def forward(self, x):
        return 2 * super().forward(x)


class Mixed(nn.Module):
    """Besides layers to plan, layers that a budget is a share of but that no plan can make smaller."""

    def __init__(self):
        super().__init__()
        self.head = nn.Linear(16, 4)  # registered first, run last
        self.grouped = nn.Conv2d(3 * 8, 16, 3, padding=1, groups=2)
        self.depthwise = nn.Conv2d(16, 16, 3, padding=1, groups=16)
        self.norm = nn.BatchNorm2d(16)
        self.conv = nn.Conv2d(16, 16, 3, padding=1)
        self.along = nn.Conv1d(16, 16, 3)
        self.fc, self.scaled = nn.Linear(16, 16), Scaled(16, 16)

    def forward(self, x):
        x = torch.relu(self.norm(self.depthwise(self.grouped(x.repeat_interleave(8, 1)))))
        x = torch.relu(self.conv(x)).mean(3)
        return self.head(self.scaled(torch.relu(self.fc(self.along(x).mean(2)))))


@pytest.fixture
def mixed():
    torch.manual_seed(0)
    return Mixed().eval()


@rules
@pytest.mark.parametrize("cost", ["params", "macs"])
@pytest.mark.parametrize("budget", [0.4, 0.6, 0.95])
def test_layers_that_cannot_be_made_smaller_are_part_of_the_budget(mixed, images, split, rule, cost, budget):
    data = split(images)
    found = plan(mixed, rule=rule, budget=budget, cost=cost, data=data)
    assert {*found.ranks} <= {"grouped", "conv", "along", "fc"}
    assert share(mixed, found, cost, data) <= budget
    assert share(mixed, following(mixed, found, rule, "head"), cost, data) > budget
    # The board's tables have the same ladder, whose costs are those of the compressed network.
    tables = tabulate(Factorisation(mixed), data, measure(mixed, data, latency_budget_s=0))
    steps, dense = table_ladder(tables, rule, cost), {t.name: t.full_rank for t in tables.layers}
    assert tables.plan(dense | steps.at(budget)).ranks == found.ranks
    kept = steps.cost[steps.ranks.tolist().index([*steps.at(budget).values()])]
    assert kept == pytest.approx(share(mixed, found, cost, data), rel=1e-12)


@pytest.mark.parametrize("cost", ["params", "macs"])
def test_a_budget_below_what_cannot_be_made_smaller_is_out_of_reach(mixed, images, cost):
    with pytest.raises(InputError, match=r"`budget` must be at least 0\.\d+ for this network"):
        plan(mixed, budget=0.1, cost=cost, data=images)


def test_the_head_is_the_layer_that_is_run_last_where_there_are_data_to_run(mixed, images):
    assert "head" not in plan(mixed, budget=0.6, data=images).ranks
    assert "fc" in plan(mixed, budget=0.6, data=images).ranks
    assert "fc" not in plan(mixed, budget=0.6).ranks


@rules
def test_the_whole_budget_compresses_nothing(digits, rule):
    assert plan(digits[0], rule=rule, budget=1.0).layers == {}


@rules
def test_the_head_is_kept_unless_given_up(digits, rule):
    assert "head" not in plan(digits[0], rule=rule, budget=0.3).layers
    assert "head" in plan(digits[0], rule=rule, budget=0.15, keep_head=False).layers


def test_a_layer_that_cannot_save_is_left_out(digits):
    found = plan(digits[0], budget=0.95)
    for name, layer in found.layers.items():
        assert layer == LayerPlan(layer.rank)
        assert layer.rank <= spectra(digits[0])[name].break_even_rank


def test_a_budget_of_macs_and_of_params_differ_where_positions_do(mnist):
    model, data = mnist
    by_params, by_macs = (plan(model, budget=0.4, cost=c, data=data, rule="uniform").ranks for c in ("params", "macs"))
    assert by_params != by_macs
    assert plan(model, budget=0.4, cost="macs", data=data.validation, rule="uniform").ranks == by_macs


@rules
@pytest.mark.parametrize("cost", ["params", "macs"])
@pytest.mark.parametrize("budget", [0.2, 0.5, 0.9])
@pytest.mark.parametrize("name", ["mnist", "mixed"])
def test_a_budget_is_kept_and_used_up_by_pairs_of_ranks(name, rule, cost, budget, request, images, split):
    given = request.getfixturevalue(name)
    model, data = (given, split(images)) if name == "mixed" else given
    budget = max(budget, 0.4) if name == "mixed" else budget
    found = plan(model, rule=rule, budget=budget, cost=cost, method="tucker", data=data)
    kinds = {"mnist": {"conv1", "conv2", "conv3"}, "mixed": {"conv", "along"}}[name]
    assert {layer for layer, part in found.layers.items() if part.method == "tucker"} <= kinds
    assert all(part.method == ("tucker" if layer in kinds else "svd") for layer, part in found.layers.items())
    assert share(model, found, cost, data) <= budget
    # A little more of the budget, a step further: no more than one rank of each layer is left over.
    assert share(model, found, cost, data) > budget - 0.08
    assert found.layers


def test_every_convolution_with_a_kernel_gets_a_pair_of_ranks(mnist):
    found = plan(mnist[0], budget=0.3, method="tucker")
    assert {layer: len(part.ranks) for layer, part in found.layers.items()} == {
        "conv1": 2, "conv2": 2, "conv3": 2, "fc1": 1,
    }  # fmt: skip


@rules
@pytest.mark.parametrize("cost", ["params", "macs"])
def test_a_budget_of_some_layers_is_a_share_of_these_alone(mnist, rule, cost):
    model, data = mnist
    names = ["conv1", "conv2", "conv3"]
    found = plan(model, rule=rule, budget=0.25, cost=cost, method="tucker", data=data, layers=names)
    assert {*found.layers} <= {*names}
    small, x = compress(model, found), data.test.x
    if cost == "params":
        rest = layer_params(model) - layer_params(model, names)
        kept = (params_of_layers(small) - rest) / layer_params(model, names)
    else:
        dense = sum(layer_macs(model, x)[name] for name in names)
        kept = 1 - (macs(model, x) - macs(small, x)) / dense
    assert 0.22 < kept <= 0.25


def test_a_layer_to_plan_must_be_there(mnist):
    with pytest.raises(InputError, match=r"`layers` must be one of 'conv1', .*; got 'conv9'"):
        plan(mnist[0], layers=["conv9"])


def test_a_pair_that_saves_no_arithmetic_is_not_planned_for_it(rng):
    torch.manual_seed(0)
    # In front of the stride, sixteen times the positions are to be reduced.
    model = nn.Sequential(nn.Conv2d(8, 8, 3, stride=4), nn.Flatten(), nn.Linear(8 * 16, 4))
    data = Examples(rng.standard_normal((2, 8, 16, 16)).astype(np.float32), np.array([0, 1]))
    dense, (outputs, inputs, both) = layer_macs(model, data.x)["0"], pair_macs(model, data.x, ["0"])["0"]
    for budget in (0.4, 0.6, 0.8, 0.95):
        found = plan(model, budget=budget, cost="macs", method="tucker", data=data)
        for o, i in (part.ranks for part in found.layers.values()):
            assert outputs * o + inputs * i + both * o * i < dense
        assert share(model, found, "macs", Data("d", data, data)) <= budget


def test_the_model_is_left_untouched(residual, images, states):
    residual.train()
    before = states(residual)
    plan(residual, budget=0.8, cost="macs", data=images)
    assert states.same(before, states(residual))


def test_a_network_of_one_layer_is_planned_where_its_head_may_go():
    model = nn.Linear(30, 30)
    assert plan(model, budget=0.5, keep_head=False).ranks == {"": 7}
    with pytest.raises(
        InputError, match="no layer to plan: the network has no linear or convolution layer besides its head"
    ):
        plan(model, budget=0.5)


@pytest.mark.parametrize("model", [nn.Sequential(nn.Flatten(), nn.Linear(30, 30)), nn.Sequential(nn.Embedding(9, 9))])
def test_a_network_without_a_layer_besides_its_head(model):
    with pytest.raises(InputError, match="no layer to plan"):
        plan(model)


def test_a_layer_that_is_never_reached_costs_no_macs(vectors):
    class Spare(nn.Module):
        def __init__(self):
            super().__init__()
            self.used, self.spare, self.head = nn.Linear(12, 12), nn.Linear(12, 12), nn.Linear(12, 4)

        def forward(self, x):
            return self.head(self.used(x))

    torch.manual_seed(0)
    model = Spare()
    small = compress(model, plan(model, budget=0.7, cost="macs", data=vectors))
    assert macs(small, vectors.x) <= 0.7 * macs(model, vectors.x)
    assert set(factorable_layers(model)) == {"used", "spare", "head"}


class Reader(nn.Module):
    """Reads the weight of one layer itself, and never reaches another."""

    def __init__(self):
        super().__init__()
        self.used, self.read, self.spare, self.head = (nn.Linear(12, n) for n in (12, 12, 12, 4))

    def forward(self, x):
        return self.head(nn.functional.linear(self.used(x), self.read.weight))


def test_a_plan_for_arithmetic_leaves_out_what_is_not_run_as_a_layer(vectors):
    torch.manual_seed(0)
    model = Reader()
    found = plan(model, budget=0.8, cost="macs", data=vectors)
    assert {*found.ranks} == {"used"}
    assert share(model, found, "macs", Data("d", vectors, vectors)) <= 0.8
    assert {*plan(model, budget=0.8).ranks} == {"used", "read", "spare"}


@rules
@pytest.mark.parametrize("budget", [0.6, 0.85, 0.9, 0.95, 0.98])
def test_a_rank_that_saves_no_arithmetic_is_not_planned_for_it(rule, budget, rng):
    torch.manual_seed(0)
    # The first of two spatial factors strides along one axis only.
    model = nn.Sequential(*(nn.Conv2d(8, 8, 3, stride=2, padding=1) for _ in range(3)), nn.Flatten(), nn.Linear(32, 4))
    data = Examples(rng.standard_normal((2, 8, 16, 16)).astype(np.float32), np.array([0, 1]))
    found = plan(model, rule=rule, budget=budget, cost="macs", method="spatial", data=data)
    dense, a_unit = layer_macs(model, data.x), rank_macs(model, data.x, dict(found.layers))
    assert found.layers and all(rank * a_unit[name] < dense[name] for name, rank in found.ranks.items())
    assert share(model, found, "macs", Data("d", data, data)) <= budget


def test_a_factorisation_can_be_planned_with_data_given_to_either(mlp, vectors):
    expected = plan(mlp, method="aware", data=vectors)
    assert plan(Factorisation(mlp), method="aware", data=vectors) == expected
    assert plan(Factorisation(mlp, vectors), method="aware") == expected
    assert plan(Factorisation(mlp, vectors), cost="macs") == plan(mlp, cost="macs", data=vectors)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"budget": 50}, r"`budget` must be a fraction above 0 and at most 1; got 50\. Write 0\.5 for 50 %"),
        ({"budget": 0}, "`budget` must be a fraction above 0"),
        ({"budget": 0.001}, r"`budget` must be at least 0\.\d+ for this network, which is rank 1 in every layer"),
        ({"rule": "enrgy"}, "`rule` must be one of 'energy', 'uniform', 'latency'; got 'enrgy'.*mean 'energy'"),
        ({"cost": "flops"}, "`cost` must be one of 'params', 'macs'; got 'flops'"),
        ({"method": "svdd"}, "`method` must be one of 'svd', .*; got 'svdd'.*mean 'svd'"),
        ({"method": "aware"}, '`data` must come with the method "aware": examples to see what the layers put out'),
        ({"cost": "macs"}, '`data` must come with cost="macs": multiply-adds depend on the size of the input'),
    ],
)
def test_what_cannot_be_planned_is_told(digits, wrong, words):
    with pytest.raises(InputError, match=words):
        plan(digits[0], **wrong)


def test_weights_that_are_not_finite_name_the_layer(mlp):
    with torch.no_grad():
        mlp[0].weight[0, 0] = float("nan")
    with pytest.raises(InputError, match=r"`0.weight` must hold finite numbers only"):
        plan(mlp)


def test_latency_needs_examples(mlp):
    with pytest.raises(InputError, match=r'`data` must come with rule="latency"'):
        plan(mlp, rule="latency")


def test_the_rule_of_latency_gets_what_was_asked(digits, monkeypatch):
    asked = []

    class Planner:
        def __init__(self, *given, **options):
            asked.append((given, options))

        def at(self, budget):
            return budget

    monkeypatch.setattr(latency_planning, "LatencyPlanner", Planner)
    model, data = digits
    options = {"batch": 32, "method": "any", "keep_head": False, "layers": ["fc1"]}
    assert plan(model, rule="latency", budget=0.7, data=data, **options) == 0.7
    ((found, examples), passed_on) = asked[0]
    assert (found.model, examples, passed_on) == (model, data.validation, options)


def test_any_method_is_for_the_rule_of_latency_alone(mlp):
    with pytest.raises(InputError, match="`method` must be one of 'svd', 'spatial', 'aware', 'tucker'; got 'any'"):
        plan(mlp, method="any")
