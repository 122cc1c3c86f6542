"""A layer in two factors of full rank computes what the layer computes, whatever its settings."""

import numpy as np
import pytest
import torch
from torch import nn

from lowrank_kit.models.layers import as_matrix, is_channels_last, is_factorable, matrix_shape
from lowrank_kit.models.surgery import Factorisation, compress

CLOSE = {torch.float32: 1e-5, torch.float64: 1e-12}

dtypes = pytest.mark.parametrize("dtype", CLOSE, ids=str)
biases = pytest.mark.parametrize("bias", [True, False], ids=["bias", "no bias"])


def in_factors(layer, by_hand, rank=None):
    """The layer, itself the whole model, at a rank, the full one unless told."""
    return compress(layer, by_hand(layer, {"": rank or min(matrix_shape(layer))}), break_even_guard=False)


def assert_same_outputs(one, other, x):
    with torch.inference_mode():
        expected, found = one(x), other(x)
    assert found.shape == expected.shape
    assert (found - expected).abs().max() <= CLOSE[x.dtype] * expected.abs().max()


@dtypes
@biases
@pytest.mark.parametrize("shape", [(7, 12), (12, 7), (8, 8), (1, 9), (9, 1)])
@pytest.mark.parametrize("leading", [(5,), (2, 3), ()])
def test_linear_at_full_rank(dtype, bias, shape, leading, by_hand):
    torch.manual_seed(0)
    layer = nn.Linear(*shape, bias=bias, dtype=dtype)
    found = in_factors(layer, by_hand)
    assert [*map(type, found)] == [nn.Linear, nn.Linear]
    assert_same_outputs(layer, found, torch.randn(*leading, shape[0], dtype=dtype))


@dtypes
@biases
@pytest.mark.parametrize("padding_mode", ["zeros", "reflect", "replicate", "circular"])
@pytest.mark.parametrize(
    ("stride", "padding"),
    [(1, 0), (1, 1), (1, "same"), (2, 0), (2, 1), ((1, 2), 0), ((1, 2), (2, 1))],
)
@pytest.mark.parametrize("dilation", [1, (2, 1)])
@pytest.mark.parametrize("kernel", [1, 3, (1, 5)])
def test_convolution_at_full_rank(dtype, bias, stride, padding, padding_mode, dilation, kernel, by_hand):
    torch.manual_seed(0)
    layer = nn.Conv2d(
        3,
        6,
        kernel,
        stride=stride,
        padding=padding,
        padding_mode=padding_mode,
        dilation=dilation,
        bias=bias,
        dtype=dtype,
    )
    found = in_factors(layer, by_hand)
    assert [*map(type, found)] == [nn.Conv2d, nn.Conv2d]
    assert_same_outputs(layer, found, torch.randn(2, 3, 9, 8, dtype=dtype))


@pytest.mark.parametrize("rank", [1, 2, 5])
def test_truncated_layer_errs_by_the_tail_energy(rank, by_hand):
    torch.manual_seed(0)
    layer = nn.Linear(9, 6, dtype=torch.float64)
    found = in_factors(layer, by_hand, rank)
    rest = (layer.weight - found.expand.weight @ found.reduce.weight).detach().numpy()
    values = np.linalg.svd(as_matrix(layer), compute_uv=False)
    assert np.sum(rest**2) == pytest.approx(np.sum(values[rank:] ** 2), rel=1e-10)
    assert np.linalg.norm(rest, 2) == pytest.approx(values[rank], rel=1e-10)


def test_both_factors_are_of_one_scale(by_hand):
    layer = nn.Conv2d(4, 10, 3)
    found = in_factors(layer, by_hand, 5)
    S = np.linalg.svd(as_matrix(layer), compute_uv=False)[:5]
    reduce, expand = (part.weight.detach().flatten(1).numpy() for part in found)
    np.testing.assert_allclose(np.linalg.norm(reduce, axis=1) ** 2, S, rtol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(expand, axis=0) ** 2, S, rtol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("build", [lambda: nn.Linear(8, 6), lambda: nn.Conv2d(3, 6, 3)], ids=["linear", "conv"])
def test_dtype_is_kept(dtype, build, by_hand):
    torch.manual_seed(0)
    layer = build().to(dtype)
    found = in_factors(layer, by_hand)
    assert {p.dtype for p in found.parameters()} == {dtype}
    product = found.expand.weight.flatten(1).double() @ found.reduce.weight.flatten(1).double()
    limit = 16 * torch.finfo(dtype).eps
    assert (product - layer.weight.flatten(1).double()).abs().max() <= limit * layer.weight.abs().max().double()


def test_channels_last_is_kept_and_the_outputs_are_equal(by_hand):
    layer = nn.Conv2d(4, 8, 3).to(memory_format=torch.channels_last)
    found = in_factors(layer, by_hand)
    assert is_channels_last(found.reduce)
    assert not is_channels_last(in_factors(nn.Conv2d(4, 8, 3), by_hand).reduce)
    x = torch.randn(2, 4, 7, 7).contiguous(memory_format=torch.channels_last)
    assert_same_outputs(layer, found, x)
    with torch.inference_mode():
        assert found(x).is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("training", [True, False])
def test_mode_is_kept(training, by_hand):
    found = in_factors(nn.Linear(4, 4).train(training), by_hand)
    assert {m.training for m in found.modules()} == {training}


@biases
@pytest.mark.parametrize("build", [nn.Linear, lambda *n, bias: nn.Conv2d(*n, 3, bias=bias)], ids=["linear", "conv"])
@pytest.mark.parametrize("weight", [True, False])
@pytest.mark.parametrize("offset", [True, False])
def test_frozen_parameters_stay_frozen_and_others_are_trained(build, bias, weight, offset, by_hand):
    layer = build(4, 6, bias=bias)
    layer.weight.requires_grad_(weight)
    if bias:
        layer.bias.requires_grad_(offset)
    found = in_factors(layer, by_hand, 2)
    expected = {"reduce.weight": weight, "expand.weight": weight, **({"expand.bias": offset} if bias else {})}
    assert {name: p.requires_grad for name, p in found.named_parameters()} == expected
    assert all(p.is_leaf for p in found.parameters())


@pytest.mark.parametrize(
    ("layer", "shape"), [(nn.Linear(5, 3), (3, 5)), (nn.Conv2d(2, 7, (3, 4)), (7, 24)), (nn.Conv2d(2, 7, 1), (7, 2))]
)
def test_matrix_is_outputs_by_inputs(layer, shape):
    assert matrix_shape(layer) == as_matrix(layer).shape == shape
    np.testing.assert_array_equal(as_matrix(layer), layer.weight.detach().reshape(shape).numpy())


def test_matrix_of_half_precision_is_float32():
    assert as_matrix(nn.Linear(3, 2, dtype=torch.bfloat16)).dtype == np.float32
    assert as_matrix(nn.Linear(3, 2, dtype=torch.float64)).dtype == np.float64


class Mine(nn.Linear):
    pass


@pytest.mark.parametrize(
    ("layer", "answer"),
    [
        (nn.Linear(2, 2), True),
        (nn.Conv2d(2, 2, 1), True),
        (nn.Conv2d(2, 2, 1, groups=2), False),
        (Mine(2, 2), False),
        (nn.Conv1d(2, 2, 1), False),
        (nn.ConvTranspose2d(2, 2, 1), False),
        (nn.ReLU(), False),
    ],
)
def test_what_can_be_factorised(layer, answer):
    assert is_factorable(layer) is answer


def test_factors_are_made_once_for_all_ranks(mlp):
    factorisation = Factorisation(mlp)
    assert factorisation.factors("0") is factorisation.factors("0")
