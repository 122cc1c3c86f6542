"""New directions of a basis are orthonormal, stand outside it and lose nothing, however badly they are scaled."""

import numpy as np
import pytest
import tensorly as tl
import torch

from lowrank_kit.models import bases
from lowrank_kit.models.bases import by_gram, mode_directions, mode_product, multi_mode_product, orthonormal_beyond

# How far from orthonormal, and how far from the span of what was given.
EXACT = {torch.float64: 1e-12, torch.float32: 1e-5}
both = pytest.mark.parametrize("beyond", [bases._by_qr, by_gram], ids=["qr", "gram"])
precisions = pytest.mark.parametrize("dtype", EXACT, ids=str)


def normal(*shape, dtype=torch.float64, seed=0):
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)).to(dtype)


def orthonormal(n, r, dtype=torch.float64):
    return torch.linalg.qr(normal(n, r, seed=1)).Q.to(dtype)


def projector(columns):
    """Onto the span of columns that are orthonormal."""
    return columns.double() @ columns.double().mT


def assert_orthonormal_beyond(found, basis, tolerance):
    whole = torch.cat([basis, found], dim=1).double()
    assert found.dtype == basis.dtype and len(found) == len(basis)
    assert (whole.mT @ whole - torch.eye(whole.shape[1], dtype=torch.float64)).abs().max() < tolerance


def assert_spans(found, basis, directions, tolerance):
    """Nothing of the directions lies outside basis and found."""
    scaled = directions.double() / directions.double().abs().max()
    rest = scaled - projector(torch.cat([basis, found], dim=1)) @ scaled
    assert rest.abs().max() < tolerance


# products


@pytest.mark.parametrize("mode", [0, 1, 2, 3])
def test_a_mode_product_is_tensorlys(mode):
    tensor, matrix = normal(4, 3, 2, 5), normal(6, (4, 3, 2, 5)[mode], seed=1)
    expected = tl.tenalg.mode_dot(tensor.numpy(), matrix.numpy(), mode)
    np.testing.assert_allclose(mode_product(tensor, matrix, mode).numpy(), expected, atol=1e-13)


def test_products_over_the_leading_modes_leave_the_others():
    tensor, matrices = normal(4, 3, 2, 5), [normal(6, 4, seed=1), normal(2, 3, seed=2)]
    expected = tl.tenalg.multi_mode_dot(tensor.numpy(), [m.numpy() for m in matrices], [0, 1])
    np.testing.assert_allclose(multi_mode_product(tensor, matrices).numpy(), expected, atol=1e-13)
    assert multi_mode_product(tensor, []) is tensor


# a mode's own directions


@precisions
@pytest.mark.parametrize("mode", [0, 1, 2])
def test_a_modes_directions_are_those_of_its_unfolding(mode, dtype):
    tensor = normal(4, 3, 12, dtype=dtype)
    values, vectors = mode_directions(tensor, mode)
    rows = tl.unfold(tensor.double().numpy(), mode)
    expected = np.linalg.svd(rows, full_matrices=False)[1]
    assert values.dtype == vectors.dtype == torch.float64
    np.testing.assert_allclose(values.numpy(), expected, rtol=1e-10)
    np.testing.assert_allclose(np.linalg.norm(vectors.numpy().T @ rows, axis=1), expected, rtol=1e-10)


def test_a_mode_wider_than_the_others_together_has_directions_without_size():
    values, vectors = mode_directions(normal(6, 2), 0)
    assert values.shape == (6,) and vectors.shape == (6, 6) and (values[2:] < 1e-7).all()
    assert_orthonormal_beyond(vectors[:, 2:], vectors[:, :2], 1e-12)


def test_a_tensor_of_zeros_has_directions_too():
    values, vectors = mode_directions(torch.zeros(3, 4), 0)
    assert not values.any()
    assert torch.equal((vectors.mT @ vectors).round(decimals=12), torch.eye(3, dtype=torch.float64))


# what lies beyond a basis


@both
@precisions
@pytest.mark.parametrize(("n", "r", "j"), [(20, 4, 4), (20, 4, 7), (6, 4, 4), (20, 1, 1), (2, 1, 5), (300, 60, 60)])
def test_columns_are_orthonormal_outside_the_basis_and_span_what_was_given(beyond, dtype, n, r, j):
    basis, directions = orthonormal(n, r, dtype), normal(n, j, dtype=dtype)
    found = beyond(basis, directions)
    assert found.shape == (n, min(j, n - r))
    assert_orthonormal_beyond(found, basis, EXACT[dtype])
    assert_spans(found, basis, directions, 10 * EXACT[dtype])


@both
def test_a_whole_basis_has_nothing_beyond(beyond):
    assert beyond(orthonormal(5, 5), normal(5, 5)).shape == (5, 0)


def test_both_ways_span_the_same():
    basis, directions = orthonormal(30, 6), normal(30, 6)
    qr, gram = bases._by_qr(basis, directions), by_gram(basis, directions)
    assert (projector(qr) - projector(gram)).abs().max() < 1e-12


@both
@precisions
def test_directions_count_however_small_they_are_beside_others(beyond, dtype):
    # The gradients of a basis are as graded as the singular values of the core.
    basis, directions, sizes = orthonormal(30, 6, dtype), normal(30, 4, dtype=dtype), [1e20, 1.0, 1e-8, 1e-20]
    found = beyond(basis, directions * torch.tensor(sizes, dtype=dtype))
    assert (projector(found) - projector(beyond(basis, directions))).abs().max() < 10 * EXACT[dtype]


# directions that are hardly any, or far too large

DIRECTIONS = {
    "zero": lambda n, basis: torch.zeros(n, 4),
    "twice the same": lambda n, basis: normal(n, 1).repeat(1, 4),
    "of rank two": lambda n, basis: normal(n, 2) @ normal(2, 4, seed=1),
    "one zero": lambda n, basis: normal(n, 4) * torch.tensor([1.0, 0.0, 1.0, 1.0]),
    "inside the basis": lambda n, basis: basis.double() @ normal(4, 4),
    "hardly outside": lambda n, basis: basis.double() @ normal(4, 4) + 1e-5 * normal(n, 4, seed=5),
    "nearly the same": lambda n, basis: normal(n, 1) + 1e-5 * normal(n, 4, seed=5),
    "of very different sizes": lambda n, basis: normal(n, 4) * torch.tensor([1.0, 1e-2, 1e-3, 1e2]),
}


@both
@precisions
@pytest.mark.parametrize("kind", DIRECTIONS)
@pytest.mark.parametrize("scale", [1.0, 1e-30, 1e30])
def test_what_is_not_of_full_rank_or_badly_scaled_is_no_obstacle(beyond, dtype, kind, scale):
    basis = orthonormal(20, 4, dtype)
    directions = (DIRECTIONS[kind](20, basis) * scale).to(dtype)
    found = beyond(basis, directions)
    assert found.isfinite().all() and found.shape[1] <= 4
    assert_orthonormal_beyond(found, basis, EXACT[dtype])
    if kind != "zero":
        assert_spans(found, basis, directions, 1e-3 if dtype == torch.float32 else 1e-10)


@both
@pytest.mark.parametrize("scale", [1e-300, 1e300])
def test_float64_may_come_near_its_ends(beyond, scale):
    basis, directions = orthonormal(20, 4), normal(20, 4)
    found = beyond(basis, directions * scale)
    assert (projector(found) - projector(beyond(basis, directions))).abs().max() < 1e-10


def test_the_way_by_gram_matrices_drops_what_is_rounding():
    basis = orthonormal(20, 4)
    assert by_gram(basis, torch.zeros(20, 4, dtype=torch.float64)).shape == (20, 0)
    assert by_gram(basis, basis @ normal(4, 4)).shape == (20, 0)
    assert by_gram(basis, normal(20, 2) @ normal(2, 4, seed=1)).shape == (20, 2)


def test_a_processor_without_fast_reflections_goes_by_gram_matrices():
    meta = torch.device("meta")
    seen = []

    class Elsewhere(torch.Tensor):
        """A tensor that says it lies on another device."""

        device = meta

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bases, "by_gram", lambda basis, directions: seen.append("gram"))
        orthonormal_beyond(orthonormal(5, 2).as_subclass(Elsewhere), normal(5, 2))
        orthonormal_beyond(orthonormal(5, 2), normal(5, 2))
    assert seen == ["gram"]
