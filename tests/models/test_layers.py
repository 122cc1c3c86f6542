"""Every layer the kit factorises is a plain one at heart; every other says why it is not."""

import copy
import warnings

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations, parametrize, prune

from lowrank_kit.models.layers import (
    RowsLinear,
    channels_last,
    is_channels_last,
    is_computed,
    is_quantised,
    linear_on,
    plain_layer,
    plain_type,
    refusal,
)


class Mine(nn.Linear):
    """A subclass that computes what its parent does."""


class MineToo(nn.Conv2d):
    def forward(self, x):
        return super().forward(x) + 1


class OtherWalk(nn.Conv2d):
    def _conv_forward(self, x, weight, bias):
        return super()._conv_forward(x, weight, bias) + 1


class Conv1D(nn.Module):
    """transformers' linear layer, whose weight is inputs x outputs."""

    def __init__(self, outputs, inputs):
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.randn(inputs, outputs)), nn.Parameter(torch.randn(outputs))

    def forward(self, x):
        return x @ self.weight + self.bias


Conv1D.__module__ = "transformers.pytorch_utils"


class Positive(nn.Module):
    def forward(self, x):
        return x.exp()


class Wrapped(torch.Tensor):
    """A tensor that may mean anything by its numbers."""


def quietly(wrap, *args):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        return wrap(*args)


def pruned_twice(layer):
    prune.random_unstructured(layer, "bias", 0.5)
    return prune.l1_unstructured(prune.random_unstructured(layer, "weight", 0.3), "weight", 0.5)


# Every way in which PyTorch computes a weight before each pass.
COMPUTED = {
    "weight norm": parametrizations.weight_norm,
    "spectral norm": parametrizations.spectral_norm,
    "a parametrisation of one's own": lambda layer: parametrize.register_parametrization(layer, "weight", Positive()),
    "a parametrised bias": lambda layer: parametrize.register_parametrization(layer, "bias", Positive()),
    "old weight norm": lambda layer: quietly(nn.utils.weight_norm, layer),
    "old spectral norm": lambda layer: quietly(nn.utils.spectral_norm, layer),
    "pruned": lambda layer: prune.l1_unstructured(layer, "weight", 0.5),
    "pruned twice": pruned_twice,
}

LAYERS = {
    "linear": (lambda: nn.Linear(6, 5), (6,)),
    "linear in attention": (lambda: RowsLinear(6, 5), (6,)),
    "subclass": (lambda: Mine(6, 5), (6,)),
    "conv1d": (lambda: nn.Conv1d(4, 6, 3, stride=2), (4, 9)),
    "conv2d": (lambda: nn.Conv2d(4, 6, 3, padding="same", dilation=(2, 1), padding_mode="reflect"), (4, 7, 8)),
    "in groups": (lambda: nn.Conv2d(4, 6, (3, 1), stride=(1, 2), padding=(1, 0), groups=2), (4, 7, 8)),
    "conv3d": (lambda: nn.Conv3d(2, 3, 2), (2, 3, 4, 5)),
}

computed = pytest.mark.parametrize("wrap", COMPUTED.values(), ids=COMPUTED)
layers = pytest.mark.parametrize(("build", "shape"), LAYERS.values(), ids=LAYERS)


@torch.no_grad()
def outputs(layer, x):
    return layer.eval()(x)


# plain layers


@layers
def test_a_plain_layer_is_itself(build, shape):
    layer = build()
    assert refusal(layer) is None
    assert plain_layer(layer) is layer
    assert not is_computed(layer)
    assert isinstance(layer, plain_type(layer))


@computed
@layers
@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
def test_a_computed_weight_is_taken_as_it_is_in_eval_mode(wrap, build, shape, training):
    torch.manual_seed(0)
    layer, x = wrap(build()).train(training), torch.randn(2, *shape)
    before = copy.deepcopy(layer.state_dict())
    assert is_computed(layer) and refusal(layer) is None
    found = plain_layer(layer)
    assert type(found) is plain_type(layer) and not is_computed(found)
    assert {name for name, _ in found.named_parameters()} == {"weight", "bias"}
    assert found.training is training is layer.training
    assert all(torch.equal(before[name], values) for name, values in layer.state_dict().items())
    torch.testing.assert_close(outputs(found, x), outputs(layer, x))


@computed
def test_a_computed_weight_that_was_trained_can_be_trained_on(wrap):
    layer = wrap(nn.Linear(6, 5)).train()
    layer(torch.randn(2, 6)).sum().backward()
    found = plain_layer(layer)
    assert {name: p.requires_grad for name, p in found.named_parameters()} == {"weight": True, "bias": True}
    assert all(p.is_leaf and p.grad is None for p in found.parameters())


@computed
def test_a_computed_weight_that_was_frozen_stays_frozen(wrap):
    layer = wrap(nn.Linear(6, 5)).requires_grad_(False)
    assert not any(p.requires_grad for p in plain_layer(layer).parameters())


def test_a_weight_of_inputs_by_outputs_is_turned_over_on_the_same_memory():
    layer, x = Conv1D(5, 6), torch.randn(2, 6)
    found = plain_layer(layer)
    assert type(found) is nn.Linear and found.weight.shape == (5, 6)
    assert found.weight.data_ptr() == layer.weight.data_ptr() and found.bias is layer.bias
    torch.testing.assert_close(outputs(found, x), outputs(layer, x))


@pytest.mark.parametrize(
    "build",
    [*(lambda w=w: w(nn.Linear(6, 6)) for w in COMPUTED.values()), lambda: Conv1D(6, 6)],
    ids=[*COMPUTED, "inputs x outputs"],
)
def test_hooks_of_the_user_go_along_and_those_that_compute_the_weight_do_not(build):
    layer, seen = build(), []
    layer.register_forward_pre_hook(lambda module, args: seen.append("before"))
    layer.register_forward_hook(lambda module, args, kwargs, output: seen.append("behind"), with_kwargs=True)
    outputs(plain_layer(layer), torch.randn(2, 6))
    assert seen == ["before", "behind"]


def test_a_layer_on_given_tensors_holds_these_and_no_copy():
    weight, bias = nn.Parameter(torch.randn(5, 6)), torch.randn(10)[::2]
    found = linear_on(weight, bias, nn.Linear(1, 1).eval())
    assert found.weight is weight and found.bias.data_ptr() == bias.data_ptr()
    assert (found.in_features, found.out_features, found.training) == (6, 5, False)


@pytest.mark.parametrize("rows", [slice(None), slice(0, 2), slice(2, 5)], ids=str)
@pytest.mark.parametrize("bias", [True, False])
def test_some_rows_are_those_of_the_whole(rows, bias):
    layer, x = RowsLinear(6, 5, bias=bias), torch.randn(3, 6)
    torch.testing.assert_close(layer(x, rows), layer(x)[:, rows])


# refusals


def sparse():
    layer = nn.Linear(6, 5)
    layer.weight = nn.Parameter(layer.weight.detach().to_sparse())
    return layer


def of_type(dtype):
    layer = nn.Linear(6, 5)
    layer.weight = nn.Parameter(layer.weight.detach().to(dtype), requires_grad=False)
    return layer


def wrapped():
    layer = nn.Linear(6, 5)
    layer.weight = nn.Parameter(layer.weight.detach().as_subclass(Wrapped))
    return layer


def in_packed_integers():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PyTorch is about to leave them to another package
        from torch.ao.nn.quantized.dynamic import Linear

        return Linear(6, 5)


def patched(layer, part):
    setattr(layer, part, lambda x, *others: x)
    return layer


def without_inputs():
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Initializing zero-element tensors", UserWarning)
        return nn.Linear(0, 5)


REFUSED = {
    "embedding": (lambda: nn.Embedding(6, 5), "only linear and convolution layers are factorised, not Embedding"),
    "transposed convolution": (lambda: nn.ConvTranspose2d(2, 3, 3), "not ConvTranspose2d"),
    "bilinear": (lambda: nn.Bilinear(3, 4, 5), "not Bilinear"),
    "another forward pass": (lambda: MineToo(2, 3, 3), "not MineToo"),
    "another convolution": (lambda: OtherWalk(2, 3, 3), "not OtherWalk"),
    "a patched forward pass": (lambda: patched(nn.Linear(6, 5), "forward"), "its forward pass was replaced"),
    "a patched convolution": (lambda: patched(nn.Conv2d(2, 3, 3), "_conv_forward"), "its forward pass was replaced"),
    "without inputs": (without_inputs, "its weight is empty"),
    "lazy": (lambda: nn.LazyLinear(5), "its size is not known before the network is first run"),
    "lazy convolution": (lambda: nn.LazyConv2d(5, 3), "its size is not known before the network is first run"),
    "packed integers": (in_packed_integers, "quantised: factorise the network before it is quantised"),
    "sparse": (sparse, "its weight is stored sparse"),
    "int8": (lambda: of_type(torch.int8), "its weight is of type int8"),
    "complex": (lambda: of_type(torch.complex64), "its weight is of type complex64"),
    "float8": (lambda: of_type(torch.float8_e4m3fn), "its weight is of type float8_e4m3fn"),
    "tensor subclass": (wrapped, "its weight is no plain tensor but Wrapped"),
    "meta": (lambda: nn.Linear(6, 5, device="meta"), r"its weight holds no values (meta device)"),
}


@pytest.mark.parametrize(("build", "reason"), REFUSED.values(), ids=REFUSED)
def test_what_is_refused_says_why(build, reason):
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Lazy modules are a new feature", UserWarning)
        assert reason in refusal(build())


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64], ids=str)
def test_every_floating_type_is_factorised(dtype):
    assert refusal(nn.Linear(6, 5, dtype=dtype)) is None


def test_packed_integers_are_told_from_every_other_layer():
    assert is_quantised(in_packed_integers())
    assert not any(is_quantised(build()) for build, _ in LAYERS.values())


# layout


@pytest.mark.parametrize("conv", [nn.Conv2d(4, 8, 3), nn.Conv2d(4, 4, 1), nn.Conv2d(1, 8, 3)], ids=str)
def test_channels_last_is_seen_in_the_strides_also_where_sizes_leave_it_open(conv):
    assert not is_channels_last(conv)
    assert channels_last(conv) is conv and is_channels_last(conv)


@pytest.mark.parametrize("layer", [nn.Linear(4, 4), nn.Conv1d(4, 4, 3)], ids=str)
def test_what_has_no_layout_is_not_channels_last(layer):
    assert not is_channels_last(channels_last(layer))
