"""Parameters, bytes and multiply-adds from closed formulas, against torch's own count of floating point operations."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from lowrank_kit.measurement.cost import layer_params, macs, n_params, positions, size_bytes
from lowrank_kit.measurement.placement import inputs_for
from lowrank_kit.models.surgery import compress


def counted(model, x):
    """Multiply-adds of one example by torch's counter, which must have counted something."""
    model.eval()
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(inputs_for(model, x[:1]))
    total = counter.get_total_flops()
    assert total > 0
    assert total % 2 == 0
    return total // 2


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


NETWORKS = {
    "linear": (nn.Linear(12, 7), (12,)),
    "linear over positions": (nn.Linear(12, 7), (5, 6, 12)),
    "conv": (nn.Conv2d(3, 8, 3), (3, 11, 9)),
    "conv stride": (nn.Conv2d(3, 8, 3, stride=(1, 2), padding=1), (3, 11, 9)),
    "conv dilation": (nn.Conv2d(3, 8, (3, 5), dilation=(2, 1), padding="same"), (3, 11, 9)),
    "conv groups": (nn.Conv2d(4, 8, 3, groups=2), (4, 11, 9)),
    "depthwise and pointwise": (nn.Sequential(nn.Conv2d(4, 4, 3, groups=4), nn.Conv2d(4, 9, 1)), (4, 11, 9)),
    "conv circular": (nn.Conv2d(3, 8, 3, padding=1, padding_mode="circular"), (3, 11, 9)),
    "conv1d": (nn.Conv1d(3, 8, 5, stride=2), (3, 40)),
    "conv3d": (nn.Conv3d(2, 4, 3), (2, 6, 7, 8)),
    "linear over rows in the batch": (rows_in_the_batch(nn.Linear(12, 7)), (5, 12)),
    "conv over frames in the batch": (frames_in_the_batch(nn.Conv2d(3, 8, 3)), (4, 3, 11, 9)),
    "linear over positions first": (positions_first(nn.Linear(12, 7)), (5, 12)),
}


@pytest.mark.parametrize(("model", "shape"), NETWORKS.values(), ids=NETWORKS)
def test_macs_are_half_of_torchs_flops(model, shape, rng):
    x = rng.standard_normal((3, *shape)).astype(np.float32)
    assert macs(model, x) == counted(model, x)


@pytest.mark.parametrize("name", ["mnist", "digits"])
def test_macs_of_the_zoo_dense_and_compressed(name, request, by_hand):
    model, data = request.getfixturevalue(name)
    assert macs(model, data.test.x) == counted(model, data.test.x)
    ranks = {"mnist": {"conv2": 20, "conv3": 30, "fc1": 40}, "digits": {"fc1": 8, "fc2": 16}}[name]
    small = compress(model, by_hand(model, ranks))
    assert macs(small, data.test.x) == counted(small, data.test.x) < macs(model, data.test.x)


@pytest.mark.parametrize(("name", "examples"), [("residual", "images"), ("cnn", "images"), ("mlp", "vectors")])
def test_macs_of_networks_dense_and_compressed(name, examples, request, by_hand):
    model, x = request.getfixturevalue(name), request.getfixturevalue(examples).x
    assert macs(model, x) == counted(model, x)
    small = compress(
        model, by_hand(model, dict.fromkeys([n for n, m in model.named_modules() if n in positions(model, x)], 1))
    )
    assert macs(small, x) == counted(small, x) < macs(model, x)


def test_macs_of_mnist_cnn_by_hand(mnist):
    model, data = mnist
    layers = {"conv1": 28**2, "conv2": 14**2, "conv3": 7**2, "fc1": 1, "head": 1}
    assert positions(model, data.test.x) == layers
    by_hand = 28**2 * 32 * 25 + 14**2 * 64 * 288 + 7**2 * 128 * 576 + 256 * 1152 + 10 * 256
    assert macs(model, data.test.x) == by_hand


def test_a_layer_used_twice_counts_twice_and_one_never_reached_not_at_all():
    class Loop(nn.Module):
        def __init__(self):
            super().__init__()
            self.step, self.spare = nn.Linear(6, 6), nn.Linear(6, 6)

        def forward(self, x):
            return self.step(self.step(x))

    x = np.ones((2, 6), np.float32)
    assert positions(Loop(), x) == {"step": 2}
    assert macs(Loop(), x) == counted(Loop(), x) == 72


def test_counting_leaves_no_hook_and_no_mode_behind(residual, images, states):
    residual.train()
    before = states(residual)
    macs(residual, images.x)
    with pytest.raises(RuntimeError):
        macs(residual, images.x[:, :2])
    assert states.same(before, states(residual))
    assert not any(m._forward_hooks for m in residual.modules())


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
    )
    assert layer_params(model) == (12 + 3) + 30 + (8 * 2 * 9 + 8) + (2 * 2 * 8 + 2)
    assert layer_params(nn.Sequential(nn.BatchNorm1d(4), nn.ReLU())) == 0


def test_a_shared_parameter_counts_once():
    model = nn.Sequential(nn.Linear(5, 5, bias=False), nn.Linear(5, 5, bias=False))
    model[1].weight = model[0].weight
    assert (n_params(model), size_bytes(model), layer_params(model)) == (25, 100, 25)


def test_half_precision_is_half_the_bytes(cnn):
    assert size_bytes(cnn) == 4 * n_params(cnn)
    assert size_bytes(cnn.half()) == 2 * n_params(cnn)
