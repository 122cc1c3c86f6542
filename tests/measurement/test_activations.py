"""What is seen at a layer is what flows there."""

import numpy as np
import pytest
import torch
from torch import nn

from lowrank_kit.checks import InputError
from lowrank_kit.measurement.activations import latent_coordinates, layer_inputs, layer_outputs
from lowrank_kit.models.surgery import Factorisation, compress


def by_hand(model, x, stop):
    with torch.inference_mode():
        return model[:stop](torch.from_numpy(x)).numpy()


def test_inputs_and_outputs_of_every_layer(cnn, images):
    given, put_out = layer_inputs(cnn, images.x), layer_outputs(cnn, images.x)
    assert list(given) == list(put_out) == ["0", "2", "4", "7"]
    for name in given:
        np.testing.assert_allclose(given[name], by_hand(cnn, images.x, int(name)), atol=1e-5)
        np.testing.assert_allclose(put_out[name], by_hand(cnn, images.x, int(name) + 1), atol=1e-5)


def test_layers_are_chosen_and_many_batches_come_back_in_order(mlp, rng):
    x = rng.standard_normal((300, 12)).astype(np.float32)
    found = layer_inputs(mlp, x, ["2"])
    assert list(found) == ["2"]
    np.testing.assert_allclose(found["2"], by_hand(mlp, x, 2), atol=1e-5)


def test_a_compressed_layer_goes_by_its_name(mlp, vectors, by_hand):
    cut = compress(mlp, by_hand(mlp, {"0": 3, "2": 10}), break_even_guard=False)
    dense, found = layer_outputs(mlp, vectors.x), layer_outputs(cut, vectors.x)
    assert list(found) == ["0", "2", "4"]
    with torch.inference_mode():
        np.testing.assert_allclose(found["0"], cut[0](torch.from_numpy(vectors.x)), atol=1e-6)
    assert not np.allclose(found["0"], dense["0"], atol=1e-2)


def test_nothing_is_left_behind(mlp, vectors, states):
    mlp.train()
    before = states(mlp)
    layer_inputs(mlp, vectors.x)
    assert states.same(before, states(mlp))
    assert not any(m._forward_hooks for m in mlp.modules())


def test_unknown_layers_are_refused(mlp, vectors):
    with pytest.raises(InputError, match="one of '0', '2', '4'"):
        layer_inputs(mlp, vectors.x, ["9"])


def test_coordinates_are_the_inputs_in_singular_directions(mlp, vectors):
    factorisation = Factorisation(mlp)
    h = layer_inputs(mlp, vectors.x)["2"]
    (part,) = factorisation.factors("2")
    z = latent_coordinates(factorisation, "2", h)
    np.testing.assert_allclose(z[:, 0], h @ (part.S[:, None] * part.Vh).T, atol=1e-5)
    # U z is what the layer puts out.
    np.testing.assert_allclose(z[:, 0] @ part.U.T, layer_outputs(mlp, vectors.x)["2"], atol=1e-5)


def test_a_convolution_is_averaged_over_its_positions(cnn, images):
    factorisation = Factorisation(cnn)
    given, put_out = layer_inputs(cnn, images.x)["2"], layer_outputs(cnn, images.x)["2"]
    (part,) = factorisation.factors("2")
    z = latent_coordinates(factorisation, "2", given)
    np.testing.assert_allclose(z[:, 0] @ part.U.T, put_out.mean(axis=(2, 3)), atol=1e-5)


def test_groups_have_coordinates_of_their_own(rng):
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Conv1d(6, 8, 3, groups=2, bias=False))
    x = rng.standard_normal((5, 6, 9)).astype(np.float32)
    factorisation = Factorisation(model)
    parts = factorisation.factors("0")
    z = latent_coordinates(factorisation, "0", x)
    assert z.shape == (5, 2, 4)
    with torch.inference_mode():
        expected = model(torch.from_numpy(x)).mean(2).numpy().reshape(5, 2, 4)
    for group, part in enumerate(parts):
        np.testing.assert_allclose(z[:, group] @ part.U.T, expected[:, group], atol=1e-5)


class Adapter(nn.Module):
    """Two layers that happen to be named as those of a block are."""

    def __init__(self):
        super().__init__()
        self.reduce, self.expand = nn.Linear(12, 6), nn.Linear(6, 12)

    def forward(self, x):
        return self.expand(torch.relu(self.reduce(x)))


def test_layers_of_ones_own_named_reduce_and_expand_are_layers(vectors):
    model = nn.Sequential(Adapter(), nn.Linear(12, 4))
    assert list(layer_outputs(model, vectors.x)) == ["0.reduce", "0.expand", "1"]
    np.testing.assert_allclose(
        layer_outputs(model, vectors.x)["0.expand"], by_hand(model, vectors.x, 1), rtol=1e-5, atol=1e-6
    )


class Wayward(nn.Module):
    """Runs layers in ways that tell of no single example, and one by keyword."""

    def __init__(self):
        super().__init__()
        self.twice, self.mean, self.turned, self.named = (nn.Linear(n, 12) for n in (12, 12, 60, 12))

    def forward(self, x):
        y = self.twice(self.twice(x)) + self.mean(x.mean(0, keepdim=True))
        return self.named(input=y) + self.turned(x.new_ones(12, 60)).mean()


def test_layers_that_are_not_run_once_on_all_examples_are_left_out(vectors):
    model = Wayward()
    found = layer_outputs(model, vectors.x)
    assert list(found) == ["named"]
    with torch.inference_mode():
        given = torch.from_numpy(layer_inputs(model, vectors.x)["named"])
        np.testing.assert_allclose(found["named"], model.named(given), rtol=1e-5, atol=1e-6)
