"""Layers as they are trained in Tucker form: what they compute and what they become."""

import copy

import numpy as np
import pytest
import torch
from torch import nn

from lowrank_kit.checks import InputError
from lowrank_kit.models.factored import (
    Factored,
    FactoredConv,
    FactoredLinear,
    FactoredMatrix,
    FactoredRows,
    factored_layer,
    suited_view,
    viewed,
)
from lowrank_kit.models.layers import RowsLinear, channels_last, is_channels_last
from lowrank_kit.models.low_rank import LowRank
from lowrank_kit.models.tucker import Tucker
from lowrank_kit.records import LayerPlan
from tests.models.small_layers import LAYERS, at_full_rank, built, distance, layers, modes, normal, some_ranks, views

CLOSE = {torch.float64: 1e-12, torch.float32: 1e-5}

# what they compute


@layers
@views
@pytest.mark.parametrize("dtype", CLOSE, ids=str)
@pytest.mark.parametrize("bias", [True, False], ids=["bias", "no bias"])
@torch.no_grad()
def test_at_full_rank_it_computes_what_the_layer_does(build, shape, view, dtype, bias):
    layer, x = built(build, dtype, bias=bias), normal(*shape).to(dtype)
    found, y = at_full_rank(layer, view), layer(x)
    assert (found(x) - y).abs().max() <= CLOSE[dtype] * y.abs().max() and found(x).dtype == dtype
    assert distance(found.weight, layer.weight) < CLOSE[dtype] and found.weight.shape == layer.weight.shape


@layers
@views
@pytest.mark.parametrize("dtype", CLOSE, ids=str)
@torch.no_grad()
def test_at_every_rank_it_computes_with_the_weight_that_it_stands_for(build, shape, view, dtype):
    layer, x = built(build, dtype), normal(*shape).to(dtype)
    cut = copy.deepcopy(layer)
    for ranks in some_ranks(layer, view):
        found = factored_layer(layer, ranks, view)
        cut.weight.copy_(found.weight)
        y = cut(x)
        assert found.ranks == ranks and (found(x) - y).abs().max() <= CLOSE[dtype] * y.abs().max()


@layers
@views
def test_numbers_are_those_of_the_core_and_the_bases(build, shape, view):
    layer = built(build)
    for ranks in some_ranks(layer, view):
        found = factored_layer(layer, ranks, view)
        stored = found.core.numel() + sum(basis.numel() for basis in found.bases)
        rest = viewed(layer, suited_view(layer, view)).shape[len(ranks) :].numel()
        assert found.n_factored(ranks) == stored == np.prod(ranks) * rest + np.dot(ranks, modes(layer, view))
        assert found.n_dense == layer.weight.numel() and found.limits == modes(layer, view)
        assert {n for n, _ in found.named_parameters()} - {"bias"} == {
            "core",
            *(f"bases.{i}" for i in range(len(ranks))),
        }


@pytest.mark.parametrize(
    ("layer", "view", "kind", "independent"),
    [
        (nn.Linear(4, 4), "kernel", FactoredLinear, 1),
        (RowsLinear(4, 4), "tucker", FactoredRows, 1),
        (nn.Conv2d(4, 4, 3), "tucker", FactoredConv, 2),
        (nn.Conv2d(4, 4, (1, 3)), "kernel", FactoredConv, 4),
        (nn.Conv2d(4, 4, 3), "matrix", FactoredMatrix, 1),
        (nn.Conv2d(4, 4, 1), "tucker", FactoredMatrix, 1),
        (nn.Conv2d(4, 4, 1), "kernel", FactoredMatrix, 1),
    ],
    ids=str,
)
def test_each_view_has_its_kind_and_counts_the_modes_that_err_on_their_own(layer, view, kind, independent):
    found = at_full_rank(layer, view)
    assert type(found) is kind and found.independent_modes == independent


def test_a_layer_in_attention_computes_some_rows_too():
    layer, x = built(lambda: RowsLinear(6, 9)), normal(2, 6)
    found = at_full_rank(layer, "tucker")
    torch.testing.assert_close(found(x, slice(3, 6)), layer(x, slice(3, 6)))
    assert type(found.dense()) is RowsLinear
    block, _ = factored_layer(layer, (2, 2)).plain()
    torch.testing.assert_close(block.expand(block.reduce(x), slice(3, 6)), block(x)[:, 3:6])


@pytest.mark.parametrize("training", [True, False])
def test_mode_is_kept(training):
    found = at_full_rank(nn.Conv2d(4, 4, 3).train(training), "tucker")
    assert found.training is found.dense().training is found.plain()[0].training is training


def test_hooks_run_around_it_as_they_did_around_the_layer():
    layer, x = built(LAYERS["convolution"][0]), normal(2, 4, 7, 8)
    layer.register_forward_pre_hook(lambda module, args: (2 * args[0],))
    layer.register_forward_hook(lambda module, args, output: output + 1)
    found = factored_layer(layer, (3, 2))
    torch.testing.assert_close(at_full_rank(layer, "tucker")(x), layer(x))
    torch.testing.assert_close(found.plain()[0](x), found(x))


@pytest.mark.parametrize("bias", [True, False])
def test_a_frozen_bias_stays_frozen(bias):
    layer = nn.Linear(4, 4)
    layer.bias.requires_grad_(bias)
    found = at_full_rank(layer, "tucker")
    assert found.bias.requires_grad is bias and found.core.requires_grad and found.dense().bias.requires_grad is bias


def test_it_shares_nothing_with_the_layer():
    layer = built(LAYERS["convolution"][0])
    before = copy.deepcopy(layer.state_dict())
    found = at_full_rank(layer, "tucker")
    with torch.no_grad():
        for parameter in found.parameters():
            parameter.zero_()
    assert all(torch.equal(before[name], values) for name, values in layer.state_dict().items())


def test_a_copy_shares_nothing_and_computes_the_same():
    found, x = factored_layer(built(LAYERS["dilated"][0]), (3, 2)), normal(2, 4, 7, 8)
    twin = copy.deepcopy(found)
    assert torch.equal(twin(x), found(x))
    twin.truncate((1, 1), twin.directions())
    assert found.ranks == (3, 2) and twin.ranks == (1, 1)


def test_it_tells_its_sizes_and_ranks():
    assert "6 x 4 x 3 x 3, ranks (3, 2)" in str(factored_layer(nn.Conv2d(4, 6, 3), (3, 2)))


# what they become


@layers
@views
@torch.no_grad()
def test_plain_layers_compute_the_same_and_follow_their_plan(build, shape, view):
    layer, x = built(build), normal(*shape)
    for ranks in some_ranks(layer, view):
        found = factored_layer(layer, ranks, view)
        block, plan = found.plain()
        torch.testing.assert_close(block(x), found(x), rtol=1e-10, atol=1e-12)
        torch.testing.assert_close(found.dense()(x), found(x), rtol=1e-10, atol=1e-12)
        stored = sum(p.numel() for n, p in block.named_parameters() if not n.endswith("bias"))
        if plan is None:
            assert type(block) is type(layer) and stored == layer.weight.numel()
        else:
            by_modes = isinstance(found, FactoredConv)
            assert plan == LayerPlan(ranks[:2] if by_modes else min(ranks), "tucker" if by_modes else "svd")
            assert type(block) is (Tucker if by_modes else LowRank) and stored < layer.weight.numel()


@views
def test_layout_is_kept(view):
    found = factored_layer(channels_last(nn.Conv2d(8, 8, 3)), (2,) * (4 if view == "kernel" else 2), view)
    assert is_channels_last(found.dense())
    block, plan = found.plain()
    assert plan is not None and any(is_channels_last(part) for part in block)


@views
def test_plain_layers_can_be_trained_on(view):
    block, plan = factored_layer(nn.Conv2d(8, 8, 3), (2,) * (4 if view == "kernel" else 2), view).plain()
    assert plan is not None and all(p.requires_grad and p.is_leaf for p in block.parameters())


# sentences


@pytest.mark.parametrize("ranks", [(7, 3), (0, 3), (2, 37), (3,), (3, 3, 3)], ids=str)
@views
def test_ranks_that_the_modes_do_not_have(ranks, view):
    words = r"`ranks` must be one for each of the \d modes, from 1 to their sizes \(6, .*\); got \("
    with pytest.raises(InputError, match=words):
        factored_layer(nn.Conv2d(4, 6, 3), ranks, view)


def test_an_unknown_view():
    with pytest.raises(InputError, match="`view` must be one of 'tucker', 'kernel', 'matrix'; got 'cp'"):
        factored_layer(nn.Linear(4, 4), (2, 2), "cp")


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_weights_that_are_not_finite(bad):
    layer = nn.Linear(4, 4)
    with torch.no_grad():
        layer.weight[1, 2] = bad
    with pytest.raises(InputError, match="must hold finite numbers only; 1 of its 16"):
        factored_layer(layer, (2, 2))


def test_a_layer_of_no_kind_has_no_plain_form():
    with pytest.raises(NotImplementedError):
        Factored(nn.Linear(2, 2), torch.eye(2), [torch.eye(2), torch.eye(2)]).dense()
