"""What compress does to a network, and what survey says it does."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations

from lowrank_kit.checks import InputError
from lowrank_kit.models import surgery
from lowrank_kit.models.inventory import factorable_layers, weights_hash
from lowrank_kit.models.low_rank import LowRank, matrix_shape
from lowrank_kit.models.surgery import Factorisation, compress, spectra, survey, with_empty_blocks
from lowrank_kit.records import Data, Examples, RankPlan


@pytest.fixture
def encoder():
    """Convolutions, one of them in groups, into a computed weight and a transformer; inputs (n, 3, 9, 10)."""
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, stride=2),
        nn.Conv2d(8, 8, 3, padding=1, groups=2),
        nn.Flatten(2),
        parametrizations.weight_norm(nn.Linear(16, 8)),
        nn.TransformerEncoderLayer(8, 2, 16, batch_first=True),
        nn.Flatten(),
        nn.Linear(64, 4),
    ).eval()


@pytest.fixture
def twins():
    """Two layers of one weight but two biases, and a module that stands in two places; inputs (n, 12)."""
    torch.manual_seed(0)
    first, second, both = nn.Linear(12, 12), nn.Linear(12, 12), nn.Linear(12, 12, bias=False)
    second.weight = first.weight
    return nn.Sequential(first, nn.ReLU(), second, both, nn.ReLU(), both, nn.Linear(12, 4))


@pytest.fixture(params=["mlp", "cnn", "residual", "encoder", "twins"])
def network(request):
    return request.getfixturevalue(request.param)


def inputs(model):
    torch.manual_seed(1)
    return torch.randn(5, 12) if isinstance(next(model.children()), nn.Linear) else torch.randn(5, 3, 9, 10)


def full_ranks(model):
    return {name: min(matrix_shape(layer)) for name, layer in factorable_layers(model).items()}


def n_params(model):
    return sum(p.numel() for p in model.parameters())


@torch.no_grad()
def scores(model, x):
    return model.eval()(x)


# compress


def test_full_rank_everywhere_reproduces_the_network(network, by_hand):
    network.eval().double()
    found = compress(network, by_hand(network, full_ranks(network)), break_even_guard=False)
    x = inputs(network).double()
    torch.testing.assert_close(scores(found, x), scores(network, x), rtol=1e-11, atol=1e-12)
    assert sum(isinstance(m, LowRank) for m in found.modules()) >= len(full_ranks(network))


def test_what_is_put_in_is_made_of_plain_layers(network, by_hand):
    found = compress(network, by_hand(network, full_ranks(network)), break_even_guard=False)
    blocks = [m for m in found.modules() if isinstance(m, LowRank)]
    assert all(isinstance(part, (nn.Linear, nn.Conv2d)) for block in blocks for part in block)
    assert all([name for name, _ in block.named_children()] == ["reduce", "expand"] for block in blocks)


def test_the_given_model_is_left_untouched_and_shares_nothing(network, by_hand, states):
    before = states(network)
    found = compress(network, by_hand(network, dict.fromkeys(full_ranks(network), 1)), break_even_guard=False)
    with torch.no_grad():
        for tensor in (*found.parameters(), *found.buffers()):
            tensor.zero_()
    assert states.same(before, states(network))


@pytest.mark.parametrize("training", [True, False])
def test_every_modules_mode_is_kept(residual, training, by_hand):
    residual.train(training)
    residual.conv1.train(not training)
    found = compress(residual, by_hand(residual, dict.fromkeys(full_ranks(residual), 1)))
    assert {m.training for m in found.conv1.modules()} == {not training}
    assert {m.training for m in found.modules()} - {m.training for m in found.conv1.modules()} == {training}


def test_an_empty_plan_gives_an_equal_copy(network, by_hand):
    found = compress(network, by_hand(network, {}))
    assert found is not network
    assert weights_hash(found) == weights_hash(network)
    assert [*map(type, found.modules())] == [*map(type, network.modules())]


@pytest.mark.parametrize("guard", [True, False])
def test_the_guard_keeps_layers_dense_that_would_not_become_smaller(mlp, by_hand, guard):
    found = compress(mlp, by_hand(mlp, {"0": 6, "2": 7}), break_even_guard=guard)  # they save up to 6 and 6
    assert isinstance(found[0], LowRank)
    assert isinstance(found[2], nn.Linear if guard else LowRank)
    assert isinstance(found[4], nn.Linear)


def test_a_model_that_is_one_layer(by_hand):
    layer = nn.Linear(20, 20)
    found = compress(layer, by_hand(layer, {"": 4}))
    assert found.reduce.weight.shape == (4, 20)
    assert survey(layer, by_hand(layer, {"": 4})).counts == {"compressed": 1, "dense": 0, "refused": 0}


def test_a_compressed_network_can_be_compressed_again(by_hand):
    model = nn.Sequential(nn.Linear(40, 40))
    once = compress(model, by_hand(model, {"0": 15}))
    twice = compress(once, by_hand(once, {"0.reduce": 5, "0.expand": 5}))
    assert n_params(twice) < n_params(once) < n_params(model)


def test_layers_of_one_weight_are_compressed_once_and_stay_tied(twins, by_hand):
    found = compress(twins, by_hand(twins, {"0": 3, "3": 3}))
    assert found[0].reduce.weight is found[2].reduce.weight and found[0].expand.weight is found[2].expand.weight
    assert not torch.equal(found[0].bias, found[2].bias)
    assert torch.equal(found[2].bias, twins[2].bias)
    assert found[3] is found[5]
    assert n_params(found) == n_params(twins) - 2 * (12 * 12 - 3 * 24)


def test_empty_blocks_are_what_compress_makes_less_the_values(network, by_hand):
    ranks = {name: max(full // 2, 1) for name, full in full_ranks(network).items()}
    plan = by_hand(network, ranks)
    empty, full = with_empty_blocks(network, plan.layers), compress(network, plan, break_even_guard=False)
    assert str(empty) == str(full)
    shapes = [{name: (p.shape, p.dtype) for name, p in m.state_dict().items()} for m in (empty, full)]
    assert shapes[0] == shapes[1]
    assert all(not m.weight.any() for m in empty.modules() if isinstance(m, LowRank))


# survey


@pytest.mark.parametrize("guard", [True, False])
def test_survey_says_what_compress_does(network, guard, by_hand):
    rng = np.random.default_rng(0)
    for _ in range(5):
        ranks = {n: int(rng.integers(1, full + 1)) for n, full in full_ranks(network).items() if rng.random() < 0.8}
        plan = by_hand(network, ranks)
        said = survey(network, plan, break_even_guard=guard)
        found = dict(compress(network, plan, break_even_guard=guard).named_modules())
        compressed = {r.layer for r in said.layers if r.verdict == "compressed"}
        assert compressed == {r.layer for r in said.layers if isinstance(found.get(r.layer), LowRank)}
        assert all(n_params(found[r.layer]) == r.n_params for r in said.layers if r.layer in compressed)
        assert all(said[n].how == f"svd {ranks[n]}" for n in compressed & {*ranks})


def test_survey_counts_what_compress_saves(network, by_hand):
    plan = by_hand(network, dict.fromkeys(full_ranks(network), 1))
    saved = sum(r.n_params_before - r.n_params for r in survey(network, plan).layers if "shares" not in r.reason)
    folded = sum(isinstance(m, nn.utils.parametrize.ParametrizationList) for m in network.modules())
    assert n_params(network) - n_params(compress(network, plan)) == saved
    assert bool(folded) is any("folded" in r.reason for r in survey(network, plan).layers)


# data


@pytest.fixture
def aware(mlp, by_hand):
    return by_hand(mlp, {"0": 3, "2": 4}, "aware")


def test_the_aware_method_looks_at_training_examples_before_others(mlp, aware, rng):
    def some():
        return Examples(rng.standard_normal((50, 12)).astype(np.float32), rng.integers(0, 4, 50))

    train, validation, test = some(), some(), some()

    def weights(data):
        return weights_hash(compress(mlp, aware, data=data))

    assert weights(Data("d", validation, test, train)) == weights(train) != weights(validation)
    assert weights(Data("d", validation, test)) == weights(validation)


def test_no_more_examples_are_looked_at_than_needed(mlp, aware, vectors, monkeypatch):
    seen = []
    moments = surgery.output_moments
    monkeypatch.setattr(surgery, "output_moments", lambda m, names, x: seen.append(len(x)) or moments(m, names, x))
    compress(mlp, aware, data=vectors)
    monkeypatch.setattr(surgery, "CALIBRATION_EXAMPLES", 20)
    compress(mlp, aware, data=vectors)
    assert seen == [60, 20]


def test_the_aware_method_asks_for_data(mlp, aware):
    with pytest.raises(InputError, match='`data` must come with the method "aware": examples to see'):
        compress(mlp, aware)


def test_factors_are_made_once_for_all_ranks(mlp, vectors):
    factorisation = Factorisation(mlp, vectors)
    for method in ("svd", "aware"):
        assert factorisation.factors("0", method) is factorisation.factors("0", method)
    assert factorisation.factors("0") is not factorisation.factors("0", "aware")


# spectra


def test_spectra_are_those_of_the_layers(network):
    found = spectra(network)
    assert [*found] == [*factorable_layers(network)]
    factorisation = Factorisation(network)
    for name, layer in factorable_layers(network).items():
        assert (found[name].layer, found[name].shape) == (name, matrix_shape(layer))
        np.testing.assert_allclose(found[name].values, factorisation.spectrum(name).values, rtol=1e-5, atol=1e-6)


# sentences


@pytest.mark.parametrize("rank", [9, 1000])
def test_a_rank_beyond_the_layer(cnn, by_hand, rank):
    with pytest.raises(InputError, match=rf"`rank of 0` must be .* between 1 and min\(m, n\) = 8 for a 8 x 27.*{rank}"):
        compress(cnn, by_hand(cnn, {"0": rank}))


def test_a_rank_of_the_spatial_method_has_limits_of_its_own(cnn, by_hand):
    compress(cnn, by_hand(cnn, {"0": 9}, "spatial"))
    with pytest.raises(InputError, match=r"`rank of 0` must be .* min\(m, n\) = 9 for a 24 x 9 matrix; got 10"):
        compress(cnn, by_hand(cnn, {"0": 10}, "spatial"))


def test_a_method_that_a_layer_does_not_have(mlp, by_hand):
    with pytest.raises(InputError, match="`method of 0` must be one of 'svd', 'aware'; got 'spatial'"):
        compress(mlp, by_hand(mlp, {"0": 2}, "spatial"))


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


@pytest.mark.parametrize("begin", [lambda f: f.weights, lambda f: f.factors("0"), lambda f: None])
def test_a_factorisation_of_weights_that_were_trained_since(mlp, by_hand, begin):
    factorisation = Factorisation(mlp)
    begin(factorisation)
    before = by_hand(mlp, {"0": 2})
    with torch.no_grad():
        mlp[0].weight.mul_(2)
    for plan in (before, by_hand(mlp, {"0": 2})):
        with pytest.raises(InputError, match="the model's weights have changed since they were factorised"):
            factorisation.compress(plan)


def test_what_is_compressed_in_inference_mode_can_be_trained(residual, images, by_hand):
    with torch.inference_mode():
        found = compress(residual, by_hand(residual, {"conv1": 2, "conv2": 2}))
    found.train()(torch.from_numpy(images.x)).square().sum().backward()
    assert all(p.grad is not None and p.grad.any() for p in found.parameters())


class ReadsSizes(nn.Module):
    """Asks its layers for their sizes."""

    def __init__(self):
        super().__init__()
        self.conv, self.fc = nn.Conv2d(3, 8, 3), nn.Linear(8, 4)

    def forward(self, x):
        maps = self.conv(x[:, : self.conv.in_channels])
        means = maps.reshape(len(x), self.conv.out_channels, -1).mean(2)
        return self.fc(means.reshape(-1, self.fc.in_features)).reshape(len(x), self.fc.out_features)


def test_a_network_that_asks_its_layers_for_their_sizes_works(by_hand):
    model = ReadsSizes()
    found = compress(model, by_hand(model, {"conv": 8, "fc": 4}), break_even_guard=False)
    x = torch.randn(5, 3, 9, 10)
    torch.testing.assert_close(scores(found, x), scores(model, x), rtol=1e-4, atol=1e-5)


def test_compressing_draws_no_random_numbers(residual, by_hand):
    plan = by_hand(residual, {"conv1": 2, "conv2": 2, "head": 1})
    before = torch.get_rng_state()
    compress(residual, plan)
    assert torch.equal(torch.get_rng_state(), before)
