"""What compress does to a network, and what survey says it does."""

import warnings
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations, prune

from lowrank_kit.checks import InputError
from lowrank_kit.models.inventory import factorable_layers, head_of, inventory, weights_hash
from lowrank_kit.models.layers import matrix_shape
from lowrank_kit.models.surgery import Factorisation, compress, spectra, survey
from lowrank_kit.records import RankPlan


@pytest.fixture
def network(request):
    return request.getfixturevalue(request.param)


def inputs(model):
    torch.manual_seed(1)
    return torch.randn(5, 12) if isinstance(next(model.children()), nn.Linear) else torch.randn(5, 3, 9, 10)


def full_ranks(model):
    return {name: min(matrix_shape(layer)) for name, layer in factorable_layers(model).items()}


def n_params(model):
    return sum(p.numel() for p in model.parameters())


# compress


@pytest.mark.parametrize("network", ["mlp", "cnn", "residual"], indirect=True)
def test_full_rank_everywhere_reproduces_the_network(network, by_hand):
    network.eval().double()
    found = compress(network, by_hand(network, full_ranks(network)), break_even_guard=False)
    x = inputs(network).double()
    with torch.inference_mode():
        torch.testing.assert_close(found(x), network(x), rtol=1e-11, atol=1e-12)
    assert {type(m) for m in found.modules() if [*m.parameters(recurse=False)]} <= {
        nn.Linear,
        nn.Conv2d,
        nn.BatchNorm2d,
    }


@pytest.mark.parametrize("network", ["mlp", "cnn", "residual"], indirect=True)
def test_the_given_model_is_left_untouched_and_shares_nothing(network, by_hand, states):
    before = states(network)
    found = compress(network, by_hand(network, dict.fromkeys(full_ranks(network), 1)), break_even_guard=False)
    with torch.no_grad():
        for tensor in (*found.parameters(), *found.buffers()):
            tensor.zero_()
    assert states.same(before, states(network))


@pytest.mark.parametrize("network", ["mlp", "residual"], indirect=True)
@pytest.mark.parametrize("training", [True, False])
def test_every_modules_mode_is_kept(network, training, by_hand):
    network.train(training)
    network.get_submodule(next(iter(full_ranks(network)))).train(not training)
    found = compress(network, by_hand(network, dict.fromkeys(full_ranks(network), 1)))
    first = found.get_submodule(next(iter(full_ranks(network))))
    assert {m.training for m in first.modules()} == {not training}
    assert {m.training for m in found.modules()} - {m.training for m in first.modules()} == {training}


def test_an_empty_plan_gives_an_equal_copy(residual, by_hand):
    found = compress(residual, by_hand(residual, {}))
    assert found is not residual
    assert weights_hash(found) == weights_hash(residual)


@pytest.mark.parametrize("guard", [True, False])
def test_the_guard_keeps_layers_dense_that_would_not_become_smaller(mlp, by_hand, guard):
    found = compress(mlp, by_hand(mlp, {"0": 6, "2": 7}), break_even_guard=guard)  # they save up to 6 and 6
    assert isinstance(found[0], nn.Sequential)
    assert isinstance(found[2], nn.Linear if guard else nn.Sequential)
    assert isinstance(found[4], nn.Linear)


def test_a_model_that_is_one_layer(by_hand):
    layer = nn.Linear(20, 20)
    found = compress(layer, by_hand(layer, {"": 4}))
    assert found.reduce.weight.shape == (4, 20)
    assert survey(layer, by_hand(layer, {"": 4})).counts == {"compressed": 1, "dense": 0, "refused": 0}


def test_the_compressed_network_trains(residual, by_hand):
    found = compress(residual, by_hand(residual, {"conv1": 2, "conv2": 2})).train()
    found(inputs(residual)).sum().backward()
    assert all(p.grad is not None for p in found.parameters())


def test_a_compressed_network_can_be_compressed_again(by_hand):
    model = nn.Sequential(nn.Linear(40, 40))
    once = compress(model, by_hand(model, {"0": 15}))
    twice = compress(once, by_hand(once, {"0.reduce": 5, "0.expand": 5}))
    assert n_params(twice) < n_params(once) < n_params(model)


# survey


@pytest.mark.parametrize("network", ["mlp", "cnn", "residual"], indirect=True)
@pytest.mark.parametrize("guard", [True, False])
def test_survey_says_what_compress_does(network, guard, by_hand):
    rng = np.random.default_rng(0)
    for _ in range(5):
        ranks = {
            name: int(rng.integers(1, full + 1)) for name, full in full_ranks(network).items() if rng.random() < 0.8
        }
        plan = by_hand(network, ranks)
        said = survey(network, plan, break_even_guard=guard)
        found = compress(network, plan, break_even_guard=guard)
        for report in said.layers:
            before, after = network.get_submodule(report.layer), found.get_submodule(report.layer)
            assert (report.n_params_before, report.n_params) == (n_params(before), n_params(after))
            assert (report.verdict == "compressed") is isinstance(after, nn.Sequential)
            assert report.rank == (ranks[report.layer] if report.verdict == "compressed" else None)
        assert sum(said.counts.values()) == len(full_ranks(network))


def test_reasons_of_dense_layers(mlp, by_hand):
    found = survey(mlp, by_hand(mlp, {"0": 7}))
    assert found["0"].reason == "rank 7 saves nothing: factors are smaller up to rank 6"
    assert found["2"].reason == "not in the plan"
    assert found["4"].reason == "classifier head, left out of the plan"
    assert found.counts == {"compressed": 0, "dense": 3, "refused": 0}


def test_reason_of_a_compressed_layer_is_what_remains(mlp, by_hand):
    report = survey(mlp, by_hand(mlp, {"0": 3}))["0"]
    assert (report.verdict, report.rank) == ("compressed", 3)
    assert report.reason == f"{(3 * 28 + 16) / (12 * 16 + 16):.0%} of its parameters remain"
    assert report.kind == "Linear 16 x 12"


class Mine(nn.Linear):
    """A subclass may mean anything by its weight."""


def tied():
    model = nn.Sequential(nn.Embedding(9, 6), nn.Linear(6, 9, bias=False), nn.Linear(9, 9))
    model[1].weight = model[0].weight
    return model


def used_twice():
    layer = nn.Linear(9, 9)
    return nn.Sequential(layer, nn.ReLU(), layer, nn.Linear(9, 9))


def weight_normed_of_old():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        return nn.utils.weight_norm(nn.Linear(9, 9))


REFUSED = {
    "groups": (lambda: nn.Conv2d(4, 8, 3, groups=2), "0", "a convolution in 2 groups"),
    "depthwise": (lambda: nn.Conv2d(4, 4, 3, groups=4), "0", "a convolution in 4 groups"),
    "embedding": (lambda: nn.Embedding(9, 6), "0", "only nn.Linear and nn.Conv2d are factorised, not Embedding"),
    "transposed": (lambda: nn.ConvTranspose2d(4, 8, 3), "0", "not ConvTranspose2d"),
    "conv1d": (lambda: nn.Conv1d(4, 8, 3), "0", "not Conv1d"),
    "recurrent": (lambda: nn.LSTM(4, 8), "0", "not LSTM"),
    "subclass": (lambda: Mine(9, 9), "0", "not Mine"),
    "attention": (lambda: nn.MultiheadAttention(8, 2), "0", "MultiheadAttention reads the weights of its parts itself"),
    "transformer": (lambda: nn.TransformerEncoderLayer(8, 2), "0", "TransformerEncoderLayer reads the weights of its"),
    "tied": (tied, "0.1", "its weight is used in more than one place"),
    "tied embedding": (tied, "0.0", "its weight is used in more than one place"),
    "used twice": (used_twice, "0.0", "its weight is used in more than one place"),
    "weight norm": (lambda: parametrizations.weight_norm(nn.Linear(9, 9)), "0", "computed from other tensors"),
    "spectral norm": (lambda: parametrizations.spectral_norm(nn.Conv2d(4, 8, 3)), "0", "computed from other tensors"),
    "old weight norm": (weight_normed_of_old, "0", "computed from other tensors"),
    "pruned": (lambda: prune.l1_unstructured(nn.Linear(9, 9), "weight", 0.5), "0", "computed from other tensors"),
}


@pytest.mark.parametrize(("build", "layer", "reason"), REFUSED.values(), ids=REFUSED)
def test_refused_layers_are_named_with_the_reason(build, layer, reason, by_hand):
    model = nn.Sequential(build(), nn.Linear(9, 9))
    found = survey(model, by_hand(model, {"1": 2}))
    assert found[layer].verdict == "refused"
    assert reason in found[layer].reason
    assert found[layer].n_params == found[layer].n_params_before > 0
    assert found["1"].verdict == "compressed"
    assert layer not in spectra(model)
    with pytest.raises(InputError, match=f"`layer` must be one of .*; got '{layer}'"):
        compress(model, by_hand(model, {layer: 1}))


@pytest.mark.parametrize("block", ["attention", "transformer"])
def test_blocks_are_one_entry_of_the_survey(block):
    build, *_ = REFUSED[block]
    assert [*inventory(nn.Sequential(build(), nn.Linear(9, 9)))] == ["0", "1"]


def test_a_transformer_keeps_working_when_the_rest_is_compressed(by_hand):
    torch.manual_seed(0)
    encoder = nn.TransformerEncoder(
        nn.TransformerEncoderLayer(16, 2, 32, batch_first=True), 2, enable_nested_tensor=False
    )
    model = nn.Sequential(nn.Linear(12, 16), encoder, nn.Flatten(), nn.Linear(16 * 5, 8)).eval()
    plan = by_hand(model, {"0": 12, "3": 8})
    assert survey(model, plan, break_even_guard=False).counts == {"compressed": 2, "dense": 0, "refused": 2}
    found = compress(model, plan, break_even_guard=False)
    x = torch.randn(3, 5, 12)
    with torch.inference_mode():
        torch.testing.assert_close(found(x), model(x), rtol=1e-4, atol=1e-5)


def test_a_layer_called_twice_but_registered_once_is_compressed(by_hand):
    class Loop(nn.Module):
        def __init__(self):
            super().__init__()
            self.step = nn.Linear(12, 12)

        def forward(self, x):
            return self.step(torch.relu(self.step(x)))

    model = Loop().double()
    found = compress(model, by_hand(model, {"step": 12}), break_even_guard=False)
    x = torch.randn(4, 12, dtype=torch.float64)
    torch.testing.assert_close(found(x), model(x))


# head, hash, spectra


def test_the_head_is_the_last_factorable_layer(mlp, residual):
    assert (head_of(mlp), head_of(residual), head_of(nn.ReLU())) == ("4", "head", None)


class HeadFirst(nn.Module):
    """Registered the other way round than it is run."""

    def __init__(self):
        super().__init__()
        self.head, self.body, self.grouped = nn.Linear(8, 4), nn.Linear(12, 8), nn.Conv1d(2, 2, 1, groups=2)

    def forward(self, x):
        return self.head(torch.relu(self.body(x)))


def test_the_head_is_the_layer_that_is_run_last_where_the_order_is_known():
    model = HeadFirst()
    assert head_of(model) == head_of(model, []) == "body"
    assert head_of(model, ["body", "head"]) == head_of(model, {"body": 1, "head": 1, "grouped": 9}) == "head"
    assert head_of(model, ["grouped", "gone"]) == "body"


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_the_hash_is_of_values_not_of_layout(residual, layout):
    before = weights_hash(residual)
    assert weights_hash(residual.to(memory_format=layout)) == before
    assert len(before) == len("sha256:") + 64


def test_the_hash_tells_weights_names_and_types_apart(mlp):
    before = weights_hash(mlp)
    assert weights_hash(nn.Sequential(nn.Flatten(), *mlp)) != before
    assert weights_hash(mlp.double()) != before
    mlp.float()
    assert weights_hash(mlp) == before
    with torch.no_grad():
        mlp[2].weight[3, 3] += 1e-6
    assert weights_hash(mlp) != before


TENSORS = ["conv1.weight", "conv1.bias", "norm.weight", "norm.bias", "norm.running_mean", "norm.num_batches_tracked"]


@pytest.mark.parametrize("name", [*TENSORS, "head.bias"])
def test_the_hash_is_of_all_that_the_network_computes_with(residual, by_hand, name):
    before, plan = weights_hash(residual), by_hand(residual, {"conv1": 2})
    with torch.no_grad():
        residual.state_dict()[name].add_(1)
    assert weights_hash(residual) != before
    with pytest.raises(InputError, match=r"`plan` must be made for this model's weights.*Plan again with this model"):
        compress(residual, plan)


class Counted(nn.Linear):
    """Saves, beside its tensors, a word."""

    def get_extra_state(self):
        return "a word"

    def set_extra_state(self, state):
        assert state == "a word"


def test_a_network_that_saves_more_than_tensors_has_a_hash(by_hand):
    model = nn.Sequential(Counted(9, 9), nn.Linear(9, 9))
    assert "0._extra_state" in model.state_dict()
    assert isinstance(compress(model, by_hand(model, {"1": 2}))[1], nn.Sequential)


@pytest.mark.parametrize("network", ["mlp", "cnn", "residual"], indirect=True)
def test_spectra_are_those_of_the_matrices(network):
    found = spectra(network)
    assert [*found] == [*factorable_layers(network)]
    for name, layer in factorable_layers(network).items():
        oracle = np.linalg.svd(layer.weight.detach().double().flatten(1).numpy(), compute_uv=False)
        assert (found[name].layer, found[name].shape) == (name, matrix_shape(layer))
        np.testing.assert_allclose(found[name].values, oracle, rtol=1e-6, atol=1e-7)


# sentences


@pytest.mark.parametrize("rank", [9, 1000])
def test_a_rank_beyond_the_layer(cnn, by_hand, rank):
    with pytest.raises(InputError, match=rf"`rank of 0` must be .* between 1 and min\(m, n\) = 8 for a 8 x 27.*{rank}"):
        compress(cnn, by_hand(cnn, {"0": rank}))


def test_an_unknown_layer_lists_those_that_would_work(residual, by_hand):
    with pytest.raises(
        InputError, match=r"`layer` must be one of 'conv1', 'conv2', 'head'; got 'conv'.*'conv1'|'conv2'"
    ):
        survey(residual, by_hand(residual, {"conv": 2}))
    with pytest.raises(InputError, match="got 'fc9'"):
        Factorisation(residual).factors("fc9")


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_name_the_layer(mlp, by_hand, bad):
    with torch.no_grad():
        mlp[2].weight[1, 2:4] = bad
    for ask in (lambda: spectra(mlp), lambda: compress(mlp, by_hand(mlp, {"2": 2}))):
        with pytest.raises(InputError, match=r"`2.weight` must hold finite numbers only; 2 of its 160"):
            ask()


def test_a_plan_for_other_weights(mlp, by_hand):
    plan = by_hand(mlp, {"0": 2})
    other = replace(plan, weights="sha256:0123456789")
    for ask in (compress, survey):
        with pytest.raises(
            InputError, match=r"`plan` must be made for this model's weights.*Plan again with this model"
        ):
            ask(mlp, other)
    assert RankPlan.from_json(plan.to_json()) == plan
    compress(mlp, RankPlan.from_json(plan.to_json()))
