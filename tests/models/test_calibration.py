"""What layers put out on data, summed as moments, against the sums written out."""

import warnings

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations

from lowrank_kit.models import running
from lowrank_kit.models.calibration import output_moments
from lowrank_kit.models.inventory import factorable_layers


def by_hand(layer, x):
    """The moment of a layer on its own inputs (n, ...), position by position."""
    with torch.no_grad():
        y = layer(x)
        if layer.bias is not None:
            y = y - layer.bias if isinstance(layer, nn.Linear) else y - layer.bias.view(-1, *[1] * (y.ndim - 2))
    groups = getattr(layer, "groups", 1)
    channels = y.movedim(-1 if isinstance(layer, nn.Linear) else 1, 0).flatten(1)
    parts = channels.unflatten(0, (groups, -1)).numpy()
    return np.stack([sum(np.outer(column, column) for column in part.T) for part in parts])


LAYERS = {
    "linear": (lambda: nn.Linear(5, 3), (5,)),
    "linear without bias": (lambda: nn.Linear(5, 3, bias=False), (5,)),
    "linear over positions": (lambda: nn.Linear(5, 3), (4, 2, 5)),
    "conv1d": (lambda: nn.Conv1d(2, 3, 3, stride=2), (2, 9)),
    "conv2d": (lambda: nn.Conv2d(2, 3, 3, padding=1, padding_mode="reflect"), (2, 5, 4)),
    "conv3d": (lambda: nn.Conv3d(2, 3, 2, bias=False), (2, 3, 4, 3)),
    "in groups": (lambda: nn.Conv2d(4, 6, 3, groups=2), (4, 5, 4)),
    "depthwise": (lambda: nn.Conv1d(4, 4, 3, groups=4), (4, 6)),
}


@pytest.mark.parametrize(("build", "shape"), LAYERS.values(), ids=LAYERS)
def test_a_moment_is_the_sum_over_examples_and_positions(build, shape, rng):
    layer, x = build().double(), rng.standard_normal((7, *shape))
    np.testing.assert_allclose(output_moments(layer, [""], x)[""], by_hand(layer, torch.from_numpy(x)), rtol=1e-9)


def test_batches_add_up(mlp, rng, monkeypatch):
    x = rng.standard_normal((50, 12)).astype(np.float32)
    whole = output_moments(mlp, ["0", "4"], x)
    monkeypatch.setattr(running, "EXAMPLES_A_BATCH", 7)
    for name, moment in output_moments(mlp, ["0", "4"], x).items():
        np.testing.assert_allclose(moment, whole[name], rtol=1e-4)


def test_only_the_named_layers_are_looked_at(mlp, vectors):
    assert {*output_moments(mlp, ["2"], vectors.x)} == {"2"}


def test_a_layer_that_is_never_run_has_moment_zero(vectors):
    class Spare(nn.Module):
        def __init__(self):
            super().__init__()
            self.used, self.spare = nn.Linear(12, 4), nn.Linear(12, 4)

        def forward(self, x):
            return self.used(x)

    found = output_moments(Spare(), ["used", "spare"], vectors.x)
    assert found["used"].any() and not found["spare"].any()


def test_inputs_may_come_by_name(vectors):
    class Named(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc = nn.Linear(12, 4)

        def forward(self, x):
            return self.fc(input=x)

    model = Named()
    np.testing.assert_array_equal(
        output_moments(model, ["fc"], vectors.x)["fc"], output_moments(model.fc, [""], vectors.x)[""]
    )


@pytest.mark.parametrize(
    ("layer", "shape"),
    [(nn.Linear(5, 3), (5,)), (nn.Conv1d(4, 6, 3, groups=2), (4, 7)), (nn.Conv2d(2, 3, 2), (2, 4, 4))],
)
def test_one_example_may_come_without_a_batch(layer, shape, rng):
    class One(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = layer

        def forward(self, x):
            return self.layer(x[0])

    x = rng.standard_normal((1, *shape)).astype(np.float32)
    np.testing.assert_allclose(
        output_moments(One(), ["layer"], x)["layer"], by_hand(layer, torch.from_numpy(x)), rtol=1e-5
    )


def test_a_layer_that_is_run_twice_counts_both(vectors):
    layer = nn.Linear(12, 12).double()
    x = torch.from_numpy(vectors.x).double()
    expected = by_hand(layer, x) + by_hand(layer, torch.relu(layer(x)).detach())
    found = output_moments(nn.Sequential(layer, nn.ReLU(), layer), ["0"], vectors.x)
    np.testing.assert_allclose(found["0"], expected, rtol=1e-9)


def test_layers_that_share_a_weight_count_with_their_first(vectors):
    first, second = nn.Linear(12, 12).double(), nn.Linear(12, 12).double()
    second.weight = first.weight
    model = nn.Sequential(first, nn.Hardtanh(-9, -8), second)  # the second reads numbers of another size
    x = torch.from_numpy(vectors.x).double()
    expected = by_hand(first, x) + by_hand(second, model[:2](x).detach())
    found = output_moments(model, ["0"], vectors.x)
    assert {*found} == {"0"}
    np.testing.assert_allclose(found["0"], expected, rtol=1e-9)


@pytest.mark.parametrize("name", ["linear", "conv2d", "in groups"])
def test_what_a_hook_makes_of_the_outputs_is_not_what_the_layer_puts_out(name, rng):
    build, shape = LAYERS[name]
    layer, x = build().double(), rng.standard_normal((7, *shape))
    expected = by_hand(layer, torch.from_numpy(x))
    layer.register_forward_hook(lambda module, args, output: 9 * output + 1)
    np.testing.assert_allclose(output_moments(layer, [""], x)[""], expected, rtol=1e-9)


def test_a_computed_weight_is_looked_at_as_the_network_computes_it(vectors):
    model = nn.Sequential(parametrizations.weight_norm(nn.Linear(12, 8)), nn.ReLU(), nn.Linear(8, 4)).double()
    plain = factorable_layers(model)["0"]
    found = output_moments(model, ["0"], vectors.x)
    np.testing.assert_allclose(found["0"], by_hand(plain, torch.from_numpy(vectors.x).double()), rtol=1e-9)


def test_projections_of_attention_are_looked_at_on_what_they_read(rng):
    class Reader(nn.Module):
        def __init__(self):
            super().__init__()
            self.attention = nn.MultiheadAttention(6, 2, batch_first=True)

        def forward(self, x):
            return self.attention(x, x, x, need_weights=False)[0].mean(1)

    model, x = Reader().double().eval(), rng.standard_normal((4, 5, 6))
    found = output_moments(model, ["attention.in_proj", "attention.out_proj"], x)
    rows = x.reshape(-1, 6) @ model.attention.in_proj_weight.detach().numpy().T
    np.testing.assert_allclose(found["attention.in_proj"][0], rows.T @ rows, rtol=1e-9)
    assert found["attention.out_proj"].shape == (1, 6, 6) and found["attention.out_proj"].any()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_half_precision_is_summed_in_float32(mlp, vectors, dtype):
    x = 40 * vectors.x  # squares beyond float16
    exact = output_moments(mlp, ["0"], x)["0"]
    found = output_moments(mlp.to(dtype), ["0"], x)["0"]
    assert found.dtype == np.float64 and np.isfinite(found).all() and exact.max() > 65504
    np.testing.assert_allclose(found, exact, atol=0.02 * exact.max())


def test_nothing_is_changed(residual, images, states):
    residual.train()
    before, x = states(residual), images.x.copy()
    output_moments(residual, ["conv1", "head"], images.x)
    assert states.same(before, states(residual))
    assert not any(m._forward_hooks for m in residual.modules())
    np.testing.assert_array_equal(images.x, x)


def test_old_weight_norm_after_a_pass(vectors):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        model = nn.Sequential(nn.utils.weight_norm(nn.Linear(12, 4)))
    model(torch.from_numpy(vectors.x)).sum().backward()
    assert output_moments(model, ["0"], vectors.x)["0"].any()
