"""How the bases of layers in Tucker form widen, and what a truncation costs."""

import copy

import numpy as np
import pytest
import torch
from torch import nn

from lowrank_kit.methods.adaptive import kept_rank
from lowrank_kit.models.bases import mode_product, multi_mode_product
from lowrank_kit.models.factored import factored_layer
from tests.models.small_layers import LAYERS, at_full_rank, built, distance, layers, modes, normal, some_ranks, views

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
