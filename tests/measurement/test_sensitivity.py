"""Scores of a network with one layer cut equal those of the network that was really cut."""

import copy
from types import MethodType

import numpy as np
import pytest
import torch
from torch import nn

from lowrank_kit.checks import InputError
from lowrank_kit.measurement import sensitivity as room
from lowrank_kit.measurement.quality import logits
from lowrank_kit.measurement.sensitivity import scores_by_rank
from lowrank_kit.models import running
from lowrank_kit.models.low_rank import matrix_shape
from lowrank_kit.models.surgery import Factorisation, compress


@pytest.fixture(autouse=True)
def known_batches(monkeypatch):
    """Batches of at most 128, whatever suits a processor best."""
    monkeypatch.setattr(running, "EXAMPLES_A_BATCH", 128)


class InPlace(nn.Module):
    """A block that overwrites what it is given."""

    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(16, 16)

    def forward(self, x):
        x += self.fc(x)
        return x.relu_()


def nested():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Sequential(nn.Linear(12, 16), nn.ReLU(inplace=True)), InPlace(), nn.Sequential(nn.Linear(16, 4))
    )


def tied():
    """Two layers of one weight, with a bias each; cutting one cuts both."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(12, 12), nn.ReLU(), nn.Linear(12, 12), nn.ReLU(), nn.Linear(12, 4))
    model[2].weight = model[0].weight
    return model


def encoder():
    """Attention, a computed weight and a convolution in groups."""
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, stride=2),
        nn.Conv2d(8, 8, 3, padding=1, groups=2),
        nn.Flatten(2),
        nn.utils.parametrizations.weight_norm(nn.Linear(16, 8)),
        nn.TransformerEncoderLayer(8, 2, 16, batch_first=True),
        nn.Flatten(),
        nn.Linear(64, 4),
    )


def hooked():
    """A row of layers within the row, with a hook on it."""
    model = nested()
    model[0].register_forward_hook(lambda module, args, output: output.tanh())
    return model


def patched():
    """A row of layers within the row, with a forward pass of its own."""
    model = nested()
    model[0].forward = MethodType(lambda self, x: nn.Sequential.forward(self, x).tanh(), model[0])
    return model


NETWORKS = [
    ("mlp", "vectors", ["0", "2", "4"]),
    ("cnn", "images", ["0", "2", "4", "7"]),
    ("residual", "images", ["conv1", "conv2", "head"]),
    (nested, "vectors", ["0.0", "1.fc", "2.0"]),
    (tied, "vectors", ["0", "4"]),
    (hooked, "vectors", ["0.0", "1.fc"]),
    (patched, "vectors", ["0.0", "1.fc"]),
    (encoder, "images", ["0", "1", "3", "4.self_attn.in_proj", "4.self_attn.out_proj", "4.linear1", "6"]),
]
CASES = [
    pytest.param(network, examples, layer, method, id=f"{getattr(network, '__name__', network)}-{layer}-{method}")
    for network, examples, layers in NETWORKS
    for layer in layers
    for method in (["svd", "aware", "spatial"] if (network, layer) in [("cnn", "0"), (encoder, "1")] else ["svd"])
]


def network_of(request, source):
    return source() if callable(source) else request.getfixturevalue(source)


def scores_of(*args, **kwargs):
    """The scores alone, without the pauses between batches."""
    return [scores for scores in scores_by_rank(*args, **kwargs) if scores is not None]


@pytest.mark.parametrize("held", [room.HELD_BYTES, 0], ids=["held", "not held"])
@pytest.mark.parametrize(("source", "examples", "layer", "method"), CASES)
def test_scores_are_those_of_the_cut_network(
    source, examples, layer, method, held, request, by_hand, monkeypatch, states
):
    monkeypatch.setattr(room, "HELD_BYTES", held)
    model, data = network_of(request, source).double(), request.getfixturevalue(examples)
    before, factorisation = states(model), Factorisation(model, data)
    full = min(matrix_shape(factorisation.layers[layer], method))
    ranks = [1, full, max(full // 2, 1), 2]
    found = scores_of(factorisation, layer, ranks, data.x, method=method)
    assert len(found) == len(ranks)
    for rank, scores in zip(ranks, found, strict=True):
        cut = compress(model, by_hand(model, {layer: rank}, method), data=data, break_even_guard=False)
        np.testing.assert_allclose(scores, logits(cut, data.x), rtol=1e-5, atol=1e-6)
    assert states.same(before, states(model))


@pytest.mark.parametrize("held", [room.HELD_BYTES, 0], ids=["held", "not held"])
@pytest.mark.parametrize(("source", "layer"), [("cnn", "0"), ("cnn", "2"), ("residual", "conv2")])
def test_scores_are_those_of_the_network_in_tucker_form(source, layer, held, request, images, by_hand, monkeypatch):
    monkeypatch.setattr(room, "HELD_BYTES", held)
    model = request.getfixturevalue(source).double()
    m, n = model.get_submodule(layer).weight.shape[:2]
    pairs = [(1, 1), (m, n), (m // 2, 2), (2, n)]
    found = scores_of(Factorisation(model), layer, pairs, images.x, method="tucker")
    for pair, scores in zip(pairs, found, strict=True):
        cut = compress(model, by_hand(model, {layer: pair}, "tucker"), break_even_guard=False)
        np.testing.assert_allclose(scores, logits(cut, images.x), rtol=1e-5, atol=1e-6)


def test_many_batches_come_back_in_order(digits, digits_factorisation, by_hand):
    model, data = digits
    x = data.test.x
    assert len(x) > 128
    (scores,) = scores_of(digits_factorisation, "fc2", [5], x)
    np.testing.assert_allclose(scores, logits(compress(model, by_hand(model, {"fc2": 5})), x), atol=1e-4)


class Told(nn.Module):
    """Passes on what it is given and tells of it."""

    def __init__(self, tell):
        super().__init__()
        self.tell = tell

    def forward(self, x):
        self.tell(len(x))
        return x


@pytest.mark.parametrize(("held", "calls"), [(room.HELD_BYTES, 1 + 3), (0, 1 + 3 * 5)])
def test_what_lies_before_the_layer_runs_once_unless_it_is_too_much_to_hold(mlp, rng, monkeypatch, held, calls):
    monkeypatch.setattr(room, "HELD_BYTES", held)
    told = []
    x = rng.standard_normal((300, 12)).astype(np.float32)  # three batches
    # A function is not copied along with the network.
    scores_of(Factorisation(nn.Sequential(Told(lambda n: told.append(n)), *mlp)), "3", range(1, 6), x)
    assert len(told) == calls  # and once to see how much there is to hold


def test_what_is_held_is_limited_by_all_the_batches_together(mlp, rng, monkeypatch):
    x = rng.standard_normal((300, 12)).astype(np.float32)
    for limit, calls in [(3 * 128 * 12 * 4, 1 + 3), (3 * 128 * 12 * 4 - 1, 1 + 3 * 2)]:
        monkeypatch.setattr(room, "HELD_BYTES", limit)
        told = []
        scores_of(Factorisation(nn.Sequential(Told(lambda n, to=told: to.append(n)), *mlp)), "1", [1, 2], x)
        assert len(told) == calls


def test_other_work_may_go_first_between_batches(mlp, rng):
    x = rng.standard_normal((300, 12)).astype(np.float32)
    steps = [scores is None for scores in scores_by_rank(Factorisation(mlp), "2", [1, 2], x)]
    assert steps == [True] * 3 + [*[True] * 3, False] * 2


def hooks(model):
    return [h for m in model.modules() for h in (*m._forward_hooks.values(), *m._forward_pre_hooks.values())]


@pytest.mark.parametrize("layer", ["0", "2"])
def test_nothing_is_left_behind(mlp, vectors, states, layer):
    mlp.train()
    before, x = states(mlp), vectors.x.copy()
    for _ in scores_by_rank(Factorisation(mlp), layer, range(1, 5), vectors.x):
        assert not hooks(mlp)
        assert all(m.training for m in mlp.modules())
    assert states.same(before, states(mlp))
    np.testing.assert_array_equal(vectors.x, x)


def test_nothing_is_left_behind_when_closed_early(mlp, vectors, states):
    mlp.train()
    before = states(mlp)
    for steps in range(1, 7):
        running = scores_by_rank(Factorisation(mlp), "2", range(1, 5), vectors.x)
        for _ in range(steps):
            next(running)
        running.close()
    assert not hooks(mlp)
    assert states.same(before, states(mlp))
    assert not torch.is_inference_mode_enabled()


class Fails(nn.Module):
    def forward(self, x):
        raise ArithmeticError


def test_nothing_is_left_behind_when_the_network_fails(mlp, vectors):
    model = nn.Sequential(*mlp, Fails()).train()
    with pytest.raises(ArithmeticError):
        scores_of(Factorisation(model), "2", [1], vectors.x)
    assert not hooks(model)
    assert all(m.training for m in model.modules())
    assert not torch.is_inference_mode_enabled()


@pytest.mark.parametrize("layer", ["0", "2", "4"])
def test_the_model_may_be_copied_and_used_between_steps(mlp, rng, layer):
    x = rng.standard_normal((300, 12)).astype(np.float32)
    expected, cut = logits(mlp, x), scores_of(Factorisation(mlp), layer, [1, 2], x)
    found = []
    for scores in scores_by_rank(Factorisation(mlp), layer, [1, 2], x):
        np.testing.assert_array_equal(logits(copy.deepcopy(mlp), x), expected)
        np.testing.assert_array_equal(mlp(torch.from_numpy(x)).detach(), expected)
        found += [] if scores is None else [scores]
    np.testing.assert_array_equal(found, cut)


def test_two_layers_may_be_cut_in_turn(mlp, vectors):
    found, factorisation = {"0": [], "2": []}, Factorisation(mlp)
    alone = {layer: scores_of(factorisation, layer, [1, 3], vectors.x) for layer in found}
    for steps in zip(*(scores_by_rank(factorisation, layer, [1, 3], vectors.x) for layer in found), strict=True):
        for layer, scores in zip(found, steps, strict=True):
            found[layer] += [] if scores is None else [scores]
    for layer, scores in found.items():
        np.testing.assert_array_equal(scores, alone[layer])


def test_a_network_without_class_scores_is_told(vectors):
    model = nn.Sequential(nn.Linear(12, 6), nn.Unflatten(1, (2, 3)))
    with pytest.raises(InputError, match=r"class scores \(n, classes\); it returned shape \(60, 2, 3\)"):
        scores_of(Factorisation(model), "0", [1], vectors.x)
