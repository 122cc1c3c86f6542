"""Parameters, bytes and multiply-adds against closed formulas, attention's own products included."""

import warnings
from contextlib import nullcontext

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations, prune

from lowrank_kit.checks import InputError
from lowrank_kit.measurement.cost import layer_macs, layer_params, macs, n_params, pair_macs, rank_macs, size_bytes
from lowrank_kit.models.inventory import weights_hash
from lowrank_kit.models.low_rank import suited
from lowrank_kit.models.surgery import Factorisation, compress
from lowrank_kit.records import LayerPlan, RankPlan


class Moved(nn.Module):
    """A layer that is handed its inputs with their axes moved, and hands its outputs back in theirs."""

    def __init__(self, layer, there, back):
        super().__init__()
        self.layer, self.there, self.back = layer, there, back

    def forward(self, x):
        return self.back(self.layer(self.there(x)), len(x))


def rows_in_the_batch(layer):
    """Every position is a row of its own, as in a vision transformer's patches."""
    return Moved(layer, lambda x: x.reshape(-1, x.shape[-1]), lambda y, n: y.reshape(n, -1, y.shape[-1]))


def frames_in_the_batch(layer):
    """Every frame of a film is an image of its own."""
    return Moved(layer, lambda x: x.flatten(0, 1), lambda y, n: y.unflatten(0, (n, -1)))


def positions_first(layer):
    """Positions before the batch, as recurrent networks have them."""
    return Moved(layer, lambda x: x.transpose(0, 1), lambda y, n: y.transpose(0, 1))


class Calls(nn.Module):
    """Attention as it is called in a network."""

    def __init__(self, attention, call):
        super().__init__()
        self.attention, self.call = attention, call

    def forward(self, x):
        return self.call(self.attention, x)[0].mean(1)


def self_attention(attention, x):
    return attention(x, x, x)


def self_attention_without_weights(attention, x):
    return attention(x, x, x, need_weights=False)


def cross_attention(attention, x):
    return attention(x[:, :2], x, x, need_weights=False)


class OwnAttention(nn.MultiheadAttention):
    """Not known to compute what its parent does, whose kernels it may run."""

    def forward(self, *args, **kwargs):
        return super().forward(*args, **kwargs)


T, D, FF = 5, 8, 12  # tokens, width, width between


def attention(**kwargs):
    return nn.MultiheadAttention(D, 2, batch_first=True, **kwargs)


def encoder_layer(**kwargs):
    return nn.TransformerEncoderLayer(D, 2, FF, batch_first=True, **kwargs)


# network -> shape of one example, multiply-adds for it in its layers and between them
NETWORKS = {
    "linear": (nn.Linear(12, 7), (12,), 12 * 7, 0),
    "linear over positions": (nn.Linear(12, 7), (5, 6, 12), 30 * 12 * 7, 0),
    "computed": (parametrizations.weight_norm(nn.Linear(12, 7)), (12,), 12 * 7, 0),
    "conv": (nn.Conv2d(3, 8, 3), (3, 11, 9), 9 * 7 * 8 * 27, 0),
    "conv stride": (nn.Conv2d(3, 8, 3, stride=(1, 2), padding=1), (3, 11, 9), 11 * 5 * 8 * 27, 0),
    "conv dilation": (nn.Conv2d(3, 8, (3, 5), dilation=(2, 1), padding="same"), (3, 11, 9), 11 * 9 * 8 * 45, 0),
    "conv groups": (nn.Conv2d(4, 8, 3, groups=2), (4, 11, 9), 9 * 7 * 8 * 18, 0),
    "depthwise and pointwise": (
        nn.Sequential(nn.Conv2d(4, 4, 3, groups=4), nn.Conv2d(4, 9, 1)),
        (4, 11, 9),
        9 * 7 * (4 * 9 + 9 * 4),
        0,
    ),
    "conv circular": (nn.Conv2d(3, 8, 3, padding=1, padding_mode="circular"), (3, 11, 9), 11 * 9 * 8 * 27, 0),
    "conv1d": (nn.Conv1d(3, 8, 5, stride=2), (3, 40), 18 * 8 * 15, 0),
    "conv3d": (nn.Conv3d(2, 4, 3), (2, 6, 7, 8), 4 * 5 * 6 * 4 * 54, 0),
    "transposed": (nn.ConvTranspose2d(3, 8, 2, stride=2), (3, 4, 5), 0, 4 * 5 * 3 * 8 * 4),
    "linear over rows in the batch": (rows_in_the_batch(nn.Linear(12, 7)), (5, 12), 5 * 12 * 7, 0),
    "conv over frames in the batch": (frames_in_the_batch(nn.Conv2d(3, 8, 3)), (4, 3, 11, 9), 4 * 9 * 7 * 8 * 27, 0),
    "linear over positions first": (positions_first(nn.Linear(12, 7)), (5, 12), 5 * 12 * 7, 0),
    "attention": (Calls(attention(), self_attention), (T, D), T * 4 * D * D, 2 * T * T * D),
    "attention without weights": (
        Calls(attention(bias=False), self_attention_without_weights),
        (T, D),
        T * 4 * D * D,
        2 * T * T * D,
    ),
    "attention on more": (
        Calls(attention(), cross_attention),
        (T, D),
        2 * D * D + T * 2 * D * D + 2 * D * D,
        2 * 2 * T * D,
    ),
    "attention of three widths": (
        Calls(attention(kdim=D, vdim=6), lambda a, x: a(x, x, x[..., :6])),
        (T, D),
        T * (3 * D * D + 6 * D),
        2 * T * T * D,
    ),
    "attention of one's own": (
        Calls(OwnAttention(D, 2, batch_first=True), self_attention),
        (T, D),
        0,
        T * 4 * D * D + 2 * T * T * D,
    ),
    "encoder layer": (encoder_layer(), (T, D), T * (4 * D * D + 2 * D * FF), 2 * T * T * D),
    "encoder": (
        nn.TransformerEncoder(encoder_layer(norm_first=True), 2, enable_nested_tensor=False),
        (T, D),
        2 * T * (4 * D * D + 2 * D * FF),
        2 * 2 * T * T * D,
    ),
    "recurrent": (Calls(nn.LSTM(D, 6, batch_first=True), lambda lstm, x: lstm(x)), (T, D), 0, T * 4 * 6 * (D + 6)),
}
networks = pytest.mark.parametrize(("model", "shape", "inside", "between"), NETWORKS.values(), ids=NETWORKS)


@networks
@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
def test_macs_are_those_by_hand(model, shape, inside, between, training, rng):
    x = rng.standard_normal((3, *shape)).astype(np.float32)
    assert macs(model.train(training), x) == inside + between
    assert sum(layer_macs(model, x).values()) == inside


@networks
@pytest.mark.parametrize("method", ["svd", "spatial"])
def test_every_unit_of_rank_costs_the_same(model, shape, inside, between, method, rng):
    x = rng.standard_normal((3, *shape)).astype(np.float32)
    found = Factorisation(model)
    methods = {name: suited(layer, method) for name, layer in found.layers.items()}
    a_unit = rank_macs(model, x, {name: LayerPlan(1, how) for name, how in methods.items()})
    for rank in (1, 2):
        ranks = {name: min(rank, len(found.spectrum(name, how).values)) for name, how in methods.items()}
        plans = {name: LayerPlan(ranks[name], how) for name, how in methods.items()}
        small = found.compress(RankPlan(plans, found.weights), break_even_guard=False)
        assert macs(small, x) == between + sum(ranks[name] * a_unit[name] for name in methods)


def test_a_spatial_rank_of_a_convolution_by_hand(rng):
    model, x = nn.Conv2d(3, 8, (3, 5), stride=(2, 1)), rng.standard_normal((1, 3, 11, 9)).astype(np.float32)
    # 3 x 1 at stride (2, 1) on 11 x 9 gives 5 x 9 positions; 1 x 5 then gives 5 x 5.
    assert rank_macs(model, x, {"": LayerPlan(1, "spatial")}) == {"": 5 * 9 * 3 * 3 + 5 * 5 * 8 * 5}
    assert rank_macs(model, x, {"": LayerPlan(1)}) == {"": 5 * 5 * (3 * 15 + 8)}


CONVOLUTIONS = {
    "plain": (nn.Conv2d(6, 8, 3), (6, 11, 9)),
    "strided": (nn.Conv2d(6, 8, 3, stride=2, padding=1), (6, 11, 9)),
    "one way": (nn.Conv2d(6, 8, (3, 5), stride=(2, 1), dilation=(1, 2)), (6, 11, 12)),
    "mirrored": (nn.Conv2d(6, 8, 3, padding=1, padding_mode="reflect"), (6, 7, 9)),
    "along": (nn.Conv1d(6, 8, 5, stride=3), (6, 20)),
    "through": (nn.Conv3d(3, 5, 2), (3, 4, 5, 6)),
    "one input": (nn.Conv2d(1, 8, 5), (1, 11, 9)),
}


@pytest.mark.parametrize(("layer", "shape"), CONVOLUTIONS.values(), ids=CONVOLUTIONS)
def test_pairs_of_ranks_cost_what_is_counted_and_what_their_sizes_say(layer, shape, rng):
    model, x = nn.Sequential(layer), rng.standard_normal((2, *shape)).astype(np.float32)
    (m, n), kernel = layer.weight.shape[:2], int(np.prod(layer.kernel_size))
    with torch.no_grad():
        behind, before = layer(torch.from_numpy(x))[0, 0].numel(), x[0, 0].size
    outputs, inputs, both = pair_macs(model, x, ["0"])["0"]
    assert (outputs, inputs, both) == (behind * m, before * n, behind * kernel)
    found = Factorisation(model)
    for o, i in {(1, 1), (m, 1), (1, n), (m // 2, max(n // 2, 1)), (m, n)}:
        small = found.compress(RankPlan({"0": LayerPlan((o, i), "tucker")}, found.weights), break_even_guard=False)
        assert macs(small, x) == outputs * o + inputs * i + both * o * i


def test_pairs_of_ranks_of_a_shared_weight_cost_what_all_who_use_it_take(rng):
    model = nn.Sequential(nn.Conv2d(4, 4, 3), nn.Conv2d(4, 4, 3), nn.Conv2d(4, 2, 1))
    model[1].weight = model[0].weight
    x = rng.standard_normal((1, 4, 8, 8)).astype(np.float32)
    assert pair_macs(model, x, ["0"]) == {"0": ((36 + 16) * 4, (64 + 36) * 4, (36 + 16) * 9)}
    assert pair_macs(model[0], x, [""]) == {"": (36 * 4, 64 * 4, 36 * 9)}
    assert pair_macs(model, x, []) == {}


def test_a_convolution_that_is_never_reached_has_no_price(rng):
    class Spare(nn.Module):
        def __init__(self):
            super().__init__()
            self.used, self.spare = nn.Conv2d(2, 2, 3), nn.Conv2d(2, 2, 3)

        def forward(self, x):
            return self.used(x)

    x = rng.standard_normal((1, 2, 5, 5)).astype(np.float32)
    assert {*pair_macs(Spare(), x, ["used", "spare"])} == {"used"}


def test_parameters_of_some_layers(mnist):
    model, _ = mnist
    assert layer_params(model, ["conv1", "head"]) == 32 * 25 + 10 * 257
    assert layer_params(model, []) == 0


def test_macs_of_mnist_cnn_by_hand(mnist):
    model, data = mnist
    layers = {
        "conv1": 28**2 * 32 * 25,
        "conv2": 14**2 * 64 * 288,
        "conv3": 7**2 * 128 * 576,
        "fc1": 256 * 1152,
        "head": 10 * 256,
    }
    assert layer_macs(model, data.test.x) == layers
    assert macs(model, data.test.x) == sum(layers.values())


def test_layers_come_in_the_order_they_are_run(vectors):
    class Backwards(nn.Module):
        def __init__(self):
            super().__init__()
            self.last, self.spare, self.first = nn.Linear(8, 4), nn.Linear(8, 8), nn.Linear(12, 8)

        def forward(self, x):
            return self.last(self.first(x))

    assert [*layer_macs(Backwards(), vectors.x).items()] == [("first", 96), ("last", 32)]


class Loop(nn.Module):
    def __init__(self):
        super().__init__()
        self.step, self.spare = nn.Linear(6, 6), nn.Linear(6, 6)

    def forward(self, x):
        return self.step(self.step(x))


def test_a_layer_used_twice_counts_twice_and_one_never_reached_not_at_all():
    x = np.ones((2, 6), np.float32)
    assert layer_macs(Loop(), x) == {"step": 72}
    assert rank_macs(Loop(), x, {"step": LayerPlan(1), "spare": LayerPlan(1)}) == {"step": 24}
    assert macs(Loop(), x) == 72


def test_layers_of_one_weight_count_each_time_they_are_run():
    model = nn.Sequential(nn.Linear(6, 6), nn.Linear(6, 6))
    model[1].weight = model[0].weight
    x = np.ones((2, 6), np.float32)
    assert macs(model, x) == 72 == layer_macs(model, x)["0"]


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_layers_of_one_weight_save_each_time_they_are_run(rank, by_hand):
    model = nn.Sequential(*(nn.Linear(6, 6) for _ in range(3)), nn.Linear(6, 2))
    model[1].weight = model[2].weight = model[0].weight
    x = np.ones((2, 6), np.float32)
    dense, a_unit = layer_macs(model, x), rank_macs(model, x, {"0": LayerPlan(1)})
    assert (dense, a_unit) == ({"0": 3 * 36, "3": 12}, {"0": 3 * 12})
    small = compress(model, by_hand(model, {"0": rank}), break_even_guard=False)
    assert macs(small, x) == macs(model, x) - dense["0"] + rank * a_unit["0"]


class Counting(nn.Module):
    """Counts its passes in a buffer."""

    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(6, 6)
        self.register_buffer("passes", torch.zeros(1))

    def forward(self, x):
        self.passes += 1
        return self.fc(x)


def test_a_network_that_counts_its_passes_does_not_count_these():
    model, x = Counting(), np.ones((2, 6), np.float32)
    before = weights_hash(model)
    macs(model, x), layer_macs(model, x), rank_macs(model, x, {"fc": LayerPlan(1)})
    assert weights_hash(model) == before


def test_zero_is_an_error():
    class Silent(nn.Module):
        """Its product is hidden from the counter."""

        def __init__(self):
            super().__init__()
            self.fc = nn.Linear(4, 4)

        def forward(self, x):
            return x + 0 * self.fc.weight.sum()

    with pytest.raises(InputError, match="the model's multiply-adds can't be counted"):
        macs(Silent(), np.ones((2, 4), np.float32))
    assert macs(nn.Sequential(nn.ReLU()), np.ones((2, 4), np.float32)) == 0


def test_counting_leaves_no_hook_and_no_mode_behind(residual, images, states):
    residual.train()
    before = states(residual)
    macs(residual, images.x)
    layer_macs(residual, images.x)
    rank_macs(residual, images.x, {"conv1": LayerPlan(1)})
    with pytest.raises(RuntimeError):
        macs(residual, images.x[:, :2])
    assert states.same(before, states(residual))
    assert not any(m._forward_hooks for m in residual.modules())


def test_a_recurrent_network_is_counted_without_a_warning(rng):
    model, before = Calls(nn.GRU(D, 6, batch_first=True), lambda gru, x: gru(x)), torch.backends.mkldnn.enabled
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert macs(model, rng.standard_normal((1, T, D)).astype(np.float32)) == T * 3 * 6 * (D + 6)
    assert torch.backends.mkldnn.enabled is before


@pytest.mark.parametrize("enabled", [True, False])
@pytest.mark.parametrize("width", [D, D + 1], ids=["a pass", "a pass that fails"])
def test_the_fast_path_of_attention_is_as_before(enabled, width, rng):
    before = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(enabled)
    try:
        with nullcontext() if width == D else pytest.raises(RuntimeError, match="cannot be multiplied"):
            macs(Calls(attention(), self_attention), rng.standard_normal((1, T, width)).astype(np.float32))
        assert torch.backends.mha.get_fastpath_enabled() is enabled
    finally:
        torch.backends.mha.set_fastpath_enabled(before)


@pytest.mark.parametrize(("name", "examples"), [("residual", "images"), ("cnn", "images"), ("mlp", "vectors")])
def test_a_compressed_network_takes_less(name, examples, request, by_hand):
    model, x = request.getfixturevalue(name), request.getfixturevalue(examples).x
    small = compress(model, by_hand(model, dict.fromkeys(layer_macs(model, x), 1)))
    assert 0 < macs(small, x) < macs(model, x)


# parameters and bytes


class Scaled(nn.Linear):
    """Computes something of its own by its weight, so that it can't be factorised."""

    def forward(self, x):
        return 2 * super().forward(x)


def test_parameters_and_bytes_by_hand():
    model = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3), nn.Linear(3, 3, bias=False).double())
    assert n_params(model) == 12 + 3 + 6 + 9
    assert size_bytes(model) == 4 * (15 + 6) + 8 * 9 + 4 * 6 + 8  # running mean and variance, and a count of int64


def test_layer_parameters_are_those_of_linear_and_convolution_layers_with_their_biases():
    model = nn.Sequential(
        nn.Embedding(9, 4),
        nn.Linear(4, 3),
        nn.LayerNorm(3),
        nn.Conv1d(3, 2, 5, bias=False),
        nn.Conv2d(4, 8, 3, groups=2),
        nn.BatchNorm2d(8),
        nn.Conv3d(2, 2, 2),
        nn.ConvTranspose2d(2, 2, 2),
        nn.LSTM(4, 4),
        nn.MultiheadAttention(8, 2, add_bias_kv=True),
        parametrizations.weight_norm(nn.Linear(4, 3)),
        prune.l1_unstructured(nn.Linear(4, 3), "weight", 0.5),
        Scaled(4, 3),
    )
    by_hand = [12 + 3, 30, 8 * 2 * 9 + 8, 2 * 2 * 8 + 2, 4 * 64 + 4 * 8, *[12 + 3] * 3]
    assert layer_params(model) == sum(by_hand)
    assert layer_params(nn.Sequential(nn.BatchNorm1d(4), nn.ReLU())) == 0


def test_a_shared_parameter_counts_once(by_hand):
    model = nn.Sequential(nn.Linear(5, 5, bias=False), nn.Linear(5, 5, bias=False))
    model[1].weight = model[0].weight
    assert (n_params(model), size_bytes(model), layer_params(model)) == (25, 100, 25)
    small = compress(model, by_hand(model, {"0": 2}))
    assert (n_params(small), size_bytes(small), layer_params(small)) == (20, 80, 20)


def test_half_precision_is_half_the_bytes(cnn):
    assert size_bytes(cnn) == 4 * n_params(cnn)
    assert size_bytes(cnn.half()) == 2 * n_params(cnn)
