"""What the tables say of every pair of ranks holds for the compressed network; arrays carry them there and back."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from lowrank_kit.files import read_arrays, write_arrays
from lowrank_kit.maths.tensor import hosvd
from lowrank_kit.measurement.cost import layer_params, macs, n_params
from lowrank_kit.measurement.measure import measure
from lowrank_kit.methods.tucker_tables import tabulate_tucker
from lowrank_kit.models.surgery import Factorisation
from lowrank_kit.records import TuckerLayer, TuckerTables


@pytest.fixture
def twins():
    """A weight that two convolutions share, at positions of different number, and one that no pair makes smaller."""
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(3, 8, 3),
        nn.Conv2d(8, 8, 3, padding=1),
        nn.Conv2d(8, 8, 3, stride=2, padding=1),
        nn.Conv2d(8, 2, (1, 2)),
        nn.Conv2d(2, 8, 3, padding=1, groups=2),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(8, 4),
    )
    model[2].weight = model[1].weight
    return model


@pytest.fixture(params=["cnn", "residual", "twins", "mnist"])
def network(request, split):
    found = request.getfixturevalue(request.param)
    return found if isinstance(found, tuple) else (found, split(request.getfixturevalue("images")))


def tabulated(model, data):
    return tabulate_tucker(Factorisation(model), data, measure(model, data, latency_budget_s=0))


def layer(**kwargs):
    """A convolution of 4 x 3 x 2 x 2 = 48 numbers whose pairs cost 4 o i + 4 o + 3 i of them."""
    rng = np.random.default_rng(0)
    full, values = hosvd(rng.standard_normal((4, 3, 2, 2)), 2)
    errors = np.linspace(0.9, 0, 12).reshape(4, 3).astype(np.float32)
    fields = {"knots": np.array([0.3, 0.9]), "drops": np.array([0.1, 0.4]), "measured": True, **kwargs}
    return TuckerLayer("conv", full.shape, 1080, (40, 60), 90, values, errors, (2, 2), **fields)


def tables(*layers, **kwargs):
    return TuckerTables("net", "sha256:0", "sha256:1", layers, 1000, 112, 5000, 4, 0.9, 50, **kwargs)


def test_costs_equal_those_of_the_compressed_network(network, rng):
    model, data = network
    factorisation, found = Factorisation(model), tabulated(model, data)
    cut = 0
    for _ in range(12):
        ranks = {t.name: tuple(int(rng.integers(1, n + 1)) for n in t.full_rank) for t in found.layers}
        small = factorisation.compress(found.plan(ranks))
        assert found.n_params_at(ranks) == n_params(small)
        assert found.macs_at(ranks) == macs(small, data.test.x)
        cut += sum(t.saves(ranks[t.name]) for t in found.layers)
    assert cut > 3


def test_the_least_pairs_and_full_ranks_too(network):
    model, data = network
    found = tabulated(model, data)
    full = {t.name: t.full_rank for t in found.layers}
    assert found.n_params_at(full) == found.n_params == n_params(model)
    assert found.macs_at(full) == found.macs == macs(model, data.test.x)
    assert found.predict(full) == found.accuracy
    assert found.plan(full).layers == {}
    least = {t.name: (1, 1) for t in found.layers}
    small = Factorisation(model).compress(found.plan(least))
    assert (found.n_params_at(least), found.macs_at(least)) == (n_params(small), macs(small, data.test.x))


def test_errors_are_those_of_the_truncated_weights(network):
    model, data = network
    factorisation = Factorisation(model)
    for table in tabulated(model, data).layers:
        weight, full = factorisation.layers[table.name].weight.detach().numpy(), factorisation.modes(table.name)[0]
        assert table.errors.shape == table.full_rank == weight.shape[:2]
        for pair in {(1, 1), (max(table.full_rank[0] // 2, 1), 1), (1, table.full_rank[1]), table.full_rank}:
            truth = np.linalg.norm(weight - full.truncate(pair).dense()) / np.linalg.norm(weight)
            assert table.errors[pair[0] - 1, pair[1] - 1] == pytest.approx(truth, abs=1e-5)


def test_a_budget_is_a_share_of_the_convolutions_with_modes(twins, images, split):
    found = tabulated(twins, split(images))
    assert [t.name for t in found.layers] == ["0", "1", "3"]
    assert found.whole == {"4": 80, "7": 36}
    assert found.total("params") == layer_params(twins, ["0", "1", "3"]) == 224 + 584 + 34
    assert found.total("macs") == sum(t.macs for t in found.layers)


def test_arrays_there_and_back(network, tmp_path):
    there = replace(tabulated(*network), recorded="a day, a machine", predicted=np.ones(3), observed=np.zeros(3))
    better = replace(there.layers[0], knots=np.array([0.2, 0.5]), drops=np.array([0.1, 0.2]), measured=True)
    there = replace(there, layers=(better, *there.layers[1:]))
    write_arrays(tmp_path / "t", *there.to_arrays())
    back = TuckerTables.from_arrays(*read_arrays(tmp_path / "t"))
    assert back.to_arrays()[0] == there.to_arrays()[0]
    assert (back.whole, back.recorded) == (there.whole, "a day, a machine")
    for one, other in zip(back.layers, there.layers, strict=True):
        for part in ("name", "shape", "macs", "rank_macs", "pair_macs", "estimated", "measured", "is_head"):
            assert getattr(one, part) == getattr(other, part)
        for part in ("errors", "knots", "drops"):
            np.testing.assert_array_equal(getattr(one, part), getattr(other, part))
        for mine, theirs in zip(one.modes, other.modes, strict=True):
            np.testing.assert_array_equal(mine.values, theirs.values)
            assert mine.shape == theirs.shape
    np.testing.assert_array_equal(back.predicted, there.predicted)


def test_a_pair_that_saves_nothing_is_dense_and_loses_nothing():
    found = layer()
    assert [found.saves(pair) for pair in ((1, 1), (3, 2), (3, 3), (2, 3), (4, 3))] == [True, True, False, True, False]
    assert found.params_saved_at((3, 2)) == 48 - (24 + 12 + 6)
    assert found.macs_saved_at((3, 2)) == 1080 - (3 * 40 + 2 * 60 + 6 * 90)
    for told in (found.params_saved_at, found.macs_saved_at, found.error_at, found.drop_at):
        assert told((3, 3)) == 0


def test_what_is_lost_is_read_off_the_curve_over_the_error():
    found = layer(knots=np.array([0.3, 0.9]), drops=np.array([0.1, 0.4]))
    for pair in ((1, 1), (2, 1), (2, 3)):
        error = float(found.errors[pair[0] - 1, pair[1] - 1])
        assert found.error_at(pair) == error
        assert found.drop_at(pair) == pytest.approx(np.interp(error, [0, 0.3, 0.9], [0, 0.1, 0.4]))
    assert found.drop_at((1, 1)) == pytest.approx(0.4)


def test_predictions_add_the_layers_drops_and_stop_at_chance():
    two = tables(layer(), replace(layer(), name="other", drops=np.array([0.0, 0.2])))
    assert two.predict({"conv": (1, 1), "other": (1, 1)}) == pytest.approx(0.9 - 0.4 - 0.2)
    assert two.predict({"conv": (4, 3), "other": (1, 1)}) == pytest.approx(0.7)
    assert replace(two, accuracy=0.3).predict({"conv": (1, 1), "other": (4, 3)}) == 0.25
