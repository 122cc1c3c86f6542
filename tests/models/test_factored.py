"""Layers as they are trained in Tucker form: what they compute, how their bases widen, and what a truncation costs."""

import copy

import numpy as np
import pytest
import torch
from torch import nn

from lowrank_kit.checks import InputError
from lowrank_kit.methods.adaptive import kept_rank
from lowrank_kit.models.bases import mode_product, multi_mode_product
from lowrank_kit.models.factored import (
    VIEWS,
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

# name -> layer, shape of an input; every option that a convolution has stands in one of them
LAYERS = {
    "linear": (lambda **kw: nn.Linear(9, 6, **kw), (5, 9)),
    "linear over positions": (lambda **kw: nn.Linear(6, 9, **kw), (2, 3, 6)),
    "linear of one output": (lambda **kw: nn.Linear(6, 1, **kw), (2, 6)),
    "convolution": (lambda **kw: nn.Conv2d(4, 6, 3, padding=1, **kw), (2, 4, 7, 8)),
    "pointwise": (lambda **kw: nn.Conv2d(4, 6, 1, stride=2, **kw), (2, 4, 7, 8)),
    "of one row": (lambda **kw: nn.Conv2d(4, 6, (1, 5), padding="valid", **kw), (2, 4, 7, 8)),
    "strided": (lambda **kw: nn.Conv2d(5, 3, (3, 2), stride=(2, 1), padding=(1, 2), **kw), (2, 5, 7, 8)),
    "dilated": (lambda **kw: nn.Conv2d(4, 6, 3, dilation=(2, 1), padding="same", **kw), (2, 4, 7, 8)),
    "reflect": (lambda **kw: nn.Conv2d(4, 6, 3, padding=(2, 1), padding_mode="reflect", **kw), (2, 4, 7, 8)),
    "replicate": (lambda **kw: nn.Conv2d(4, 6, 3, padding=2, padding_mode="replicate", **kw), (2, 4, 7, 8)),
    "circular": (lambda **kw: nn.Conv2d(4, 6, 3, padding="same", padding_mode="circular", **kw), (2, 4, 7, 8)),
    "on one example": (lambda **kw: nn.Conv2d(4, 6, 3, **kw), (4, 7, 8)),
}
layers = pytest.mark.parametrize(("build", "shape"), LAYERS.values(), ids=LAYERS)
views = pytest.mark.parametrize("view", VIEWS)
CLOSE = {torch.float64: 1e-12, torch.float32: 1e-5}


def built(build, dtype=torch.float64, **kwargs):
    torch.manual_seed(0)
    return build(**kwargs).to(dtype)


def modes(layer, view):
    """Sizes of the modes that get bases."""
    return tuple(viewed(layer, suited_view(layer, view)).shape[: 4 if suited_view(layer, view) == "kernel" else 2])


def at_full_rank(layer, view):
    return factored_layer(layer, modes(layer, view), view)


def some_ranks(layer, view):
    """Full ranks, ones, and some between."""
    full = modes(layer, view)
    return [full, tuple(-(-n // 2) for n in full), tuple(max(n - i, 1) for i, n in enumerate(full)), (1,) * len(full)]


def normal(*shape, seed=0):
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def distance(found, expected):
    return float((found - expected).detach().norm() / expected.detach().norm())


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


# widening and cutting: the facts of TDLRT (arXiv 2305.19059), on the loss 1/2 ||W - A||^2, whose gradient is W - A


@pytest.fixture
def target():
    return normal(8, 6, 3, 3, seed=7)


@pytest.fixture
def layer():
    """A convolution in four modes at ranks (3, 4, 2, 2)."""
    torch.manual_seed(0)
    return factored_layer(nn.Conv2d(6, 8, 3).double(), (3, 4, 2, 2), "kernel")


def gradients(layer, target):
    """Of the bases."""
    return torch.autograd.grad((layer.weight - target).square().sum() / 2, [*layer.bases])


def orthonormality(basis):
    return float((basis.mT @ basis - torch.eye(basis.shape[1], dtype=basis.dtype)).detach().abs().max())


def projector(columns):
    Q = torch.linalg.qr(columns.detach()).Q
    return Q @ Q.mT


def unfolded(tensor, mode):
    return tensor.movedim(mode, 0).flatten(1)


def others(layer, mode):
    """The bases of all modes but one, whose place is taken by the identity."""
    return [
        torch.eye(n, dtype=torch.float64) if i == mode else U.mT
        for i, (n, U) in enumerate(zip(layer.limits, layer.bases, strict=True))
    ]


@pytest.mark.parametrize("mode", range(4))
def test_the_gradient_of_a_basis_is_that_of_its_k_step_by_an_invertible_matrix(layer, target, mode):
    U, d_U = layer.bases[mode].detach(), gradients(layer, target)[mode]
    # Mat(C)^T = Q S^T, so that W = Ten(K Q^T) x the other bases, with K = U S
    Q, R = torch.linalg.qr(unfolded(layer.core.detach(), mode).mT)
    S = R.mT
    K = (U @ S).requires_grad_()
    shape = [len(U) if i == mode else n for i, n in enumerate(layer.core.shape)]
    small = (K @ Q.mT).reshape(shape[mode], *(n for i, n in enumerate(shape) if i != mode)).movedim(0, mode)
    bases = [
        torch.eye(len(U), dtype=torch.float64) if i == mode else basis.detach() for i, basis in enumerate(layer.bases)
    ]
    W = multi_mode_product(small, bases)
    assert distance(W, layer.weight) < 1e-14
    (d_K,) = torch.autograd.grad((W - target).square().sum() / 2, K)
    assert (d_U - d_K @ S.mT).abs().max() < 1e-12
    for rate in (1e-3, 0.1, 1.0):
        stepped = projector(torch.cat([U, K.detach() - rate * d_K], dim=1))
        assert (stepped - projector(torch.cat([U, d_U], dim=1))).abs().max() < 1e-10


def test_widening_leaves_the_weight_and_doubles_the_ranks_up_to_their_limits(layer, target):
    before, bases, core = layer.weight.detach(), [basis.detach().clone() for basis in layer.bases], layer.core.detach()
    found = gradients(layer, target)
    maps = layer.augment(found)
    assert distance(layer.weight, before) < 1e-13
    assert layer.ranks == (6, 6, 3, 3)  # twice 3, and as many as the modes have
    for basis, old, gradient, moved in zip(layer.bases, bases, found, maps, strict=True):
        assert orthonormality(basis) < 1e-12
        assert torch.equal(basis[:, : old.shape[1]], old)
        whole = torch.cat([old, gradient / gradient.norm()], dim=1)
        assert (whole - basis @ (basis.mT @ whole)).detach().abs().max() < 1e-12
        assert torch.equal(moved, (basis.mT @ old).detach().round(decimals=12))
    torch.testing.assert_close(layer.core.detach(), multi_mode_product(core, maps))


def test_a_whole_basis_stays_as_it_is(target):
    layer = at_full_rank(built(lambda: nn.Conv2d(6, 8, 3)), "kernel")
    before = copy.deepcopy(layer.state_dict())
    layer.augment(gradients(layer, target))
    assert all(torch.equal(before[name], values) for name, values in layer.state_dict().items())


def test_without_a_gradient_widening_does_no_harm(layer):
    before = layer.weight.detach()
    layer.augment([torch.zeros_like(basis) for basis in layer.bases])
    assert distance(layer.weight, before) < 1e-13 and all(orthonormality(basis) < 1e-12 for basis in layer.bases)


def tangent_part(layer, gradient):
    """The gradient projected onto the tangent space at the weight (Koch and Lubich 2010)."""
    bases, core = [basis.detach() for basis in layer.bases], layer.core.detach()
    inside = [U @ U.mT for U in bases]
    found = multi_mode_product(gradient, inside)
    for mode, U in enumerate(bases):
        rest = unfolded(multi_mode_product(gradient, others(layer, mode)), mode)
        moved = (torch.eye(len(U), dtype=torch.float64) - inside[mode]) @ rest @ torch.linalg.pinv(unfolded(core, mode))
        found = found + multi_mode_product(core, [moved if i == mode else V for i, V in enumerate(bases)])
    return found.detach()


def test_the_core_gets_more_of_the_gradient_than_the_tangent_space_and_less_than_all(layer, target):
    gradient = (layer.weight - target).detach()
    tangent = tangent_part(layer, gradient)
    layer.augment(gradients(layer, target))
    (d_C,) = torch.autograd.grad((layer.weight - target).square().sum() / 2, layer.core)
    assert tangent.norm() < d_C.norm() < gradient.norm()
    inside = multi_mode_product(tangent, [(basis @ basis.mT).detach() for basis in layer.bases])
    assert (tangent - inside).abs().max() < 1e-13 * gradient.norm()


@pytest.mark.parametrize("rate", [1e-2, 1e-4])
def test_a_small_step_of_the_core_lowers_the_loss_by_the_square_of_its_gradient(layer, target, rate):
    layer.augment(gradients(layer, target))
    before = (layer.weight - target).square().sum() / 2
    (d_C,) = torch.autograd.grad(before, layer.core)
    with torch.no_grad():
        layer.core -= rate * d_C
        fall = before - (layer.weight - target).square().sum() / 2
        # On this quadratic 1 - rate / 2, which goes to 1.
        assert float(fall / (rate * d_C.square().sum())) == pytest.approx(1 - rate / 2, rel=1e-8)


def cut_to(layer, tolerance):
    """As a training does: each mode loses at most its share of the error."""
    found = layer.directions()
    bound = tolerance * float(layer.core.detach().norm()) / np.sqrt(layer.independent_modes)
    ranks = [max(kept_rank(values.numpy(), bound), 1) for values, _ in found]
    return layer.truncate(ranks, found)


@layers
@views
@pytest.mark.parametrize("tolerance", [0.02, 0.1, 0.3, 0.6, 0.9])
def test_a_truncation_errs_no_more_than_it_may(build, shape, view, tolerance):
    layer = at_full_rank(built(build), view)
    before = layer.weight.detach()
    maps = cut_to(layer, tolerance)
    assert distance(layer.weight, before) <= tolerance
    assert all(orthonormality(basis) < 1e-12 for basis in layer.bases)
    assert [tuple(part.shape) for part in maps] == list(zip(layer.ranks, modes(built(build), view), strict=True))


def test_a_tolerance_is_used_up():
    cut = []
    for tolerance in (0.1, 0.3, 0.6):
        layer = at_full_rank(built(lambda: nn.Linear(40, 30)), "tucker")
        before = layer.weight.detach()
        cut_to(layer, tolerance)
        cut.append(distance(layer.weight, before) / tolerance)
    assert min(cut) > 0.8


@layers
@views
def test_a_truncation_that_keeps_all_leaves_the_weight(build, shape, view):
    # Taking the right singular vectors the wrong way round, as published code does, errs by more than the weight here.
    layer = built(build)
    for ranks in some_ranks(layer, view):
        found = factored_layer(layer, ranks, view)
        before = found.weight.detach()
        found.truncate(found.ranks, found.directions())
        assert found.ranks == ranks and distance(found.weight, before) < 1e-12
        assert all(orthonormality(basis) < 1e-12 for basis in found.bases)


@views
def test_a_truncation_puts_the_core_in_the_order_of_its_values(view):
    layer = at_full_rank(built(LAYERS["convolution"][0]), view)
    with torch.no_grad():
        layer.core.normal_()
    expected = [values for values, _ in layer.directions()]
    layer.truncate(layer.ranks, layer.directions())
    for mode, values in enumerate(expected):
        rows = unfolded(layer.core.detach(), mode)
        torch.testing.assert_close(rows @ rows.mT, torch.diag(values.square()), rtol=1e-9, atol=1e-10)


def test_cutting_one_mode_to_one_direction_keeps_the_best_one():
    layer = at_full_rank(built(lambda: nn.Linear(9, 6)), "tucker")
    values = torch.linalg.svdvals(layer.weight.detach())
    layer.truncate((1, 1), layer.directions())
    torch.testing.assert_close(torch.linalg.svdvals(layer.weight.detach())[0], values[0])


@pytest.mark.parametrize("scale", [1e-18, 1e12])
def test_scale_is_no_obstacle_to_a_cycle(target, scale):
    torch.manual_seed(0)
    source = nn.Conv2d(6, 8, 3).double()
    with torch.no_grad():
        source.weight.mul_(scale)
    layer = factored_layer(source, (3, 4, 2, 2), "kernel")
    before = layer.weight.detach()
    layer.augment(gradients(layer, scale * target))
    assert distance(layer.weight, before) < 1e-12 and all(orthonormality(basis) < 1e-12 for basis in layer.bases)
    before = layer.weight.detach()
    cut_to(layer, 0.1)
    assert distance(layer.weight, before) <= 0.1


def test_parameters_keep_their_identity_and_lose_their_gradients(layer, target):
    parameters = {*map(id, layer.parameters())}
    (layer.weight - target).square().sum().backward()
    layer.augment([basis.grad for basis in layer.bases])
    layer.truncate((2, 2, 1, 1), layer.directions())
    assert {*map(id, layer.parameters())} == parameters
    assert all(p.grad is None and p.is_contiguous() and p.is_leaf for p in (layer.core, *layer.bases))


def test_a_pass_after_every_change_reaches_all_parameters(layer):
    x = normal(2, 6, 7, 7)
    for change in (
        lambda: None,
        lambda: layer.augment([basis.grad for basis in layer.bases]),
        lambda: cut_to(layer, 0.3),
    ):
        change()
        layer(x).square().sum().backward()
        assert all(p.grad is not None and p.grad.shape == p.shape and p.grad.any() for p in layer.parameters())


def test_a_graph_of_the_past_that_is_still_held_is_no_obstacle(layer, target):
    held = [layer.weight.square().sum()]
    layer.augment(gradients(layer, target))
    held.append(layer.weight.square().sum())
    held[-1].backward()
    layer.truncate((2, 2, 1, 1), layer.directions())
    held.append(layer.weight.square().sum())
    held[-1].backward()
    assert all(p.grad.shape == p.shape for p in (layer.core, *layer.bases))


@pytest.mark.parametrize("kind", ["tucker", "kernel"])
def test_a_mode_product_is_how_the_weight_is_put_together(kind):
    layer = factored_layer(built(LAYERS["convolution"][0]), (3, 2, 2, 1)[: 4 if kind == "kernel" else 2], kind)
    W = layer.core.detach()
    for mode, basis in reversed([*enumerate(layer.bases)]):
        W = mode_product(W, basis.detach(), mode)
    torch.testing.assert_close(layer.weight.detach(), W)


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
