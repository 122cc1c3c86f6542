"""Every kind of layer crossed with every method and rank: the laws of low rank hold whatever a layer's settings.

At full rank a block computes what the layer computes; below, what the layer computes with the truncated weight in its
place; it holds the promised numbers, and errs by the tail of its spectrum.
"""

import copy
import math
from itertools import product

import numpy as np
import pytest
import torch
from torch import nn

from lowrank_kit.models.layers import channels_last
from lowrank_kit.models.low_rank import as_matrices, as_weight, groups_of, matrix_shape, methods_for
from lowrank_kit.models.surgery import Factorisation
from lowrank_kit.records import Examples, LayerPlan

# How far outputs may be apart, as a share of the largest.
CLOSE = {torch.float64: 1e-11, torch.float32: 2e-5, torch.float16: 2e-2, torch.bfloat16: 1e-1}


def plans_of(layer):
    """Every method at full rank, half and 1: (whether it is full, plan, numbers that the factors hold)."""
    for method in methods_for(layer):
        pair = tuple(layer.weight.shape[:2])
        full = pair if method == "tucker" else (min(matrix_shape(layer, method)),)
        for ranks in dict.fromkeys((full, tuple(-(-rank // 2) for rank in full), (1,) * len(full))):
            rank = ranks if method == "tucker" else ranks[0]
            yield ranks == full, LayerPlan(rank, method), numbers(layer, method, ranks)


def numbers(layer, method, ranks):
    """What the factors of a layer at these ranks hold."""
    if method == "tucker":
        outputs, inputs, *kernel = layer.weight.shape
        return math.prod((*ranks, *kernel)) + outputs * ranks[0] + inputs * ranks[1]
    return groups_of(layer) * ranks[0] * sum(matrix_shape(layer, method))


def truncated(found, layer, plan):
    """The weight that the factors of this plan stand for."""
    if plan.method == "tucker":
        return torch.from_numpy(found.refined("", plan.ranks).dense())
    parts = [part.truncate(plan.rank).dense() for part in found.factors("", plan.method)]
    return as_weight(np.stack(parts), layer, plan.method)


@torch.no_grad()
def assert_laws(layer, x, what=""):
    data = Examples(x.to(torch.float64 if x.dtype == torch.float64 else torch.float32).numpy(), np.zeros(len(x), int))
    found, cut, full_rank = Factorisation(layer, data), copy.deepcopy(layer), layer(x)
    scale = CLOSE[x.dtype] * float(full_rank.abs().max())
    bias = 0 if layer.bias is None else layer.bias.numel()
    for is_full, plan, numbers in plans_of(layer):
        told, block = f"{what} {plan}", found.block("", plan)
        cut.weight.copy_(truncated(found, layer, plan))
        y = block(x)
        assert y.shape == full_rank.shape and y.dtype == x.dtype, told
        assert (y - cut(x)).abs().max() <= scale, told
        if is_full:
            assert (y - full_rank).abs().max() <= scale, told
        assert sum(p.numel() for p in block.parameters()) == numbers + bias, told
        assert {m.training for m in block.modules()} == {layer.training}, told


# settings of two-dimensional convolutions, every one with every other

KERNELS = [1, 3, (3, 1), (1, 5), (2, 4)]
MODES = ["zeros", "reflect", "replicate", "circular"]
GROUPS = {"whole": (4, 6, 1), "in groups": (4, 6, 2), "depthwise": (4, 4, 4), "multiplied": (4, 8, 4)}
STRIDES = [1, 2, (1, 2)]
PADDINGS = [0, 1, (2, 1), "same", "valid"]
DILATIONS = [1, (2, 1)]


@pytest.mark.parametrize("kernel", KERNELS, ids=str)
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("channels", GROUPS.values(), ids=GROUPS)
def test_convolutions_of_every_setting(kernel, mode, channels):
    inputs, outputs, groups = channels
    torch.manual_seed(0)
    x = torch.randn(2, inputs, 7, 8, dtype=torch.float64)
    settings = [s for s in product(STRIDES, PADDINGS, DILATIONS) if s[1] != "same" or s[0] == 1]
    for i, (stride, padding, dilation) in enumerate(settings):
        walk = {"stride": stride, "padding": padding, "dilation": dilation, "padding_mode": mode}
        layer = nn.Conv2d(inputs, outputs, kernel, groups=groups, bias=i % 2 == 0, dtype=torch.float64, **walk)
        assert_laws(layer, x, str(walk))


# kinds of layers, each in every precision, layout and mode

LAYERS = {
    "linear": (lambda **kw: nn.Linear(9, 6, **kw), (5, 9)),
    "linear over positions": (lambda **kw: nn.Linear(6, 9, **kw), (2, 3, 6)),
    "linear on one example": (lambda **kw: nn.Linear(6, 9, **kw), (6,)),
    "linear of one output": (lambda **kw: nn.Linear(9, 1, **kw), (5, 9)),
    "linear of one input": (lambda **kw: nn.Linear(1, 9, **kw), (5, 1)),
    "conv1d": (lambda **kw: nn.Conv1d(4, 6, 3, stride=2, padding=1, **kw), (2, 4, 11)),
    "conv1d on one example": (lambda **kw: nn.Conv1d(4, 6, 3, **kw), (4, 11)),
    "conv1d same": (lambda **kw: nn.Conv1d(4, 6, 3, padding="same", padding_mode="circular", **kw), (2, 4, 11)),
    "conv1d in groups": (lambda **kw: nn.Conv1d(4, 6, 2, dilation=2, groups=2, **kw), (2, 4, 11)),
    "conv1d depthwise": (lambda **kw: nn.Conv1d(4, 8, 5, padding="valid", groups=4, **kw), (2, 4, 11)),
    "conv2d": (lambda **kw: nn.Conv2d(4, 6, 3, padding=1, **kw), (2, 4, 7, 8)),
    "conv2d pointwise": (lambda **kw: nn.Conv2d(4, 6, 1, stride=2, **kw), (2, 4, 7, 8)),
    "conv2d in groups": (lambda **kw: nn.Conv2d(4, 6, (3, 2), groups=2, **kw), (2, 4, 7, 8)),
    "conv2d depthwise": (lambda **kw: nn.Conv2d(4, 8, 3, padding=1, groups=4, **kw), (2, 4, 7, 8)),
    "conv3d": (lambda **kw: nn.Conv3d(2, 4, (1, 3, 2), stride=(1, 2, 1), padding=(0, 1, 1), **kw), (2, 2, 3, 5, 4)),
    "conv3d in groups": (lambda **kw: nn.Conv3d(4, 6, 2, dilation=(1, 2, 1), groups=2, **kw), (2, 4, 3, 5, 4)),
    "conv3d circular": (lambda **kw: nn.Conv3d(2, 4, 3, padding=1, padding_mode="circular", **kw), (2, 2, 3, 5, 4)),
}
layers = pytest.mark.parametrize(("build", "shape"), LAYERS.values(), ids=LAYERS)


@layers
@pytest.mark.parametrize("dtype", CLOSE, ids=str)
@pytest.mark.parametrize("bias", [True, False], ids=["bias", "no bias"])
@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
def test_layers_of_every_precision_and_mode(build, shape, dtype, bias, training):
    torch.manual_seed(0)
    assert_laws(build(bias=bias).to(dtype).train(training), torch.randn(shape).to(dtype))


@pytest.mark.parametrize("name", [name for name in LAYERS if name.startswith("conv2d")])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16], ids=str)
def test_convolutions_laid_out_channels_last(name, dtype):
    build, shape = LAYERS[name]
    torch.manual_seed(0)
    assert_laws(
        channels_last(build().to(dtype)), torch.randn(shape).to(dtype).contiguous(memory_format=torch.channels_last)
    )


# errors


@layers
def test_the_error_of_every_rank_is_the_tail_of_the_spectrum(build, shape):
    torch.manual_seed(0)
    layer = build().double()
    found = Factorisation(layer)
    for method in {"svd", "spatial"} & {*methods_for(layer)}:
        matrices, spectrum = as_matrices(layer, method), found.spectrum("", method)
        oracle = np.sqrt(np.sum(np.square(np.linalg.svd(matrices, compute_uv=False)), axis=0))
        for rank in range(1, min(matrix_shape(layer, method)) + 1):
            rest = layer.weight - found.block("", LayerPlan(rank, method)).weight
            error = float(rest.detach().norm() / layer.weight.detach().norm())
            # Eckart and Young (1936): nothing of this rank comes nearer.
            assert error == pytest.approx(np.linalg.norm(oracle[rank:]) / np.linalg.norm(oracle), abs=1e-10)
            assert error == pytest.approx(spectrum.error(rank), abs=1e-7)


@pytest.mark.parametrize("name", [name for name in LAYERS if "one" not in name])
@torch.no_grad()
def test_looking_at_data_errs_by_the_tail_of_its_values_and_less_than_not_looking(name):
    torch.manual_seed(0)
    build, (_, *shape) = LAYERS[name]
    layer, x = build(bias=False).double(), torch.randn(12, *shape, dtype=torch.float64)
    x = x * torch.linspace(0.1, 2, shape[-1], dtype=x.dtype)  # some directions count for more than others
    found, y = Factorisation(layer, Examples(x.numpy(), np.zeros(12, int))), layer(x)
    values = found.spectrum("", "aware").values
    assert np.linalg.norm(values) == pytest.approx(float(y.norm()), rel=1e-9)
    full = len(values)
    for rank in range(1, full + 1):
        plain, aware = (float((found.block("", LayerPlan(rank, method))(x) - y).norm()) for method in ("svd", "aware"))
        assert aware == pytest.approx(np.linalg.norm(values[rank:]), rel=1e-6, abs=1e-7 * values[0])
        assert aware < plain or rank == full


# the spatial method on a trained network, as the literature has it (Jaderberg et al. 2014, figure 4)


@pytest.fixture(scope="module")
def looked_at(mnist):
    """The trained network's factors, and what its layers read on validation images."""
    model, data = mnist
    read, x = {}, torch.from_numpy(data.validation.x[:100])
    with torch.no_grad():
        for name, stage in model.named_children():
            read[name], x = x, stage(x)
    return Factorisation(model, data), read


def at_share(found, name, method, share):
    """The plan that takes this share of the dense layer's arithmetic; both factors have as many positions."""
    layer = found.layers[name]
    shape = matrix_shape(layer, method)
    return LayerPlan(min(int(share * layer.weight.numel() / sum(shape)), *shape), method)


@pytest.mark.parametrize("share", [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9])
@pytest.mark.parametrize("name", ["conv2", "conv3"])
@torch.no_grad()
def test_at_equal_arithmetic_the_spatial_method_errs_less_on_images(looked_at, name, share):
    found, read = looked_at
    y = found.layers[name](read[name])
    svd, spatial, aware = (
        float((found.block(name, at_share(found, name, method, share))(read[name]) - y).norm() / y.norm())
        for method in ("svd", "spatial", "aware")
    )
    assert spatial < svd
    assert aware < svd


@pytest.mark.parametrize(("name", "shares"), [("conv2", [0.1, 0.3, 0.5, 0.7, 0.8]), ("conv3", [0.1, 0.3, 0.5, 0.6])])
def test_at_equal_arithmetic_the_spatial_method_is_nearer_to_the_weights_unless_most_of_them_is_kept(
    looked_at, name, shares
):
    found, _ = looked_at

    def error(method, share):
        return found.spectrum(name, method).error(at_share(found, name, method, share).rank)

    assert all(error("spatial", share) < error("svd", share) for share in shares)
    assert error("spatial", 0.97) > error("svd", 0.97)
