"""A layer as matrices and back, and the block that takes its place: two plain layers that are what the layer was."""

import numpy as np
import pytest
import torch
from torch import nn

from lowrank_kit.models.layers import RowsLinear, channels_last, is_channels_last
from lowrank_kit.models.low_rank import (
    LowRank,
    as_matrices,
    as_weight,
    filled,
    groups_of,
    has_modes,
    low_rank,
    matrix_shape,
    methods_for,
    suited,
)
from lowrank_kit.records import Factors

# layer -> its groups and the shape of each matrix by "svd" and by "spatial", where that applies
SHAPES = {
    "linear": (lambda: nn.Linear(5, 3), 1, (3, 5), None),
    "conv1d": (lambda: nn.Conv1d(2, 7, 4), 1, (7, 8), None),
    "conv2d": (lambda: nn.Conv2d(2, 7, (3, 4)), 1, (7, 24), (28, 6)),
    "conv2d of one position": (lambda: nn.Conv2d(2, 7, 1), 1, (7, 2), (7, 2)),
    "conv2d of one row": (lambda: nn.Conv2d(2, 7, (1, 5)), 1, (7, 10), (35, 2)),
    "conv3d": (lambda: nn.Conv3d(2, 7, (1, 2, 3)), 1, (7, 12), None),
    "in groups": (lambda: nn.Conv2d(6, 9, (3, 2), groups=3), 3, (3, 12), (6, 6)),
    "depthwise": (lambda: nn.Conv2d(4, 4, 3, groups=4), 4, (1, 9), (3, 3)),
    "depthwise with a multiplier": (lambda: nn.Conv1d(4, 12, 3, groups=4), 4, (3, 3), None),
}
CASES = [
    pytest.param(build, groups, method, shape, id=f"{name}-{method}")
    for name, (build, groups, *shapes) in SHAPES.items()
    for method, shape in zip(("svd", "spatial"), shapes, strict=True)
    if shape
]
cases = pytest.mark.parametrize(("build", "groups", "method", "shape"), CASES)


def blocks(layer, method, rank):
    """The block, empty and filled with the leading singular triples of each matrix."""
    matrices = as_matrices(layer, method).astype(np.float64)
    parts = [Factors(*np.linalg.svd(matrix, full_matrices=False)).truncate(rank) for matrix in matrices]
    return low_rank(layer, method, rank), filled(low_rank(layer, method, rank), parts), parts


# matrices


@cases
def test_a_layer_is_a_matrix_a_group_and_the_matrices_are_the_layer(build, groups, method, shape):
    layer = build()
    matrices = as_matrices(layer, method)
    assert groups_of(layer) == groups and matrix_shape(layer, method) == shape
    assert matrices.shape == (groups, *shape) and matrices.size == layer.weight.numel()
    assert torch.equal(as_weight(matrices, layer, method), layer.weight)


def test_rows_are_outputs_and_columns_are_inputs_by_kernel():
    layer = nn.Conv2d(4, 6, (3, 2), groups=2)
    matrices, W = as_matrices(layer), layer.weight.detach().numpy()
    assert matrices[1, 2].tolist() == W[5].ravel().tolist()


def test_rows_of_the_spatial_method_are_outputs_by_width_and_columns_inputs_by_height():
    layer = nn.Conv2d(4, 6, (3, 2), groups=2)
    matrices, W = as_matrices(layer, "spatial"), layer.weight.detach().numpy()
    for output, width, part, height in np.ndindex(3, 2, 2, 3):
        assert matrices[1, output * 2 + width, part * 3 + height] == W[3 + output, part, height, width]


@pytest.mark.parametrize(
    ("dtype", "expected"),
    [
        (torch.float16, np.float32),
        (torch.bfloat16, np.float32),
        (torch.float32, np.float32),
        (torch.float64, np.float64),
    ],
    ids=str,
)
def test_half_precision_is_worked_on_in_float32(dtype, expected):
    layer = nn.Linear(3, 2, dtype=dtype)
    assert as_matrices(layer).dtype == expected
    assert as_weight(as_matrices(layer), layer).dtype == dtype


# layer -> the methods it has beside svd and aware, and those of them that it gains by
METHODS = [
    (nn.Conv2d(2, 2, 3), {"spatial", "tucker"}, {"spatial", "tucker"}),
    (nn.Conv2d(2, 2, (2, 3)), {"spatial", "tucker"}, {"spatial", "tucker"}),
    (nn.Conv2d(2, 2, (1, 5)), {"spatial", "tucker"}, {"tucker"}),
    (nn.Conv2d(4, 4, 3, groups=2), {"spatial"}, {"spatial"}),
    (nn.Conv2d(2, 2, 1), {"spatial"}, set()),
    (nn.Conv1d(2, 2, 3), {"tucker"}, {"tucker"}),
    (nn.Conv3d(2, 2, (1, 1, 2)), {"tucker"}, {"tucker"}),
    (nn.Conv1d(4, 4, 3, groups=4), set(), set()),
    (nn.Conv3d(2, 2, 1), set(), set()),
    (nn.Linear(2, 2), set(), set()),
    (RowsLinear(2, 2), set(), set()),
]
methods = pytest.mark.parametrize(("layer", "more", "gains"), METHODS, ids=[str(layer) for layer, *_ in METHODS])


@methods
def test_methods_that_apply(layer, more, gains):
    assert {*methods_for(layer)} == {"svd", "aware"} | more
    assert has_modes(layer) is ("tucker" in more)


@methods
def test_where_a_method_has_nothing_to_work_on_svd_takes_its_place(layer, more, gains):
    for method in ("spatial", "tucker"):
        assert suited(layer, method) == (method if method in gains else "svd")
    assert (suited(layer, "svd"), suited(layer, "aware")) == ("svd", "aware")


# blocks


@cases
def test_a_block_reads_as_the_weight_that_it_stands_for(build, groups, method, shape):
    layer = build().double()
    _, block, parts = blocks(layer, method, max(min(shape) // 2, 1))
    expected = as_weight(np.stack([part.dense() for part in parts]), layer, method)
    torch.testing.assert_close(block.weight, expected)
    assert block.bias is block.expand.bias and torch.equal(block.bias, layer.bias)


@cases
def test_a_block_tells_the_sizes_of_the_layer_it_stands_for(build, groups, method, shape):
    layer, block = build(), low_rank(build(), method, 1)
    for name in ("in_features", "out_features") if isinstance(layer, nn.Linear) else ("in_channels", "out_channels"):
        assert getattr(block, name) == getattr(layer, name)


@cases
@pytest.mark.parametrize("bias", [True, False])
def test_a_block_has_the_promised_numbers(build, groups, method, shape, bias):
    layer = build()
    if not bias:
        layer.bias = None
    for rank in range(1, min(shape) + 1):
        block = low_rank(layer, method, rank)
        weights = {name: p for name, p in block.named_parameters() if name != "expand.bias"}
        assert [*weights] == ["reduce.weight", "expand.weight"]
        assert sum(p.numel() for p in weights.values()) == groups * rank * sum(shape)
        assert not any(p.any() for p in weights.values())
        assert block.bias is None if not bias else torch.equal(block.bias, layer.bias)


def test_a_strided_convolution_strides_first():
    block = low_rank(nn.Conv2d(4, 8, 3, stride=2, padding=1, dilation=2), "svd", 3)
    assert (block.reduce.kernel_size, block.reduce.stride, block.reduce.dilation) == ((3, 3), (2, 2), (2, 2))
    assert (block.expand.kernel_size, block.expand.stride, block.expand.padding) == ((1, 1), (1, 1), (0, 0))


def test_the_spatial_method_goes_down_and_then_across():
    layer = nn.Conv2d(4, 8, (3, 5), stride=(1, 2), padding=(2, 1), dilation=(2, 1), padding_mode="reflect")
    down, across = low_rank(layer, "spatial", 3)
    walk = ("kernel_size", "stride", "padding", "dilation")
    assert [getattr(down, name) for name in walk] == [(3, 1), (1, 1), (2, 0), (2, 1)]
    assert [getattr(across, name) for name in walk] == [(1, 5), (1, 2), (0, 1), (1, 1)]
    assert down.padding_mode == across.padding_mode == "reflect"


@pytest.mark.parametrize("method", ["svd", "spatial"])
def test_both_factors_are_of_one_scale(method):
    layer = nn.Conv2d(4, 10, 3)
    _, block, (part,) = blocks(layer, method, 5)
    for weight, axis in ((block.reduce.weight, 0), (block.expand.weight, 1)):
        rows = weight.detach().transpose(0, axis).flatten(1).numpy()
        np.testing.assert_allclose(np.linalg.norm(rows, axis=1) ** 2, part.S, rtol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("build", [lambda: nn.Linear(8, 6), lambda: nn.Conv2d(3, 6, 3)], ids=["linear", "conv"])
def test_dtype_is_kept(dtype, build):
    torch.manual_seed(0)
    layer = build().to(dtype)
    _, block, _ = blocks(layer, "svd", 6)
    assert {p.dtype for p in block.parameters()} == {dtype}
    product = block.expand.weight.flatten(1).double() @ block.reduce.weight.flatten(1).double()
    limit = 16 * torch.finfo(dtype).eps
    assert (product - layer.weight.flatten(1).double()).abs().max() <= limit * layer.weight.abs().max().double()


@pytest.mark.parametrize("method", ["svd", "spatial"])
def test_layout_is_kept(method):
    layer = channels_last(nn.Conv2d(4, 8, 3))
    block = low_rank(layer, method, 2)
    assert is_channels_last(block.reduce)
    assert not is_channels_last(low_rank(nn.Conv2d(4, 8, 3), method, 2).reduce)
    with torch.inference_mode():
        assert block(channels_last(torch.randn(2, 4, 7, 7))).is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("training", [True, False])
def test_mode_is_kept(training):
    assert {m.training for m in low_rank(nn.Linear(4, 4).train(training), "svd", 2).modules()} == {training}


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("build", [nn.Linear, lambda *n, bias: nn.Conv2d(*n, 3, bias=bias)], ids=["linear", "conv"])
@pytest.mark.parametrize("weight", [True, False])
@pytest.mark.parametrize("offset", [True, False])
def test_frozen_parameters_stay_frozen_and_others_are_trained(build, bias, weight, offset):
    layer = build(4, 6, bias=bias)
    layer.weight.requires_grad_(weight)
    if bias:
        layer.bias.requires_grad_(offset)
    _, block, _ = blocks(layer, "svd", 2)
    expected = {"reduce.weight": weight, "expand.weight": weight, **({"expand.bias": offset} if bias else {})}
    assert {name: p.requires_grad for name, p in block.named_parameters()} == expected
    assert all(p.is_leaf for p in block.parameters())


def test_hooks_run_around_the_block_as_they_did_around_the_layer():
    layer, seen = nn.Linear(4, 4), []
    layer.register_forward_pre_hook(lambda module, args: (2 * args[0],))
    layer.register_forward_hook(lambda module, args, kwargs, output: seen.append(type(module)), with_kwargs=True)
    layer.register_forward_hook(lambda module, args, output: output + 1)
    _, block, _ = blocks(layer, "svd", 4)
    x = torch.randn(3, 4)
    torch.testing.assert_close(block(x), layer(x))
    assert seen == [LowRank, nn.Linear]


def test_a_block_in_attention_computes_some_rows_too():
    layer = RowsLinear(6, 9)
    _, block, _ = blocks(layer, "svd", 6)
    x = torch.randn(2, 6)
    assert type(block.expand) is RowsLinear and type(block.reduce) is nn.Linear
    torch.testing.assert_close(block.expand(block.reduce(x), slice(3, 6)), layer(x, slice(3, 6)))


def test_rows_of_zeros_are_no_obstacle():
    layer = nn.Linear(5, 4, bias=False)
    with torch.no_grad():
        layer.weight.zero_()
    _, block, _ = blocks(layer, "svd", 2)
    assert not block.weight.any() and block.bias is None
