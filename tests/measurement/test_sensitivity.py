"""Scores of a network with one layer cut equal those of the network that was really cut."""

import copy

import numpy as np
import pytest
import torch
from torch import nn

from lowrank_kit.checks import InputError
from lowrank_kit.measurement.quality import logits
from lowrank_kit.measurement.sensitivity import scores_by_rank
from lowrank_kit.models.layers import matrix_shape
from lowrank_kit.models.surgery import Factorisation, compress


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


NETWORKS = [
    ("mlp", "vectors", ["0", "2", "4"]),
    ("cnn", "images", ["0", "2", "4", "7"]),
    ("residual", "images", ["conv1", "conv2", "head"]),
    (nested, "vectors", ["0.0", "1.fc", "2.0"]),
]
CASES = [(network, examples, layer) for network, examples, layers in NETWORKS for layer in layers]


def network_of(request, source):
    return source() if callable(source) else request.getfixturevalue(source)


@pytest.mark.parametrize(("source", "examples", "layer"), CASES)
def test_scores_are_those_of_the_cut_network(source, examples, layer, request, by_hand):
    model = network_of(request, source).double()
    x = request.getfixturevalue(examples).x
    full = min(matrix_shape(model.get_submodule(layer)))
    ranks = [1, full, max(full // 2, 1), 2]
    found = [*scores_by_rank(Factorisation(model), layer, ranks, x)]
    assert len(found) == len(ranks)
    for rank, scores in zip(ranks, found, strict=True):
        cut = compress(model, by_hand(model, {layer: rank}), break_even_guard=False)
        np.testing.assert_allclose(scores, logits(cut, x), rtol=1e-5, atol=1e-6)


def test_many_batches_come_back_in_order(digits, digits_factorisation, by_hand):
    model, data = digits
    x = data.test.x
    assert len(x) > 128
    (scores,) = scores_by_rank(digits_factorisation, "fc2", [5], x)
    np.testing.assert_allclose(scores, logits(compress(model, by_hand(model, {"fc2": 5})), x), atol=1e-4)


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
    running = scores_by_rank(Factorisation(mlp), "2", range(1, 5), vectors.x)
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
        next(scores_by_rank(Factorisation(model), "2", [1], vectors.x))
    assert not hooks(model)
    assert all(m.training for m in model.modules())
    assert not torch.is_inference_mode_enabled()


def test_the_model_may_be_copied_and_used_between_ranks(mlp, vectors):
    expected = logits(mlp, vectors.x)
    for _ in scores_by_rank(Factorisation(mlp), "0", [1, 2], vectors.x):
        np.testing.assert_array_equal(logits(copy.deepcopy(mlp), vectors.x), expected)


def test_a_network_without_class_scores_is_told(vectors):
    model = nn.Sequential(nn.Linear(12, 6), nn.Unflatten(1, (2, 3)))
    with pytest.raises(InputError, match=r"class scores \(n, classes\); it returned shape \(60, 2, 3\)"):
        next(scores_by_rank(Factorisation(model), "0", [1], vectors.x))
