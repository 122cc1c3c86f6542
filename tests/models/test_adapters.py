"""Adapters on networks: what is frozen, what is trained, and the plain network that becomes of it."""

import numpy as np
import pytest
import torch
from torch import nn

from lowrank_kit.checks import InputError
from lowrank_kit.models.adapters import (
    DeepLoRA,
    LoRA,
    adaptable_layers,
    adapted,
    merged,
    n_trained,
    update_spectra,
    updates,
)
from lowrank_kit.models.inventory import weights_hash
from lowrank_kit.models.updates import CompressedUpdate, DeepUpdate

ADAPTERS = [LoRA(4), LoRA(4, alpha=8), DeepLoRA(4), DeepLoRA(None)]
every_adapter = pytest.mark.parametrize("adapter", ADAPTERS, ids=str)


def nudged(network):
    """Its updates moved somewhere, as training would."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for update in updates(network).values():
            for parameter in update.parameters():
                parameter += 0.1 * torch.randn(parameter.shape, generator=generator)
    return network


@pytest.fixture
def x(vectors):
    return torch.from_numpy(vectors.x)


# what stays


@every_adapter
def test_the_given_model_is_untouched(mlp, vectors, states, adapter):
    before = states(mlp)
    nudged(adapted(mlp, adapter, vectors))
    assert states.same(before, states(mlp)) and all(p.requires_grad for p in mlp.parameters())


def test_lora_starts_where_the_network_is(mlp, x):
    assert torch.equal(adapted(mlp, LoRA(4))(x), mlp.eval()(x))


def test_deep_lora_starts_within_the_cube_of_epsilon(mlp, vectors, x):
    for adapter in (DeepLoRA(4, epsilon=0.01), DeepLoRA(None, epsilon=0.01)):
        network = adapted(mlp, adapter, vectors)
        assert all(torch.linalg.matrix_norm(u.delta(), 2) <= 1.001e-6 for u in updates(network).values())
        assert (network(x) - mlp.eval()(x)).abs().max() < 1e-4


@every_adapter
def test_only_updates_are_trained(mlp, vectors, adapter):
    network = adapted(mlp, adapter, vectors)
    of_updates = {id(p) for update in updates(network).values() for p in update.parameters()}
    assert {id(p) for p in network.parameters() if p.requires_grad} == of_updates
    frozen = dict(network.named_parameters())
    for name, values in mlp.named_parameters():
        layer, _, kind = name.rpartition(".")
        held = frozen.get(name, frozen.get(f"{layer}.parametrizations.{kind}.original"))
        assert torch.equal(held, values) and not held.requires_grad


# what is trained


def test_counts(mlp, vectors):
    shapes = [(16, 12), (10, 16)]  # the head, 4 x 10, is left out
    assert n_trained(mlp) == 12 * 16 + 16 + 16 * 10 + 10 * 4 + 4
    assert n_trained(adapted(mlp, LoRA(4))) == sum(4 * (m + n) for m, n in shapes)
    assert n_trained(adapted(mlp, DeepLoRA(4), vectors)) == sum(4 * (m + n) + 3 * 4**2 for m, n in shapes)
    whole = n_trained(adapted(mlp, DeepLoRA(None)))
    assert whole == sum(d * (m + d + n) for m, n in shapes for d in [max(m, n)])


def test_layers_are_those_that_are_named(mlp, cnn):
    assert list(adaptable_layers(mlp)) == ["0", "2", "4"]
    assert list(updates(adapted(mlp, LoRA(2)))) == ["0", "2"]
    assert list(updates(adapted(mlp, LoRA(2), layers=["4", "0"]))) == ["0", "4"]
    assert list(updates(adapted(cnn, LoRA(2), layers=["7"]))) == ["7"]


def test_the_seed_decides_the_start(mlp, vectors):
    for adapter in (LoRA(4), DeepLoRA(4)):
        one, same, other = (updates(adapted(mlp, adapter, vectors, seed=s))["0"].state_dict() for s in (3, 3, 4))
        assert all(torch.equal(one[name], same[name]) for name in one)
        assert not all(torch.equal(one[name], other[name]) for name in one)


def test_directions_come_from_the_gradient_of_the_batch(mlp, vectors):
    """The leading singular vector of dL/dW, which both ends hold."""
    network = adapted(mlp, DeepLoRA(4), vectors)
    loss = nn.functional.cross_entropy(mlp.eval()(torch.from_numpy(vectors.x)), torch.from_numpy(vectors.y))
    U, _, Vh = torch.linalg.svd(torch.autograd.grad(loss, mlp[0].weight)[0])
    update = updates(network)["0"]
    assert isinstance(update, CompressedUpdate)
    for end, wanted in ((update.left, U[:, 0]), (update.right, Vh[0])):
        basis = torch.linalg.qr(end.detach()).Q
        assert torch.linalg.vector_norm(basis.mT @ wanted) == pytest.approx(1, abs=1e-4)


def test_the_reference_stays_as_wide_as_the_layer(mlp):
    update = updates(adapted(mlp, DeepLoRA(None)))["2"]
    assert isinstance(update, DeepUpdate)
    assert [tuple(f.shape) for f in update.factors] == [(16, 16), (16, 16), (10, 16)]


# the plain network again


@every_adapter
def test_merged_computes_the_same(mlp, vectors, x, adapter):
    network = nudged(adapted(mlp, adapter, vectors))
    plain = merged(network)
    assert (plain(x) - network(x)).abs().max() < 1e-5 < (plain(x) - mlp.eval()(x)).abs().max()
    assert [type(m) for m in plain.modules()] == [type(m) for m in mlp.modules()]
    assert [*plain.state_dict()] == [*mlp.state_dict()] and n_trained(plain) == n_trained(mlp)
    assert len(updates(network)) == 2 and not updates(plain)


def test_merged_before_training_is_the_network_itself(mlp):
    assert weights_hash(merged(adapted(mlp, LoRA(4)))) == weights_hash(mlp)


def test_attention_of_pytorch_is_adapted_and_merged(rng):
    torch.manual_seed(0)
    block = nn.TransformerEncoderLayer(16, 2, 24, batch_first=True)
    network = nudged(adapted(block, LoRA(4), layers=["self_attn.out_proj", "linear1"]))
    x = torch.randn(3, 5, 16)
    with torch.no_grad():
        assert (merged(network)(x) - network(x)).abs().max() < 1e-5 < (network(x) - block.eval()(x)).abs().max()


def test_the_transformer_of_the_kit(vit):
    network, data = vit
    found = adapted(network, DeepLoRA(8), data.validation.take(slice(16)))
    assert len(updates(found)) == 16 and n_trained(found) == 8 * 4 * (256 + 128 + 320 + 320) + 16 * 3 * 64
    images = torch.from_numpy(data.validation.x[:4])
    with torch.no_grad():
        assert (merged(nudged(found))(images) - found(images)).abs().max() < 1e-4


# spectra


def test_spectra_of_updates(mlp, vectors):
    network = nudged(adapted(mlp, LoRA(2), vectors))
    found = update_spectra(network, mlp)
    assert {name: spectrum.shape for name, spectrum in found.items()} == {"0": (16, 12), "2": (10, 16)}
    assert all(np.count_nonzero(s.values > 1e-6 * s.values[0]) == 2 for s in found.values())
    plain = update_spectra(merged(network), mlp)
    assert all(np.allclose(plain[name].values, found[name].values, atol=1e-6) for name in found)
    assert update_spectra(mlp, mlp) == {}


# bad input


@pytest.mark.parametrize(
    ("adapter", "said"),
    [
        (DeepLoRA(3), "`rank` must be even for Deep LoRA.*got 3. Take 2."),
        (DeepLoRA(1), "Take 2"),
        (DeepLoRA(12), r"`rank of 2` must be .* min\(m, n\) = 10 .* got 12"),
        (LoRA(0), "got 0"),
        (LoRA(13), r"min\(m, n\) = 12"),
        (LoRA(4, alpha=0), "`alpha` must be above 0"),
        (DeepLoRA(4, epsilon=0.0), "`epsilon` must be above 0"),
        ("lora", r"`adapter` must be LoRA\(rank\) or DeepLoRA\(rank\); got 'lora'"),
    ],
    ids=str,
)
def test_adapters_that_do_not_fit(mlp, vectors, adapter, said):
    with pytest.raises(InputError, match=said):
        adapted(mlp, adapter, vectors)


def test_networks_that_can_not_be_adapted(mlp, cnn):
    with pytest.raises(InputError, match=r"must have a linear layer to adapt.*it has none"):
        adapted(nn.Sequential(nn.Conv2d(1, 2, 3)), LoRA(1))
    with pytest.raises(InputError, match="unless `layers` names it; it has 7"):
        adapted(cnn, LoRA(1))
    with pytest.raises(InputError, match="`layers` must be one of '0', '2', '4'; got 'fc1'"):
        adapted(mlp, LoRA(1), layers=["fc1"])
    with pytest.raises(InputError, match="this one is adapted"):
        adapted(adapted(mlp, LoRA(1)), LoRA(1))


def test_deep_lora_needs_a_batch_and_a_finite_gradient(mlp, vectors):
    with pytest.raises(InputError, match="`examples` must come with Deep LoRA"):
        adapted(mlp, DeepLoRA(4))
    with torch.no_grad():
        mlp[0].bias.fill_(float("nan"))
    with pytest.raises(InputError, match="`gradient of 0` must hold finite numbers"):
        adapted(mlp, DeepLoRA(4), vectors)
