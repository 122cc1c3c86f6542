"""A plan keeps its budget on the network that is really compressed, and the next step would break it."""

import pytest
import torch
from torch import nn

from lowrank_kit.checks import InputError
from lowrank_kit.measurement.cost import macs
from lowrank_kit.methods.allocation import ladder
from lowrank_kit.methods.planning import plan
from lowrank_kit.models.inventory import factorable_layers, weights_hash
from lowrank_kit.models.surgery import compress, spectra
from lowrank_kit.records import LayerPlan

rules = pytest.mark.parametrize("rule", ["energy", "uniform"])
networks = pytest.mark.parametrize("name", ["mnist", "digits"])


def params_of_layers(model):
    """Parameters of convolution and linear layers, which the budget is a share of."""
    layers = (m for m in model.modules() if isinstance(m, (nn.Linear, nn.Conv2d)))
    return sum(p.numel() for layer in layers for p in layer.parameters())


def share(model, ranks, cost, x, by_hand):
    small = compress(model, by_hand(model, ranks))
    return params_of_layers(small) / params_of_layers(model) if cost == "params" else macs(small, x) / macs(model, x)


@networks
@rules
@pytest.mark.parametrize("cost", ["params", "macs"])
@pytest.mark.parametrize("budget", [0.15, 0.5, 0.9])
@pytest.mark.parametrize("keep_head", [True, False])
def test_a_budget_is_kept_and_used_up(name, rule, cost, budget, keep_head, request, by_hand):
    model, data = request.getfixturevalue(name)
    found = plan(model, rule=rule, budget=budget, cost=cost, data=data, keep_head=keep_head)
    assert (found.rule, found.budget, found.cost, found.weights) == (rule, budget, cost, weights_hash(model))
    assert share(model, found.ranks, cost, data.test.x, by_hand) <= budget
    # The next step of the ladder, whatever the costs on it, breaks the budget.
    planned = {k: s for k, s in spectra(model).items() if k != "head" or not keep_head}
    steps = ladder(planned, rule, dict.fromkeys(planned, 1.0))
    full = {k: min(s.shape) for k, s in planned.items()}
    step = steps.ranks.tolist().index([found.ranks.get(k, full[k]) for k in planned])
    following = dict(zip(planned, steps.ranks[step + 1].tolist(), strict=True))
    following = {k: r for k, r in following.items() if r < full[k]}
    assert share(model, following, cost, data.test.x, by_hand) > budget


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


def test_the_model_is_left_untouched(residual, images, states):
    residual.train()
    before = states(residual)
    plan(residual, budget=0.8, cost="macs", data=images)
    assert states.same(before, states(residual))


def test_a_network_of_one_layer_is_planned_where_its_head_may_go():
    model = nn.Linear(30, 30)
    assert plan(model, budget=0.5, keep_head=False).ranks == {"": 7}
    with pytest.raises(
        InputError, match=r"no layer to plan: the network has no nn\.Linear or nn\.Conv2d besides its head"
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


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"budget": 50}, r"`budget` must be a fraction above 0 and at most 1; got 50\. Write 0\.5 for 50 %"),
        ({"budget": 0}, "`budget` must be a fraction above 0"),
        ({"budget": 0.001}, r"`budget` must be at least 0\.\d+ for this network, which is rank 1 in every layer"),
        ({"rule": "enrgy"}, "`rule` must be one of 'energy', 'uniform'; got 'enrgy'.*mean 'energy'"),
        ({"cost": "flops"}, "`cost` must be one of 'params', 'macs'; got 'flops'"),
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
