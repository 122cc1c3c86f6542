"""What an outlook derives from its numbers, by hand."""

from dataclasses import replace

import numpy as np
import pytest

from lowrank_kit.records import Ceilings, Judgement, Layer, LayerOutlook, LayerShape, NetworkOutlook

ROOF = Ceilings("a device", "float32", "ieee", 1, "2", "today", 4e10, ((1e4, 9e10), (1e8, 2e10)), 3e-6, 4)
NONE = np.empty(0)


def layer_outlook(name="fc", count=1, ranks=(2, 4, 8), scale=1.0):
    """A layer of 10 x 10 that takes a second for each rank, and 8 seconds dense."""
    found, shape = np.array(ranks)[:, None], LayerShape(10, 10)
    costs = np.outer(found[:, 0], [0.5, 0.25, 0.25, 0, 0, 0, 0]) * scale
    verdicts = tuple("faster" if rank < 8 else "compute" for rank in ranks)
    return LayerOutlook(
        Layer("net", name, shape, count), "svd", {"batch": 1}, found, 20.0 * found[:, 0], 30.0 * found[:, 0],
        costs.sum(axis=1) / 4, costs, verdicts, 100.0, 120.0, 2.0, np.array([4, 4, 0, 0, 0, 0, 0]) * scale,
        np.array([1]), np.array([5.0]), np.array([4.0]), np.array([6.0]), (10.0, 9.0, 11.0),
    )  # fmt: skip


@pytest.fixture
def layer():
    return layer_outlook()


@pytest.fixture
def network():
    layers = (layer_outlook("a"), layer_outlook("b", 3, (1, 5, 9), 2.0))
    judged = Judgement(np.ones(4), np.array([1.0, 1.1, 0.8, 1.4]), np.array([0.5, 0.9, 0.1, 0.2]))
    return NetworkOutlook("net", "svd", "2026-01-01", {"device": "a device", "batch": 1}, ROOF, layers, judged)


def test_times_and_savings_are_beside_the_dense_layer(layer):
    assert layer.dense_s == 8
    assert layer.foretold_s.tolist() == [2, 4, 8]
    assert layer.foretold_speedup.tolist() == [4, 2, 1]
    assert layer.measured_speedup.tolist() == [2]
    assert layer.saved_macs.tolist() == [100 / 40, 100 / 80, 100 / 160]
    assert layer.shares.tolist() == [0.2, 0.4, 0.8]


def test_where_dense_was_not_timed_no_speedup_was_measured(layer):
    assert len(replace(layer, dense_timed=None).measured_speedup) == 0


@pytest.mark.parametrize(("share", "index"), [(0, 0), (0.2, 0), (0.3, 0), (0.31, 1), (0.5, 1), (0.61, 2), (1, 2)])
def test_the_rank_nearest_to_a_share_is_found(layer, share, index):
    assert layer.at(share) == index


@pytest.mark.parametrize(("saved", "rank"), [(0.1, 2), (0.4, 2), (0.6, 3), (0.8, 4), (1.2, 6), (2.0, 8)])
def test_a_rank_does_a_share_of_the_multiply_adds(layer, saved, rank):
    assert layer.rank_of(saved) == pytest.approx(rank)


def test_of_two_ranks_the_outputs_tell_the_share(layer):
    shape = LayerShape(20, 10, (3, 3), (4, 4), (4, 4))
    pairs = np.array([[5, 2], [10, 5], [15, 8]])
    found = replace(layer, layer=Layer("net", "conv", shape), method="tucker", ranks=pairs)
    assert found.shares.tolist() == [0.25, 0.5, 0.75]
    assert found.at(0.5) == 1
    assert found.rank_of(0.8) == 10


def test_a_network_takes_each_layer_as_often_as_it_is_there(network):
    assert network.counts.tolist() == [1, 3]
    assert network.dense_s.tolist() == [8, 3 * 16]
    assert network.foretold_s(0.4).tolist() == [4, 3 * 10]
    assert network.foretold_s(0.9).tolist() == [8, 3 * 18]
    assert network.saved_macs(0.4) == pytest.approx(4 * 100 / (80 + 3 * 100))


def test_every_layer_has_its_verdict(network):
    assert network.verdicts(0.4) == ["faster", "faster"]
    assert network.verdicts(0.9) == ["compute", "compute"]


def test_layers_are_found_by_their_names(network):
    assert network["b"] is network.layers[1]
    with pytest.raises(StopIteration):
        network["c"]


def test_a_model_is_judged_by_how_far_9_in_10_were_off(network):
    off = [0.0, 0.1, 0.2, 0.4]
    assert len(network.judged) == 4
    assert network.judged.off == pytest.approx(np.quantile(off, 0.9))
    assert (network.judged.within(), network.judged.within(0.15)) == (0.75, 0.5)
    assert (network.judged.within(bare=True), network.judged.within(0.5, bare=True)) == (0.25, 0.5)


def test_of_nothing_held_out_nothing_is_claimed():
    assert np.isnan(Judgement(NONE, NONE, NONE).off)
    assert len(Judgement(NONE, NONE, NONE)) == 0
