"""Networks with layers in factored form compute what they did, and become plain networks that compute the same."""

import copy

import pytest
import torch
from torch import nn

from lowrank_kit.checks import InputError
from lowrank_kit.models.factored import VIEWS, Factored
from lowrank_kit.models.factoring import factored, factored_layers, plain, trainable_layers
from lowrank_kit.models.inventory import weights_hash
from lowrank_kit.models.layers import channels_last, is_channels_last
from lowrank_kit.models.low_rank import LowRank
from lowrank_kit.models.store import restore, save
from lowrank_kit.models.surgery import compress
from lowrank_kit.models.tucker import Tucker
from lowrank_kit.models.vision import Residual
from lowrank_kit.records import LayerPlan

views = pytest.mark.parametrize("view", VIEWS)


class Mixed(nn.Module):
    """Convolutions whole, in groups, depthwise and 1 x 1, and two residual blocks; inputs (n, 3, 8, 8), 4 classes."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding=1)
        self.grouped = nn.Conv2d(8, 8, 3, padding=1, groups=2)
        self.depthwise = nn.Conv2d(8, 8, 3, padding=1, groups=8, bias=False)
        self.one, self.two = Residual(8, 12, stride=2), Residual(12, 12)
        self.head = nn.Linear(12, 4)

    def forward(self, x):
        x = torch.relu(self.grouped(torch.relu(self.stem(x))))
        return self.head(self.two(self.one(x + self.depthwise(x))).mean((2, 3)))


class TwoSequences(nn.Module):
    """One sequence asks, another answers; inputs (n, 5, 8)."""

    def __init__(self):
        super().__init__()
        self.first, self.last = nn.Linear(8, 8), nn.Linear(8, 4)
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)

    def forward(self, x):
        return self.last(self.attention(self.first(x), x, x, need_weights=False)[0].mean(1))


def encoder():
    """A transformer's layer; inputs (n, 5, 8)."""
    layer = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, batch_first=True)
    return nn.Sequential(nn.Linear(8, 8), layer, nn.Flatten(), nn.Linear(40, 4))


def used_twice():
    both = nn.Linear(8, 8)
    return nn.Sequential(nn.Linear(8, 8), both, nn.Tanh(), both, nn.Flatten(), nn.Linear(40, 4))


def computed():
    return nn.Sequential(nn.Linear(8, 8), nn.utils.parametrizations.weight_norm(nn.Linear(8, 8)), nn.Linear(8, 4))


# name -> how to build it, the shape of an input, the layers that are factored
NETWORKS = {
    "mlp": (
        lambda: nn.Sequential(nn.Linear(8, 12), nn.GELU(), nn.Linear(12, 10, bias=False), nn.Linear(10, 4)),
        (6, 8),
        ["2"],
    ),
    "mixed": (Mixed, (6, 3, 8, 8), ["one.conv1", "one.conv2", "one.shortcut.conv", "two.conv1", "two.conv2"]),
    "encoder": (encoder, (6, 5, 8), ["1.self_attn.in_proj", "1.self_attn.out_proj", "1.linear1", "1.linear2"]),
    "two sequences": (TwoSequences, (6, 5, 8), ["attention.in_proj", "attention.out_proj"]),
    "used twice": (used_twice, (6, 5, 8), ["1"]),
    "computed": (computed, (6, 8), ["1"]),
}
networks = pytest.mark.parametrize("name", NETWORKS)


def built(name, dtype=torch.float64):
    torch.manual_seed(0)
    return NETWORKS[name][0]().to(dtype).eval()


def inputs(name, dtype=torch.float64):
    return torch.randn(NETWORKS[name][1], dtype=dtype, generator=torch.Generator().manual_seed(1))


@torch.no_grad()
def run(model, x):
    return model(x)


def keep_of(name):
    """Where the first and the last trainable layer are not those that are run first and last."""
    return ["first", "last"] if name == "two sequences" else None


def in_factors(name, rank, view="tucker"):
    return factored(built(name), rank=rank, view=view, keep=keep_of(name))


@networks
@views
def test_at_full_rank_a_network_computes_what_it_did(name, view):
    model, x = built(name), inputs(name)
    found = in_factors(name, 1.0, view)
    assert [*factored_layers(found)] == NETWORKS[name][2]
    torch.testing.assert_close(run(found, x), run(model, x), rtol=1e-10, atol=1e-11)


@networks
@views
@pytest.mark.parametrize("rank", [1.0, 0.5, 0.2])
def test_a_plain_network_computes_what_the_factored_one_does(name, view, rank):
    found, x = in_factors(name, rank, view), inputs(name)
    small, _ = plain(found)
    assert not factored_layers(small)
    torch.testing.assert_close(run(small, x), run(found, x), rtol=1e-10, atol=1e-11)


@networks
@views
def test_the_plan_tells_what_became_of_every_layer(name, view):
    small, plan = plain(in_factors(name, 0.3, view))
    blocks = {n: m for n, m in small.named_modules() if isinstance(m, LowRank)}
    assert {*plan.layers} == {*blocks} and plan.rule == "adaptive"
    for layer, part in plan.layers.items():
        by_modes = isinstance(blocks[layer], Tucker)
        assert part.method == ("tucker" if by_modes else "svd")
        assert part.rank == (blocks[layer].ranks if by_modes else blocks[layer].reduce.weight.shape[0])
    assert plan.weights not in (weights_hash(built(name)), weights_hash(small))


@networks
@views
def test_what_became_of_it_is_saved_and_comes_back(tmp_path, name, view):
    small, plan = plain(in_factors(name, 0.3, view))
    x = inputs(name)
    save(small, plan, tmp_path / "net")
    again = restore(tmp_path / "net", built(name))
    assert torch.equal(run(again, x), run(small, x))
    assert {n: tuple(p.shape) for n, p in again.named_parameters()} == {
        n: tuple(p.shape) for n, p in small.named_parameters()
    }


def test_the_plan_is_for_the_dense_network_that_computes_the_same():
    found = in_factors("mlp", 0.3)
    small, plan = plain(found)
    dense = built("mlp")
    with torch.no_grad():
        dense[2].weight.copy_(found[2].weight)
    assert weights_hash(dense) == plan.weights
    torch.testing.assert_close(run(compress(dense, plan), inputs("mlp")), run(small, inputs("mlp")))


def test_a_layer_that_would_not_be_smaller_becomes_the_layer_it_was():
    model = nn.Sequential(nn.Linear(8, 8), nn.Linear(8, 8), nn.Conv2d(4, 4, 3), nn.Linear(8, 8))
    small, plan = plain(factored(model, rank=0.9))
    assert plan.layers == {} and [type(layer) for layer in small] == [type(layer) for layer in model]


@views
def test_ranks_are_the_share_of_every_mode_rounded_up_and_equal_in_a_matrix(view):
    model = nn.Sequential(nn.Conv2d(5, 8, 3), nn.Conv2d(5, 8, (1, 1)), nn.Linear(20, 7), nn.Linear(7, 20))
    ranks = {
        name: layer.ranks for name, layer in factored_layers(factored(model, rank=0.55, keep=(), view=view)).items()
    }
    kernel = {"tucker": (5, 3), "kernel": (5, 3, 2, 2), "matrix": (5, 5)}
    assert ranks == {"0": kernel[view], "1": (3, 3), "2": (4, 4), "3": (4, 4)}


def test_a_share_that_is_a_whole_number_of_ranks_is_that_number():
    model = nn.Sequential(nn.Linear(20, 20), nn.Linear(20, 20), nn.Linear(20, 20))
    for share in range(1, 21):
        assert factored(model, rank=0.05 * share)[1].ranks == (share, share)


@networks
def test_the_weights_keep_their_size(name):
    # Of a random weight truncation keeps little, and signals would die out on their way through many layers.
    sizes = [
        [float(x.weight.detach().norm()) for x in factored_layers(in_factors(name, r)).values()] for r in (1.0, 0.2)
    ]
    assert sizes[0] == pytest.approx(sizes[1], rel=1e-9)


def test_a_layer_of_zeros_is_no_obstacle():
    model = nn.Sequential(nn.Linear(8, 8), nn.Linear(8, 8), nn.Linear(8, 4))
    nn.init.zeros_(model[1].weight)
    found = factored(model)
    assert not found[1].weight.any() and not plain(found)[0][1].weight.any()


@networks
def test_the_network_is_left_as_it_was(name, states):
    model = built(name)
    before = states(model)
    found = factored(model, keep=keep_of(name))
    with torch.no_grad():
        for parameter in found.parameters():
            parameter.zero_()
    assert states.same(before, states(model))


@networks
def test_becoming_plain_leaves_the_factored_network_as_it_was(name, states):
    found = in_factors(name, 0.4)
    before = states(found)
    small, _ = plain(found)
    with torch.no_grad():
        for parameter in small.parameters():
            parameter.zero_()
    assert states.same(before, states(found))


def test_factoring_draws_no_random_numbers():
    model = built("mixed")
    before = torch.get_rng_state()
    plain(factored(model))
    assert torch.equal(torch.get_rng_state(), before)


@networks
def test_a_copy_and_its_tensors_are_those_of_the_network(name):
    found, x = in_factors(name, 0.5), inputs(name)
    twin = copy.deepcopy(found)
    assert torch.equal(run(twin, x), run(found, x))
    with torch.no_grad():
        for parameter in twin.parameters():
            parameter.zero_()
    twin.load_state_dict(found.state_dict())
    assert torch.equal(run(twin, x), run(found, x))


def test_a_module_in_two_places_is_one_in_both():
    found = in_factors("used twice", 0.5)
    small, _ = plain(found)
    assert found[1] is found[3] and small[1] is small[3]


def test_layout_is_kept():
    small, plan = plain(factored(channels_last(built("mixed")), rank=0.3))
    assert is_channels_last(small.stem) and is_channels_last(small.two.conv1.core) and plan.layers


def test_what_becomes_of_it_can_be_trained_on():
    small, _ = plain(in_factors("mixed", 0.3))
    small.train()(inputs("mixed")).square().sum().backward()
    assert all(p.requires_grad and p.grad is not None for p in small.parameters())


# which layers


def test_convolutions_in_groups_and_of_other_dimensions_stay():
    model = nn.Sequential(nn.Conv1d(4, 4, 3), nn.Conv2d(4, 4, 3, groups=2), nn.Conv3d(4, 4, 3), nn.Linear(4, 4))
    assert [*trainable_layers(model)] == ["3"]
    found = factored(Mixed(), keep=())
    assert type(found.grouped) is nn.Conv2d and type(found.depthwise) is nn.Conv2d
    assert isinstance(found.stem, Factored) and isinstance(found.head, Factored)


@pytest.mark.parametrize(
    ("keep", "left"),
    [(None, {"0", "4"}), ((), set()), (["2"], {"2"}), (["0", "2"], {"0", "2"}), ({"4": 1}.keys(), {"4"})],
    ids=str,
)
def test_layers_that_are_kept_stay_whole(mlp, keep, left):
    found = factored_layers(factored(mlp, keep=keep))
    assert {"0", "2", "4"} - {*found} == left


def test_frozen_layers_stay_frozen():
    model = built("mlp")
    model[2].weight.requires_grad_(False)
    assert [*trainable_layers(model)] == ["0", "3"]
    found = factored(model, keep=())
    assert type(found[2]) is nn.Linear and not found[2].weight.requires_grad


def test_layers_that_share_a_weight_stay_tied():
    first, second = nn.Linear(8, 8), nn.Linear(8, 8)
    second.weight = first.weight
    found = factored(nn.Sequential(nn.Linear(8, 8), first, second, nn.Linear(8, 4)), keep=())
    assert [*factored_layers(found)] == ["0", "3"] and found[1].weight is found[2].weight


# sentences


def test_an_unknown_layer_to_keep(mlp):
    with pytest.raises(InputError, match="`keep` must be one of '0', '2', '4'; got 'fc9'"):
        factored(mlp, keep=["0", "fc9"])


@pytest.mark.parametrize(
    ("model", "keep", "words"),
    [
        (nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4)), None, "it has 0, 1"),
        (nn.Sequential(nn.Linear(4, 4)), ["0"], "it has 0"),
        (nn.Sequential(nn.Conv2d(4, 4, 3, groups=2), nn.ReLU()), (), "it has none"),
    ],
)
def test_nothing_to_factor(model, keep, words):
    with pytest.raises(
        InputError, match=f"`model` must have a linear layer or .* besides those that are kept; {words}"
    ):
        factored(model, keep=keep)


@pytest.mark.parametrize("rank", [0, -0.5, 1.5, True, "half"])
def test_a_rank_that_is_no_share(mlp, rank):
    with pytest.raises(InputError, match="`rank` must be a fraction above 0 and at most 1; got"):
        factored(mlp, rank=rank)


def test_an_unknown_view(mlp):
    with pytest.raises(
        InputError, match=r"`view` must be one of 'tucker', 'kernel', 'matrix'; got 'tuker'\. Did you mean 'tucker'"
    ):
        factored(mlp, view="tuker")


def test_weights_that_are_not_finite(mlp):
    with torch.no_grad():
        mlp[2].weight[0, :3] = float("nan")
    with pytest.raises(InputError, match=r"`2\.weight` must hold finite numbers only; 3 of its 160"):
        factored(mlp)


def test_plans_of_networks_without_factored_layers_are_empty(mlp):
    small, plan = plain(mlp)
    assert plan.layers == {} and plan.weights == weights_hash(mlp) and plan.ranks == {}
    assert weights_hash(small) == weights_hash(mlp)


def test_a_rule_of_ones_own_stands_in_the_plan(mlp):
    assert plain(factored(mlp), rule="mine")[1].rule == "mine"
    assert isinstance(plain(factored(mlp, rank=0.2))[1].layers["2"], LayerPlan)
