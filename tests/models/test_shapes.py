"""Shapes of layers are those that run, their blocks have the shapes that records foretell, and weights are drawn."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from lowrank_kit.measurement.cost import layer_macs, macs
from lowrank_kit.models import shapes
from lowrank_kit.models.blocks import n_factors
from lowrank_kit.models.low_rank import LowRank, matrix_shape
from lowrank_kit.models.shapes import block_of, drawn, inputs_of, layer_of, layer_shapes
from lowrank_kit.models.tucker import Tucker
from lowrank_kit.models.vision import resnet18, vgg8
from lowrank_kit.records import LayerPlan, LayerShape

# name -> layer, shape of an example
LAYERS = {
    "linear": (lambda: nn.Linear(9, 6), (9,)),
    "linear over positions": (lambda: nn.Linear(9, 6), (4, 9)),
    "linear over a grid": (lambda: nn.Linear(9, 6, bias=False), (4, 3, 9)),
    "convolution": (lambda: nn.Conv2d(8, 6, 3, padding=1), (8, 9, 10)),
    "unpadded": (lambda: nn.Conv2d(8, 6, 3), (8, 9, 10)),
    "strided": (lambda: nn.Conv2d(8, 6, 3, stride=2, padding=1), (8, 9, 10)),
    "strided one way": (lambda: nn.Conv2d(8, 6, (3, 5), stride=(1, 3), padding=(0, 2)), (8, 9, 10)),
    "dilated": (lambda: nn.Conv2d(8, 6, 3, dilation=(2, 1), bias=False), (8, 9, 10)),
    "same": (lambda: nn.Conv2d(8, 6, 3, padding="same", padding_mode="reflect"), (8, 9, 10)),
    "patches": (lambda: nn.Conv2d(8, 6, 2, stride=2), (8, 9, 10)),
    "groups": (lambda: nn.Conv2d(8, 6, 3, stride=2, groups=2), (8, 9, 10)),
    "depthwise": (lambda: nn.Conv2d(8, 8, 3, padding=1, groups=8), (8, 9, 10)),
    "pointwise": (lambda: nn.Conv2d(8, 6, 1, stride=2), (8, 9, 10)),
    "a row": (lambda: nn.Conv2d(8, 6, (1, 5), padding="same"), (8, 9, 10)),
    "on a line": (lambda: nn.Conv1d(8, 6, 5, stride=2, padding=1), (8, 20)),
    "in groups on a line": (lambda: nn.Conv1d(8, 6, 3, groups=2), (8, 20)),
    "in space": (lambda: nn.Conv3d(8, 6, (3, 1, 2), stride=(2, 1, 1)), (8, 5, 6, 7)),
}
layers = pytest.mark.parametrize(("build", "example"), LAYERS.values(), ids=LAYERS)


def zeros(*shape):
    return np.zeros((2, *shape), np.float32)


def shape_of(build, example):
    layer = build()
    return layer, layer_shapes(nn.Sequential(layer), zeros(*example))["0"]


def plans(shape):
    """Every method that suits, at full ranks, at ones, and between."""
    for method in (*shape.methods, "aware"):
        full = shape.full_ranks(method)
        for ranks in {full, (1,) * len(full), tuple(-(-rank // 2) for rank in full)}:
            yield LayerPlan(ranks if method == "tucker" else ranks[0], method)


@layers
def test_the_shape_is_the_layers_and_its_sizes_are_those_that_it_saw(build, example):
    layer, shape = shape_of(build, example)
    with torch.inference_mode():
        out = layer(torch.zeros(1, *example))
    assert shape.weights == layer.weight.numel()
    assert shape.groups == getattr(layer, "groups", 1)
    assert shape.traffic(3) == layer.weight.numel() + 3 * (int(np.prod(example)) + out.numel())
    if shape.is_linear:
        assert (shape.inputs, shape.outputs) == (9, 6)
        assert shape.size == shape.out_size == (int(np.prod(example[:-1])),)
    else:
        assert (shape.inputs, *shape.size) == example
        assert (shape.outputs, *shape.out_size) == tuple(out.shape[1:])
        assert shape.kernel == layer.kernel_size


@layers
def test_a_block_runs_in_the_shapes_that_its_plan_foretells(build, example):
    layer, shape = shape_of(build, example)
    for plan in plans(shape):
        block = block_of(layer, plan)
        found = layer_shapes(block, zeros(*example))
        assert tuple(found.values()) == shape.factorised(plan), plan
        assert list(found) == [name for name, _ in block.named_children()]


@layers
def test_weights_and_multiply_adds_are_those_that_are_counted(build, example):
    layer, shape = shape_of(build, example)
    assert {"0": shape.macs} == layer_macs(nn.Sequential(layer), zeros(*example))
    for plan in plans(shape):
        parts = shape.factorised(plan)
        assert sum(part.weights for part in parts) == n_factors(layer, plan), plan
        assert sum(part.macs for part in parts) == macs(block_of(layer, plan), zeros(*example)), plan


@layers
def test_full_ranks_are_those_of_the_layers_matrices(build, example):
    layer, shape = shape_of(build, example)
    for method in (method for method in shape.methods if method != "tucker"):
        assert shape.full_ranks(method) == (min(matrix_shape(layer, method)),)
    if "tucker" in shape.methods:
        assert shape.full_ranks("tucker") == tuple(layer.weight.shape[:2])


@pytest.mark.parametrize(
    ("build", "size"), [(resnet18, 32), (vgg8, 32), (resnet18, 48)], ids=["resnet18", "vgg8", "larger images"]
)
def test_a_networks_shapes_hold_all_its_multiply_adds(build, size):
    model, x = build(), zeros(3, size, size)
    found = layer_shapes(model, x)
    assert {name: shape.macs for name, shape in found.items()} == layer_macs(model, x)
    assert sum(shape.macs for shape in found.values()) == macs(model, x)


def test_sizes_follow_strides_and_shortcuts():
    found = layer_shapes(resnet18(), zeros(3, 32, 32))
    assert len(found) == 21
    assert found["conv1"] == LayerShape(64, 3, (3, 3), (32, 32), (32, 32))
    assert found["block2_1.conv1"] == LayerShape(128, 64, (3, 3), (32, 32), (16, 16))
    assert found["block2_1.shortcut.conv"] == LayerShape(128, 64, (1, 1), (32, 32), (16, 16))
    assert found["head"] == LayerShape(10, 512)


def test_layers_stand_in_the_order_they_run():
    class Backwards(nn.Module):
        def __init__(self):
            super().__init__()
            self.last, self.first, self.never = nn.Linear(3, 2), nn.Linear(4, 3), nn.Linear(4, 3)

        def forward(self, x):
            return self.last(self.first(x))

    assert list(layer_shapes(Backwards(), zeros(4))) == ["first", "last"]


def test_a_layer_run_twice_is_left_out():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.once = nn.Conv2d(3, 3, 3), nn.Conv2d(3, 4, 1)

        def forward(self, x):
            return self.once(self.conv(self.conv(x)))

    assert list(layer_shapes(Twice(), zeros(3, 8, 8))) == ["once"]


def test_a_convolution_of_several_images_an_example_is_left_out():
    class Frames(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.head = nn.Conv2d(3, 4, 3), nn.Linear(4, 2)

        def forward(self, x):
            seen = self.conv(x.flatten(0, 1)).mean((2, 3))
            return self.head(seen.unflatten(0, x.shape[:2]).mean(1))

    assert list(layer_shapes(Frames(), zeros(5, 3, 8, 8))) == ["head"]


@pytest.mark.parametrize("batch_first", [True, False])
def test_attention_sees_all_its_vectors_in_either_order(batch_first):
    class Attending(nn.Module):
        def __init__(self):
            super().__init__()
            self.attention = nn.MultiheadAttention(8, 2, batch_first=batch_first)

        def forward(self, x):
            x = x if batch_first else x.transpose(0, 1)
            return self.attention(x, x, x)[0]

    found = layer_shapes(Attending(), zeros(5, 8))
    assert found == {
        "attention.in_proj": LayerShape(24, 8, (), (5,), (5,)),
        "attention.out_proj": LayerShape(8, 8, (), (5,), (5,)),
    }


def test_an_image_may_come_without_a_batch():
    class Single(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(3, 4, 3, stride=2)

        def forward(self, x):
            return torch.stack([self.conv(image) for image in x])

    assert layer_shapes(Single(), zeros(3, 9, 8)) == {"conv": LayerShape(4, 3, (3, 3), (9, 8), (4, 3))}


def test_vectors_count_however_they_are_laid_out():
    class Windows(nn.Module):
        """Two windows of three vectors for each example."""

        def __init__(self):
            super().__init__()
            self.inside, self.flat = nn.Linear(8, 8), nn.Linear(8, 4)

        def forward(self, x):
            windows = self.inside(x.reshape(-1, 3, 8))
            return self.flat(windows.flatten(0, 1)).reshape(len(x), 6, 4)

    model, x = Windows(), zeros(6, 8)
    found = layer_shapes(model, x)
    assert [shape.size for shape in found.values()] == [(6,), (6,)]
    assert {name: shape.macs for name, shape in found.items()} == layer_macs(model, x)


def test_looking_leaves_the_network_as_it_was(residual, images, states):
    before = states(residual.train())
    layer_shapes(residual, images.x)
    assert states.same(before, states(residual))
    assert not any(module._forward_hooks for module in residual.modules())


@pytest.mark.parametrize(
    "shape",
    [
        LayerShape(6, 9),
        LayerShape(6, 9, (), (4,), (4,)),
        LayerShape(6, 8, (3, 3), (9, 10), (9, 10)),
        LayerShape(6, 8, (3, 5), (9, 10), (5, 10), 2),
        LayerShape(8, 8, (3, 3), (9, 10), (9, 10), 8),
        LayerShape(6, 8, (1, 1), (7, 7), (4, 4)),
        LayerShape(6, 3, (7, 7), (14, 14), (7, 7)),
        LayerShape(6, 8, (5,), (20,), (7,)),
        LayerShape(6, 8, (3, 1, 3), (5, 6, 7), (3, 6, 7)),
    ],
    ids=str,
)
def test_a_layer_of_a_shape_has_that_shape(shape):
    layer = layer_of(shape)
    assert layer.bias is None
    assert layer_shapes(nn.Sequential(layer), inputs_of(shape, 2)) == {"0": shape}


@given(st.integers(1, 40), st.integers(1, 8), st.integers(0, 3))
def test_any_stride_of_a_centred_kernel_is_found_again(size, stride, half):
    out = -(-size // stride)
    shape = LayerShape(2, 2, (2 * half + 1,), (size,), (out,))
    assert layer_of(shape)(torch.from_numpy(inputs_of(shape, 3))).shape == (3, 2, out)


def test_inputs_are_the_same_each_time_and_fit_the_layer():
    for shape in (LayerShape(6, 9, (), (4,), (4,)), LayerShape(6, 8, (3, 3), (9, 10), (5, 5))):
        x = inputs_of(shape, 2)
        assert (x.dtype, len(x)) == (np.float32, 2)
        np.testing.assert_array_equal(x, inputs_of(shape, 2))
        assert layer_of(shape)(torch.from_numpy(x)).numel() == 2 * shape.outputs * int(np.prod(shape.out_size))
    assert inputs_of(LayerShape(6, 9, (), (4,), (4,)), 2).shape == (2, 4, 9)
    assert inputs_of(LayerShape(6, 8, (3, 3), (9, 10), (5, 5)), 2).shape == (2, 8, 9, 10)


@pytest.mark.parametrize("plan", [LayerPlan(3), LayerPlan(3, "spatial"), LayerPlan((3, 2), "tucker")], ids=str)
def test_a_blocks_factors_are_drawn_and_never_zero(plan):
    layer = layer_of(LayerShape(6, 8, (3, 3), (9, 9), (9, 9)))
    block = block_of(layer, plan)
    assert isinstance(block, Tucker if plan.method == "tucker" else LowRank)
    assert all(bool((weight != 0).all()) and bool(weight.isfinite().all()) for weight in block.parameters())
    assert not block.training
    assert not any(weight.requires_grad for weight in block.parameters())


def test_what_is_drawn_depends_on_the_seed_alone():
    shape, plan = LayerShape(6, 8, (3, 3), (9, 9), (9, 9)), LayerPlan(3)
    torch.manual_seed(1)
    one, other = layer_of(shape), layer_of(shape, seed=1)
    torch.manual_seed(2)
    again = layer_of(shape)
    assert torch.equal(one.weight, again.weight)
    assert not torch.equal(one.weight, other.weight)
    for a, b in zip(block_of(one, plan), block_of(again, plan), strict=True):
        assert torch.equal(a.weight, b.weight)
    assert not torch.equal(block_of(one, plan).reduce.weight, block_of(one, plan, seed=2).reduce.weight)


def test_drawing_leaves_the_random_numbers_of_others_alone():
    torch.manual_seed(0)
    np.random.seed(0)
    expected, by_numpy = torch.rand(3), np.random.random(3)
    torch.manual_seed(0)
    np.random.seed(0)
    shape = LayerShape(6, 8, (3, 3), (9, 9), (9, 9))
    for layer, plan in itertools.product([layer_of(shape)], [LayerPlan(3), LayerPlan((3, 2), "tucker")]):
        drawn(block_of(layer, plan))
    layer_of(LayerShape(6, 9))
    inputs_of(shape, 2)
    assert torch.equal(torch.rand(3), expected)
    np.testing.assert_array_equal(np.random.random(3), by_numpy)


@pytest.mark.parametrize("shape", [LayerShape(300, 200), LayerShape(96, 64, (3, 3), (4, 4), (4, 4), 2)], ids=str)
def test_the_variance_is_one_over_the_inputs(shape):
    """Of n normal numbers the variance has the standard error sqrt(2 / n), and the mean 1 / sqrt(n)."""
    weight = layer_of(shape).weight
    inputs, n = weight[0].numel(), weight.numel()
    assert abs(float(weight.var()) * inputs - 1) < 5 * (2 / n) ** 0.5
    assert abs(float(weight.mean())) * inputs**0.5 < 5 / n**0.5


def test_a_drawn_network_keeps_its_buffers_and_puts_out_finite_numbers(residual, images):
    statistics = residual.norm.running_mean.fill_(0.5).clone(), residual.norm.running_var.clone()
    found = drawn(residual.train())
    assert found is residual
    assert not found.training
    assert torch.equal(found.norm.running_mean, statistics[0])
    assert torch.equal(found.norm.running_var, statistics[1])
    out = found(torch.from_numpy(images.x))
    assert bool(out.isfinite().all())
    assert not out.requires_grad


def test_a_network_without_values_gets_them_on_the_cpu():
    found = drawn(nn.Sequential(nn.Linear(4, 3, device="meta"), nn.Linear(3, 2, device="meta")))
    assert {weight.device.type for weight in found.parameters()} == {"cpu"}
    assert all(bool((weight != 0).all()) for weight in found.parameters())
    assert found[0].bias.shape == (3,)


def test_layers_are_made_without_initial_values(monkeypatch):
    """They would be overwritten, and large layers are many numbers."""
    places = []
    monkeypatch.setattr(shapes, "drawn", lambda model, seed=0: places.append(model.weight.device.type))
    for shape in (LayerShape(6, 9), LayerShape(6, 8, (3, 3), (9, 9), (9, 9))):
        layer_of(shape)
    assert places == ["meta", "meta"]
