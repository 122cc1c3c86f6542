"""What is added to weights: where it starts, and that the compressed one follows the deep one."""

import numpy as np
import pytest
import torch
from scipy.linalg import null_space, orth

from lowrank_kit.models.updates import CompressedUpdate, DeepUpdate, LoRAUpdate

EPSILON = 0.05
shapes = pytest.mark.parametrize("shape", [(20, 20), (12, 20), (20, 12)], ids=["square", "wide", "tall"])


def generator():
    return torch.Generator().manual_seed(0)


def weight_of(shape, dtype=torch.float64):
    return torch.randn(*shape, dtype=dtype, generator=generator())


def target_of(shape, rank):
    """What the update has to become, of norm 1."""
    left, right = (torch.randn(n, rank, dtype=torch.float64, generator=generator()) for n in shape)
    found = left @ right.mT
    return found / found.norm()


def loss(update, target):
    """Least squares on whitened inputs, X X^T = I: all that is left of them is the target."""
    return (update.delta() - target).square().sum() / 2


def pair(shape, rank, target):
    """The deep update and the one compressed by its gradient."""
    deep = DeepUpdate(weight_of(shape), EPSILON, generator())
    (gradient,) = torch.autograd.grad(loss(deep, target), [deep.square_end])
    return deep, deep.compressed(gradient, rank), gradient.numpy()


def gaps(deep, compressed, target, *, steps=1500, rate=0.3):
    """How far apart both are after every step of gradient descent, the outer factors at rest (gamma = 0)."""
    found = []
    for _ in range(steps):
        for update, stepped in ((deep, deep.factors), (compressed, compressed.cores)):
            gradients = torch.autograd.grad(loss(update, target), [*stepped])
            with torch.no_grad():
                for parameter, gradient in zip(stepped, gradients, strict=True):
                    parameter -= rate * gradient
        found.append((deep.delta() - compressed.delta()).norm().item())
    return np.array(found)


# starts


def test_lora_starts_at_the_weight_itself():
    weight = weight_of((7, 5), torch.float32)
    update = LoRAUpdate(weight, 3, 2.0, generator())
    assert torch.equal(update(weight), weight) and update.A.abs().max() > 0
    with torch.no_grad():
        update.B.fill_(1.0)
    torch.testing.assert_close(update.delta(), 2 * update.A.sum(0).expand(7, 5))


@shapes
def test_a_deep_update_starts_with_all_singular_values_at_the_cube_of_epsilon(shape):
    values = torch.linalg.svdvals(DeepUpdate(weight_of(shape), 1e-3, generator()).delta().detach())
    assert len(values) == min(shape)
    assert np.allclose(values, 1e-9, rtol=1e-9, atol=0)


@shapes
def test_a_compressed_update_starts_as_the_deep_ones_projection(shape):
    deep, compressed, _ = pair(shape, 6, target_of(shape, 3))
    start, basis = deep.delta(), (compressed.right if shape[0] <= shape[1] else compressed.left)
    projection = basis @ basis.mT
    expected = start @ projection if shape[0] <= shape[1] else projection @ start
    assert torch.allclose(basis.mT @ basis, torch.eye(6, dtype=torch.float64), atol=1e-12, rtol=0)
    assert (compressed.delta() - expected).norm() < 1e-12 * start.norm()


def test_half_precision_is_trained_in_float32():
    weight = weight_of((8, 8), torch.bfloat16)
    update = DeepUpdate(weight, 1e-3, generator())
    assert update.factors[0].dtype == torch.float32 and update(weight).dtype == torch.bfloat16


# directions


def test_directions_are_those_outside_what_the_gradient_leaves_alone():
    """The construction as the authors write it: the complement of an intersection of two spans."""
    deep, compressed, gradient = pair((20, 20), 6, target_of((20, 20), 5))
    U, _, Vh = np.linalg.svd(gradient)
    a, b = deep.square_end.detach().numpy().T @ U[:, 3:] / EPSILON, Vh[3:].T
    alone = a @ null_space(np.hstack([a, -b]))[: a.shape[1]]
    expected = null_space(orth(alone, rcond=1e-8).T)
    assert expected.shape == (20, 6)
    right = compressed.right.detach().numpy()
    assert np.allclose(right @ right.T, expected @ expected.T, atol=1e-10)


@shapes
def test_both_ends_hold_what_the_gradient_points_to(shape):
    """A target that an end lacks could never be reached while the outer factors rest."""
    target = target_of(shape, 3)
    _, compressed, _ = pair(shape, 6, target)
    U, _, Vh = (part.numpy() for part in torch.linalg.svd(target))
    for end, wanted in ((compressed.left, U[:, :3]), (compressed.right, Vh[:3].T)):
        basis = orth(end.detach().numpy())
        assert np.allclose(basis @ (basis.T @ wanted), wanted, atol=EPSILON**2)


# ways


def test_the_compressed_way_is_the_deep_one_to_the_law_of_the_gap():
    """||deep - compressed|| <= sqrt(d - r) e^3 at every step, nearly equal: what rests, rests at e^3 in each direction.

    d = 20, r = 6, target of rank 3; the law is exact in arXiv 2306.01154.
    """
    target = target_of((20, 20), 3)
    deep, compressed, _ = pair((20, 20), 6, target)
    found, law = gaps(deep, compressed, target), 14**0.5 * EPSILON**3
    assert found.max() <= law and found.min() > 0.98 * law
    assert loss(deep, target) < 1e-6 and loss(compressed, target) < 1e-6 < loss(
        CompressedUpdate(compressed.left.detach(), compressed.right.detach(), EPSILON), target
    )


@pytest.mark.parametrize("shape", [(6, 20), (20, 6)], ids=["wide", "tall"])
def test_a_matrix_that_is_no_square_is_followed_exactly_at_twice_its_shorter_side(shape):
    target = target_of(shape, 6)
    deep, compressed, _ = pair(shape, 12, target)
    assert gaps(deep, compressed, target, steps=300).max() < 1e-12
    assert loss(deep, target) < 0.05 * loss(DeepUpdate(weight_of(shape), EPSILON, generator()), target)


@pytest.mark.parametrize("shape", [(12, 20), (20, 12)], ids=["wide", "tall"])
def test_at_a_lower_rank_it_ends_where_the_deep_one_does(shape):
    """On the way both are some hundredths of the target apart at most, since a third set of directions moves."""
    target = target_of(shape, 3)
    deep, compressed, _ = pair(shape, 6, target)
    found = gaps(deep, compressed, target)
    assert found.max() < 0.03 and found[-1] < 4 * EPSILON**3
    assert loss(compressed, target) < 1e-6


def test_other_directions_do_not_follow():
    target = target_of((20, 20), 3)
    deep = pair((20, 20), 6, target)[0]
    basis = torch.linalg.qr(torch.randn(20, 6, dtype=torch.float64, generator=generator())).Q
    other = CompressedUpdate(basis, basis.clone(), EPSILON)
    assert gaps(deep, other, target)[-1] > 0.5 and loss(other, target) > 0.1
