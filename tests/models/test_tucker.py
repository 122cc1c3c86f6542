"""A convolution with a basis for its outputs and one for its inputs: three plain convolutions that are what it was."""

import copy
import math
from itertools import product

import numpy as np
import pytest
import torch
from torch import nn

from lowrank_kit.checks import InputError
from lowrank_kit.maths.tensor import truncation_errors
from lowrank_kit.models.inventory import weights_hash
from lowrank_kit.models.layers import channels_last, is_channels_last
from lowrank_kit.models.low_rank import LowRank
from lowrank_kit.models.surgery import Factorisation, compress, survey, with_empty_blocks
from lowrank_kit.models.tucker import Tucker, as_tensor, filled_tucker, tucker
from lowrank_kit.records import LayerPlan, RankPlan

# name -> layer, shape of an input; every option a convolution has stands in one of them
LAYERS = {
    "conv1d": (lambda **kw: nn.Conv1d(4, 6, 3, stride=2, padding=1, **kw), (2, 4, 11)),
    "conv1d same": (lambda **kw: nn.Conv1d(6, 4, 4, padding="same", dilation=2, **kw), (2, 6, 11)),
    "conv2d": (lambda **kw: nn.Conv2d(4, 6, 3, padding=1, **kw), (2, 4, 7, 8)),
    "conv2d of one row": (lambda **kw: nn.Conv2d(4, 6, (1, 5), padding="valid", **kw), (2, 4, 7, 8)),
    "conv2d strided": (lambda **kw: nn.Conv2d(5, 3, (3, 2), stride=(2, 1), padding=(1, 2), **kw), (2, 5, 7, 8)),
    "conv2d dilated": (lambda **kw: nn.Conv2d(4, 6, 3, dilation=(2, 1), padding="same", **kw), (2, 4, 7, 8)),
    "conv2d reflect": (lambda **kw: nn.Conv2d(4, 6, 3, padding=(2, 1), padding_mode="reflect", **kw), (2, 4, 7, 8)),
    "conv2d replicate": (lambda **kw: nn.Conv2d(4, 6, 3, padding=2, padding_mode="replicate", **kw), (2, 4, 7, 8)),
    "conv2d circular": (lambda **kw: nn.Conv2d(4, 6, 3, padding="same", padding_mode="circular", **kw), (2, 4, 7, 8)),
    "conv2d on one example": (lambda **kw: nn.Conv2d(4, 6, 3, **kw), (4, 7, 8)),
    "conv2d of one input": (lambda **kw: nn.Conv2d(1, 6, 3, **kw), (2, 1, 7, 8)),
    "conv2d of one output": (lambda **kw: nn.Conv2d(6, 1, 3, **kw), (2, 6, 7, 8)),
    "conv3d": (lambda **kw: nn.Conv3d(3, 4, (1, 3, 2), stride=(1, 2, 1), padding=(0, 1, 1), **kw), (2, 3, 3, 5, 4)),
    "conv3d circular": (lambda **kw: nn.Conv3d(2, 4, 2, padding=1, padding_mode="circular", **kw), (2, 2, 3, 5, 4)),
}
layers = pytest.mark.parametrize(("build", "shape"), LAYERS.values(), ids=LAYERS)
OPTIONS = ("stride", "padding", "dilation", "padding_mode", "kernel_size")
CLOSE = {torch.float64: 1e-12, torch.float32: 1e-5, torch.float16: 2e-2, torch.bfloat16: 1e-1}


def built(build, **kwargs):
    torch.manual_seed(0)
    return build(**kwargs)


def block_of(layer, ranks):
    return Factorisation(layer).block("", LayerPlan(ranks, "tucker"))


def every_pair(layer):
    return product(*(range(1, size + 1) for size in layer.weight.shape[:2]))


def relative_error(found, layer):
    rest = found.detach().double().reshape(layer.weight.shape) - layer.weight.detach().double()
    return float(rest.norm() / layer.weight.detach().double().norm())


# blocks


@layers
@pytest.mark.parametrize("dtype", CLOSE, ids=str)
@pytest.mark.parametrize("bias", [True, False], ids=["bias", "no bias"])
@torch.no_grad()
def test_at_full_rank_it_computes_what_the_layer_does(build, shape, dtype, bias):
    layer = built(build, bias=bias).to(dtype)
    x = torch.randn(shape, dtype=torch.float64).to(dtype)
    y, found = layer(x), block_of(layer, layer.weight.shape[:2])(x)
    assert found.dtype == dtype and found.shape == y.shape
    assert (found - y).abs().max() <= CLOSE[dtype] * y.abs().max()


@layers
@torch.no_grad()
def test_at_every_rank_it_computes_with_the_weight_that_it_reads_as(build, shape):
    layer = built(build).double()
    x, cut = torch.randn(shape, dtype=torch.float64), copy.deepcopy(layer)
    for ranks in every_pair(layer):
        block = block_of(layer, ranks)
        cut.weight.copy_(block.weight)
        torch.testing.assert_close(block(x), cut(x), rtol=1e-11, atol=1e-12)
        assert block.ranks == ranks


@layers
@pytest.mark.parametrize("bias", [True, False])
def test_it_holds_the_promised_numbers(build, shape, bias):
    layer = built(build, bias=bias)
    outputs, inputs, *kernel = layer.weight.shape
    for r_out, r_in in every_pair(layer):
        block = tucker(layer, (r_out, r_in))
        weights = {name: p.numel() for name, p in block.named_parameters() if name != "expand.bias"}
        core = r_out * r_in * math.prod(kernel)
        assert weights == {"reduce.weight": inputs * r_in, "core.weight": core, "expand.weight": outputs * r_out}
        assert not any(p.any() for name, p in block.named_parameters() if name in weights)
        assert block.bias is None if not bias else torch.equal(block.bias, layer.bias)


@layers
def test_the_core_alone_walks_as_the_layer_did(build, shape):
    layer = built(build)
    block = tucker(layer, (1, 1))
    assert [getattr(block.core, name) for name in OPTIONS] == [getattr(layer, name) for name in OPTIONS]
    for still in (block.reduce, block.expand):
        assert {*still.kernel_size, *still.stride, *still.dilation} == {1} and {*still.padding} == {0}
    assert block.core.bias is None and block.reduce.bias is None


def test_it_is_three_plain_layers_and_tells_the_sizes_of_the_layer():
    block = tucker(nn.Conv2d(4, 6, 3), (5, 2))
    assert isinstance(block, LowRank) and [type(part) for part in block] == [nn.Conv2d] * 3
    assert [name for name, _ in block.named_children()] == ["reduce", "core", "expand"]
    assert (block.in_channels, block.out_channels, block.ranks) == (4, 6, (5, 2))


def test_its_three_factors_are_of_one_scale():
    block = block_of(built(LAYERS["conv2d"][0]), (4, 3))
    norms = [float(part.weight.detach().norm()) for part in block]
    assert norms == pytest.approx([norms[0]] * 3, rel=1e-5)


def test_layout_is_kept():
    layer = channels_last(nn.Conv2d(4, 8, 3))
    assert is_channels_last(tucker(layer, (5, 3)).core)
    assert not is_channels_last(tucker(nn.Conv2d(4, 8, 3), (5, 3)).core)
    with torch.inference_mode():
        y = block_of(layer, (5, 3))(torch.randn(2, 4, 7, 7).contiguous(memory_format=torch.channels_last))
    assert y.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("training", [True, False])
def test_mode_is_kept(training):
    assert {m.training for m in tucker(nn.Conv2d(4, 4, 3).train(training), (2, 2)).modules()} == {training}


@pytest.mark.parametrize("weight", [True, False])
@pytest.mark.parametrize("bias", [True, False])
def test_frozen_parameters_stay_frozen_and_others_are_trained(weight, bias):
    layer = nn.Conv2d(4, 6, 3)
    layer.weight.requires_grad_(weight), layer.bias.requires_grad_(bias)
    expected = dict.fromkeys(("reduce.weight", "core.weight", "expand.weight"), weight) | {"expand.bias": bias}
    block = block_of(layer, (3, 2))
    assert {name: p.requires_grad for name, p in block.named_parameters()} == expected
    assert all(p.is_leaf for p in block.parameters())


def test_hooks_run_around_the_block_as_they_did_around_the_layer():
    layer, seen = nn.Conv2d(4, 6, 3), []
    layer.register_forward_pre_hook(lambda module, args: (2 * args[0],))
    layer.register_forward_hook(lambda module, args, output: seen.append(type(module)) or output + 1)
    x = torch.randn(2, 4, 7, 8)
    torch.testing.assert_close(block_of(layer, (6, 4))(x), layer(x), rtol=1e-4, atol=1e-5)
    assert seen == [Tucker, nn.Conv2d]


@pytest.mark.parametrize("dtype", CLOSE, ids=str)
def test_half_precision_is_worked_on_in_float32(dtype):
    layer = nn.Conv2d(4, 6, 3).to(dtype)
    assert as_tensor(layer).dtype == (np.float64 if dtype == torch.float64 else np.float32)
    assert as_tensor(layer).shape == layer.weight.shape


def test_a_weight_of_zeros_is_no_obstacle():
    layer = nn.Conv2d(4, 6, 3)
    nn.init.zeros_(layer.weight)
    block = block_of(layer, (2, 3))
    assert not block.weight.any() and all(p.isfinite().all() for p in block.parameters())


@pytest.mark.parametrize("scale", [1e-30, 1e30])
def test_very_small_and_very_large_weights_are_no_obstacle(scale):
    layer = built(LAYERS["conv2d"][0])
    with torch.no_grad():
        layer.weight.mul_(scale)
    assert relative_error(block_of(layer, (6, 4)).weight / scale, built(LAYERS["conv2d"][0])) < 1e-5


# errors


@layers
def test_a_slice_errs_by_what_the_table_of_all_ranks_says(build, shape):
    layer = built(build).double()
    full, _ = Factorisation(layer).modes("")
    errors = truncation_errors(full)
    assert errors.shape == tuple(layer.weight.shape[:2])
    for r_out, r_in in every_pair(layer):
        block = filled_tucker(tucker(layer, (r_out, r_in)), full.truncate((r_out, r_in)))
        assert relative_error(block.weight, layer) == pytest.approx(errors[r_out - 1, r_in - 1], abs=1e-12)


@layers
def test_refining_errs_no_more_than_slicing_and_often_less(build, shape):
    layer = built(build).double()
    found = Factorisation(layer)
    errors = truncation_errors(found.modes("")[0])
    after = {
        ranks: relative_error(found.block("", LayerPlan(ranks, "tucker")).weight, layer) for ranks in every_pair(layer)
    }
    assert all(error <= errors[r_out - 1, r_in - 1] + 1e-12 for (r_out, r_in), error in after.items())
    if min(layer.weight.shape[:2]) > 1:  # one of two bases is a matrix's, which slicing finds already
        assert any(error < errors[r_out - 1, r_in - 1] - 1e-6 for (r_out, r_in), error in after.items())


def test_the_spectra_of_both_modes_are_those_of_the_unfoldings():
    layer = built(LAYERS["conv2d strided"][0]).double()
    weight = layer.weight.detach().numpy()
    for mode, spectrum in enumerate(Factorisation(layer).modes("")[1]):
        rows = np.moveaxis(weight, mode, 0).reshape(weight.shape[mode], -1)
        np.testing.assert_allclose(spectrum.values, np.linalg.svd(rows, compute_uv=False), rtol=1e-7, atol=1e-8)
        assert (spectrum.shape, spectrum.layer) == (rows.shape, "")


def test_a_layer_is_taken_apart_once_for_all_ranks(cnn):
    found = Factorisation(cnn)
    assert found.modes("2") is found.modes("2")


# networks


def planned(model, ranks):
    return RankPlan({name: LayerPlan(rank, "tucker") for name, rank in ranks.items()}, weights_hash(model))


def n_params(model):
    return sum(p.numel() for p in model.parameters())


@torch.no_grad()
def outputs(model, x):
    return model.eval()(x)


def test_a_network_at_full_rank_is_the_network(residual):
    residual.double()
    x, plan = torch.randn(5, 3, 9, 10, dtype=torch.float64), planned(residual, {"conv1": (8, 3), "conv2": (8, 8)})
    found = compress(residual, plan, break_even_guard=False)
    assert isinstance(found.conv1, Tucker) and isinstance(found.conv2, Tucker)
    torch.testing.assert_close(outputs(found, x), outputs(residual, x), rtol=1e-11, atol=1e-12)


def test_a_network_computes_in_channels_last_what_it_does_otherwise(residual):
    x, plan = torch.randn(5, 3, 9, 10), planned(residual, {"conv1": (5, 2), "conv2": (3, 4)})
    expected = outputs(compress(residual, plan), x)
    found = compress(channels_last(residual), plan)
    assert is_channels_last(found.conv2.core)
    torch.testing.assert_close(outputs(found, x.contiguous(memory_format=torch.channels_last)), expected)


def test_survey_says_what_compress_does(residual):
    # conv1 has 216 numbers in its weight, conv2 576
    plan = planned(residual, {"conv1": (7, 3), "conv2": (5, 4)})
    said, found = survey(residual, plan), compress(residual, plan)
    assert (said["conv1"].verdict, said["conv1"].how) == ("dense", "")
    assert said["conv1"].reason == "ranks (7, 3) save nothing: 254 numbers for 216"
    assert isinstance(found.conv1, nn.Conv2d)
    assert (said["conv2"].verdict, said["conv2"].how) == ("compressed", "tucker 5 x 4")
    assert said["conv2"].reason == "44% of its parameters remain"
    assert said["conv2"].n_params == n_params(found.conv2) == 5 * 4 * 9 + 8 * 5 + 8 * 4
    assert "tucker 5 x 4" in str(said) and "tucker 5 x 4" in said._repr_html_()
    assert n_params(residual) - n_params(found) == said["conv2"].n_params_before - said["conv2"].n_params


def test_without_the_guard_ranks_that_save_nothing_are_followed(residual):
    plan = planned(residual, {"conv1": (7, 3)})
    assert compress(residual, plan, break_even_guard=False).conv1.ranks == (7, 3)
    assert survey(residual, plan, break_even_guard=False)["conv1"].n_params == 254 + 8


def test_empty_blocks_are_what_compress_makes_less_the_values(residual):
    plan = planned(residual, {"conv1": (4, 2), "conv2": (8, 8)})
    empty, full = with_empty_blocks(residual, plan.layers), compress(residual, plan, break_even_guard=False)
    assert str(empty) == str(full) and not empty.conv2.weight.any()
    assert {n: p.shape for n, p in empty.state_dict().items()} == {n: p.shape for n, p in full.state_dict().items()}


@pytest.fixture
def twins():
    """Two convolutions of one weight but two biases."""
    torch.manual_seed(0)
    first, second = nn.Conv2d(6, 6, 3, padding=1), nn.Conv2d(6, 6, 3, padding=1)
    second.weight = first.weight
    return nn.Sequential(first, nn.ReLU(), second)


def test_layers_of_one_weight_share_all_three_factors(twins):
    plan = planned(twins, {"0": (3, 2)})
    found = compress(twins, plan)
    for part in ("reduce", "core", "expand"):
        assert getattr(found[0], part).weight is getattr(found[2], part).weight
    assert torch.equal(found[2].bias, twins[2].bias) and not torch.equal(found[0].bias, found[2].bias)
    assert n_params(found) == 3 * 2 * 9 + 6 * 3 + 6 * 2 + 12
    assert survey(twins, plan)["2"].reason.endswith("; shares its factors with 0")


def test_a_weight_that_is_computed_is_folded_in():
    torch.manual_seed(0)
    model = nn.Sequential(nn.utils.parametrizations.weight_norm(nn.Conv2d(4, 6, 3).double()))
    x = torch.randn(2, 4, 7, 7, dtype=torch.float64)
    found = compress(model, planned(model, {"0": (6, 4)}), break_even_guard=False)
    torch.testing.assert_close(outputs(found, x), outputs(model, x), rtol=1e-11, atol=1e-12)


def test_what_is_compressed_is_trained_through_all_three(residual):
    found = compress(residual, planned(residual, {"conv2": (3, 3)})).train()
    found(torch.randn(5, 3, 9, 10)).square().sum().backward()
    assert all(p.grad is not None and p.grad.any() for p in found.conv2.parameters())


def test_compressing_draws_no_random_numbers(residual):
    plan, before = planned(residual, {"conv1": (2, 2), "conv2": (2, 2)}), torch.get_rng_state()
    compress(residual, plan)
    assert torch.equal(torch.get_rng_state(), before)


# sentences

FLAT = {
    "linear": nn.Linear(6, 6),
    "pointwise": nn.Conv2d(6, 6, 1),
    "in groups": nn.Conv2d(6, 6, 3, groups=2),
    "depthwise": nn.Conv1d(6, 6, 3, groups=6),
}


@pytest.mark.parametrize("layer", FLAT.values(), ids=FLAT)
def test_a_layer_without_such_modes_says_which_methods_it_has(layer):
    model = nn.Sequential(layer)
    words = "`method of 0` must be one of 'svd', 'aware'.*; got 'tucker'"
    for ask in (
        lambda: compress(model, planned(model, {"0": (2, 2)})),
        lambda: survey(model, planned(model, {"0": (2, 2)})),
        lambda: Factorisation(model).modes("0"),
    ):
        with pytest.raises(InputError, match=words):
            ask()


@pytest.mark.parametrize("ranks", [(9, 3), (8, 4), (99, 99)])
def test_ranks_beyond_the_modes(residual, ranks):
    with pytest.raises(
        InputError, match=rf"`rank of conv1` must be at most .* \(8, 3\); got \({ranks[0]}, {ranks[1]}\)"
    ):
        compress(residual, planned(residual, {"conv1": ranks}))


def test_an_unknown_layer_lists_those_that_would_work(residual):
    with pytest.raises(InputError, match="`layer` must be one of 'conv1', 'conv2', 'head'; got 'conv'"):
        Factorisation(residual).modes("conv")


@pytest.mark.parametrize("ask", ["factors", "spectrum"])
def test_a_method_of_two_ranks_has_no_factors_of_a_matrix(residual, ask):
    with pytest.raises(InputError, match="`method of conv1` must be one of 'svd', 'aware', 'spatial'; got 'tucker'"):
        getattr(Factorisation(residual), ask)("conv1", "tucker")


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_name_the_layer(residual, bad):
    with torch.no_grad():
        residual.conv1.weight[1, 2, 1] = bad
    with pytest.raises(InputError, match=r"`conv1.weight` must hold finite numbers only; 3 of its 216"):
        compress(residual, planned(residual, {"conv1": (2, 2)}))
