"""Inputs arrive in the model's dtype and layout, as a copy."""

import numpy as np
import pytest
import torch
from torch import nn

from lowrank_kit.measurement.placement import device_name, inputs_for, layout_of, weight_of


def test_layout_follows_the_convolutions(residual, mlp):
    assert (layout_of(residual), layout_of(mlp), layout_of(nn.ReLU())) == ("contiguous",) * 3
    assert layout_of(residual.to(memory_format=torch.channels_last)) == "channels_last"


def test_pointwise_kernels_alone_are_of_no_layout():
    assert layout_of(nn.Conv2d(4, 4, 1).to(memory_format=torch.channels_last)) == "contiguous"


@pytest.mark.parametrize("channels_last", [True, False])
def test_images_arrive_in_the_models_layout(residual, images, channels_last):
    if channels_last:
        residual.to(memory_format=torch.channels_last)
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


def test_a_processor_is_named_and_any_other_device_is_not_taken_for_it():
    assert device_name(torch.device("cpu")) not in ("", "cpu")
    assert device_name(torch.device("meta")) == "meta"
