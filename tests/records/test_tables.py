"""What the tables say of a network equals what the really compressed network is; arrays carry them there and back."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from lowrank_kit.files import read_arrays, write_arrays
from lowrank_kit.measurement.cost import layer_params, macs, n_params
from lowrank_kit.measurement.measure import measure
from lowrank_kit.methods.prediction import tabulate
from lowrank_kit.models.inventory import weights_hash
from lowrank_kit.models.surgery import Factorisation
from lowrank_kit.records import LayerTable, RankTables


@pytest.fixture
def grouped():
    """Groups, a layer that no rank makes smaller, a computed weight and attention; inputs (n, 3, 9, 10)."""
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, stride=2),
        nn.Conv2d(8, 16, 3, padding=1, groups=2),
        nn.Conv2d(16, 16, 3, padding=1, groups=16),
        nn.Flatten(2),
        nn.utils.parametrizations.weight_norm(nn.Linear(16, 16)),
        nn.TransformerEncoderLayer(16, 2, 32, batch_first=True),
        nn.Flatten(),
        nn.Linear(256, 4),
    ).eval()


@pytest.fixture(params=["mlp", "cnn", "residual", "digits", "grouped"])
def network(request, split):
    """A network with its data, and its tables from spectra alone."""
    if request.param == "digits":
        return request.getfixturevalue("digits")
    examples = request.getfixturevalue("vectors" if request.param == "mlp" else "images")
    return request.getfixturevalue(request.param), split(examples)


def tabulated(model, data):
    return tabulate(Factorisation(model), data, measure(model, data, latency_budget_s=0))


def table(drop, *, rank=3, shape=(3, 30), **kwargs):
    return LayerTable("fc", shape, 180, 70, np.arange(rank, 0, -1.0), np.array(drop), np.ones(rank, bool), **kwargs)


def tables(*layers, accuracy=0.9, **kwargs):
    return RankTables("net", "sha256:0", "sha256:1", layers, 1000, 900, 5000, 4, accuracy, 50, **kwargs)


def test_costs_equal_those_of_the_compressed_network(network, rng):
    model, data = network
    factorisation = Factorisation(model)
    found = tabulated(model, data)
    for _ in range(12):
        ranks = {t.name: int(rng.integers(1, t.full_rank + 1)) for t in found.layers}
        small = factorisation.compress(found.plan(ranks))
        # The 16 scales of a weight norm go with it, which the tables leave out.
        gone = 16 * (str(model).count("WeightNorm") - str(small).count("WeightNorm"))
        assert found.n_params_at(ranks) == n_params(small) + gone
        assert found.macs_at(ranks) == macs(small, data.test.x)


def test_full_rank_costs_what_dense_costs(network):
    found = tabulated(*network)
    full = {t.name: t.full_rank for t in found.layers}
    assert found.n_params_at(full) == found.n_params == n_params(network[0])
    assert found.macs_at(full) == found.macs == macs(network[0], network[1].test.x)
    assert found.predict(full) == found.accuracy


def test_tables_name_the_weights_and_the_data_they_belong_to(network):
    model, data = network
    found = tabulated(model, data)
    assert (found.weights, found.data, found.recorded) == (weights_hash(model), data.fingerprint, "")
    assert found.layer_params == layer_params(model) <= found.n_params


def test_arrays_there_and_back(network, tmp_path):
    there = replace(tabulated(*network), recorded="a day, a machine", predicted=np.ones(3), observed=np.zeros(3))
    write_arrays(tmp_path / "t", *there.to_arrays())
    back = RankTables.from_arrays(*read_arrays(tmp_path / "t"))
    assert back.to_arrays()[0] == there.to_arrays()[0]
    assert (back.data, back.layer_params, back.recorded) == (there.data, there.layer_params, "a day, a machine")
    for one, other in zip(back.layers, there.layers, strict=True):
        for part in ("name", "shape", "macs", "rank_macs", "groups", "is_head"):
            assert getattr(one, part) == getattr(other, part)
        assert one.measured.dtype == bool
        for part in ("values", "drop", "measured"):
            np.testing.assert_array_equal(getattr(one, part), getattr(other, part))
    np.testing.assert_array_equal(back.predicted, there.predicted)
    np.testing.assert_array_equal(back.observed, there.observed)


def test_a_rank_that_saves_nothing_is_dense_and_loses_nothing():
    layer = table([0.5, 0.25, 0.0])
    assert layer.break_even_rank == 2
    assert [layer.saves(r) for r in (1, 2, 3)] == [True, True, False]
    assert [layer.params_saved_at(r) for r in (1, 2, 3)] == [90 - 33, 90 - 66, 0]
    assert [replace(layer, groups=4).params_saved_at(r) for r in (1, 2, 3)] == [4 * 57, 4 * 24, 0]
    assert [layer.macs_saved_at(r) for r in (1, 2, 3)] == [180 - 70, 180 - 140, 0]
    assert [layer.drop_at(r) for r in (1, 2, 3)] == [0.5, 0.25, 0.0]
    assert replace(layer, shape=(3, 3), drop=np.full(3, 0.7)).drop_at(3) == 0


def test_predictions_add_the_layers_drops_and_stop_at_chance_and_at_one():
    two = tables(table([0.3, 0.1, 0]), replace(table([0.2, -0.5, 0]), name="head"))
    assert two.predict({"fc": 1, "head": 1}) == pytest.approx(0.4)
    assert two.predict({"fc": 2, "head": 3}) == pytest.approx(0.8)
    assert two.predict({"fc": 3, "head": 2}) == 1
    assert replace(two, accuracy=0.5).predict({"fc": 1, "head": 1}) == 0.25


def test_a_network_worse_than_chance_is_predicted_no_better_than_it_is():
    assert tables(table([0.1, 0, 0]), accuracy=0.2).predict({"fc": 1}) == 0.2


@pytest.mark.parametrize("n", [0, 1, 14])
def test_prediction_error_is_unknown_until_fifteen_plans_were_tried(n):
    few = tables(table([0.1, 0, 0]), predicted=np.full(n, 0.9), observed=np.full(n, 0.8))
    assert few.prediction_error(0.9) is None
    enough = replace(few, predicted=np.full(15, 0.9), observed=np.full(15, 0.8))
    assert enough.prediction_error(0.1) == pytest.approx(0.1)


def test_prediction_error_is_that_of_plans_predicted_alike():
    predicted = np.concatenate([np.full(15, 0.9), np.full(15, 0.3)])
    observed = predicted + np.concatenate([np.full(15, 0.01), np.full(15, -0.2)])
    tried = tables(table([0.1, 0, 0]), predicted=predicted, observed=observed)
    assert tried.prediction_error(0.95) == pytest.approx(0.01)
    assert tried.prediction_error(0.2) == pytest.approx(0.2)
    errors = np.arange(1, 16) / 100
    assert replace(tried, predicted=np.zeros(15), observed=errors).prediction_error(0) == pytest.approx(0.136)
