"""Inputs arrive in the model's dtype and layout as a copy, in batches that suit, and modes are put back."""

import numpy as np
import pytest
import torch
from torch import nn

from lowrank_kit.models import running
from lowrank_kit.models.layers import channels_last as laid_out
from lowrank_kit.models.running import batches, evaluating, inputs_for, layout_of, watch, weight_of


def test_layout_follows_the_convolutions(residual, mlp):
    assert (layout_of(residual), layout_of(mlp), layout_of(nn.ReLU())) == ("contiguous",) * 3
    assert layout_of(laid_out(residual)) == "channels_last"


@pytest.mark.parametrize(("inputs", "groups"), [(4, 1), (4, 2), (1, 1)])
def test_pointwise_kernels_tell_their_layout(inputs, groups):
    """Memory lies alike in both; the strides differ, and PyTorch chooses kernels by them."""
    layer = nn.Conv2d(inputs, 4, 1, groups=groups)
    assert layout_of(layer) == "contiguous"
    assert layout_of(laid_out(layer)) == ("channels_last" if inputs > groups else "contiguous")


def test_factors_of_one_channel_take_the_layout_of_those_with_more():
    pair = nn.Sequential(nn.Conv2d(4, 1, 1), nn.Conv2d(1, 4, 1))
    assert layout_of(pair) == "contiguous"
    assert layout_of(laid_out(pair)) == "channels_last"


def test_inputs_of_pointwise_convolutions_alone_arrive_in_their_layout(images):
    layer = nn.Conv2d(3, 4, 1)
    assert inputs_for(layer, images.x).is_contiguous()
    assert inputs_for(laid_out(layer), images.x).is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("channels_last", [True, False])
def test_images_arrive_in_the_models_layout(residual, images, channels_last):
    if channels_last:
        laid_out(residual)
    found = inputs_for(residual, images.x)
    assert found.is_contiguous(memory_format=torch.channels_last) is channels_last
    np.testing.assert_array_equal(found.numpy(), images.x)


@pytest.mark.parametrize(
    ("given", "arrives"), [(np.float32, torch.float64), (np.float64, torch.float64), (np.int64, torch.int64)]
)
def test_floating_inputs_take_the_models_dtype_and_others_keep_theirs(mlp, given, arrives):
    assert inputs_for(mlp.double(), np.ones((2, 12), given)).dtype == arrives


def test_inputs_are_a_copy(mlp, vectors):
    before = vectors.x.copy()
    inputs_for(mlp, vectors.x).zero_()
    np.testing.assert_array_equal(vectors.x, before)


def test_a_model_without_weights_is_float32_on_the_cpu():
    assert (weight_of(nn.ReLU()).dtype, weight_of(nn.ReLU()).device.type) == (torch.float32, "cpu")


@pytest.mark.parametrize(("n", "shape"), [(300, (12,)), (300, (3, 300, 300)), (5, (3, 1000, 1000)), (1, ())])
def test_batches_are_everything_in_order_and_small(n, shape):
    x = np.broadcast_to(np.arange(n).reshape(-1, *[1] * len(shape)), (n, *shape))
    found = batches(x)
    assert [int(i) for batch in found for i in batch.reshape(len(batch), -1)[:, 0]] == [*range(n)]
    most, numbers = running.EXAMPLES_A_BATCH, running.NUMBERS_A_BATCH
    assert all(len(batch) <= most and (len(batch) == 1 or batch.size <= numbers) for batch in found)
    assert len(found) < n or n == 1 or x[0].size > numbers / 2


def test_evaluating_puts_every_modules_mode_back(residual):
    residual.train()
    residual.norm.eval()
    before = [m.training for m in residual.modules()]
    with pytest.raises(ZeroDivisionError), evaluating(residual):
        assert not any(m.training for m in residual.modules())
        assert torch.is_inference_mode_enabled()
        raise ZeroDivisionError
    assert [m.training for m in residual.modules()] == before
    assert not torch.is_inference_mode_enabled()


def test_watching_tells_of_every_pass_with_what_went_in_and_out(rng):
    model = nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 2)).train()
    x, seen = rng.standard_normal((100, 6)).astype(np.float32), []
    watch(model, {"2": lambda *told: seen.append(told)}, x)
    assert [layer for layer, _, _ in seen] == [model[2]] * len(batches(x))
    assert sum(len(given) for _, given, _ in seen) == 100
    torch.testing.assert_close(torch.cat([output for *_, output in seen]), model.eval()(torch.from_numpy(x)))
