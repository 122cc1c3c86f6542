"""Curves are those of the network that was really cut; grids hold their numbers in the right places."""

from itertools import pairwise

import numpy as np
import pytest

from lowrank_kit.checks import InputError
from lowrank_kit.measurement.quality import logits
from lowrank_kit.methods.curves import class_grid, halving_grid, halvings, rank_curves
from lowrank_kit.models.surgery import Factorisation
from lowrank_kit.records import LayerPlan, RankPlan


@pytest.mark.parametrize("full", [1, 2, 3, 10, 25, 64, 100])
def test_halvings_double_from_one_to_half(full):
    found = halvings(full)
    assert found[0] == 1 and found[-1] == max(-(-full // 2), 1)
    assert all(a < b <= 2 * a for a, b in pairwise(found))


@pytest.mark.parametrize("method", ["svd", "aware"])
def test_a_curve_is_that_of_the_cut_network(mlp, vectors, method):
    factorisation = Factorisation(mlp, vectors)
    curve = rank_curves(factorisation, vectors, {"2": [5, 2, 2]}, method=method)["2"]
    assert curve.ranks.tolist() == [2, 5] and curve.shape == (10, 16) and curve.layer == "2"
    assert np.array_equal(curve.dense, logits(mlp, vectors.x).argmax(axis=1))
    for rank, predicted in zip(curve.ranks.tolist(), curve.predictions, strict=True):
        plan = RankPlan({"2": LayerPlan(rank, method)}, factorisation.weights)
        cut = factorisation.compress(plan, break_even_guard=False)
        assert np.array_equal(predicted, logits(cut, vectors.x).argmax(axis=1))


def test_a_curve_goes_over_the_halvings_by_itself(mlp, vectors):
    found = rank_curves(Factorisation(mlp), vectors)
    assert {name: curve.ranks.tolist() for name, curve in found.items()} == {
        "0": halvings(12),
        "2": halvings(10),
        "4": halvings(4),
    }


def test_unknown_layers_and_ranks_are_refused(mlp, vectors):
    with pytest.raises(InputError, match="`layer` must be one of"):
        rank_curves(Factorisation(mlp), vectors, {"9": [1]})
    with pytest.raises(InputError, match="between 1 and"):
        rank_curves(Factorisation(mlp), vectors, {"2": [11]})


@pytest.fixture
def curves(mlp, vectors):
    return rank_curves(Factorisation(mlp), vectors)


def test_a_grid_of_halvings_has_a_row_for_each_layer(curves):
    grid = halving_grid(curves)
    assert grid.rows == ("0", "2", "4") and grid.columns == ("1/16", "1/8", "1/4", "1/2")
    assert grid.notes.tolist() == [["1", "2", "3", "6"], ["1", "2", "3", "5"], ["", "", "1", "2"]]
    assert np.isnan(grid.values[2, :2]).all() and not np.isnan(grid.values[:2]).any()
    assert grid.values[1, 3] == pytest.approx(curves["2"].at(5) - curves["2"].dense_accuracy)
    assert (grid.measure, grid.trials) == ("change", 60)


def test_an_advantage_is_shown_where_both_were_tried(mlp, vectors, curves):
    aware = rank_curves(Factorisation(mlp, vectors), vectors, {"0": [2, 3], "2": [2, 3]}, method="aware")
    grid = halving_grid(aware, curves)
    assert grid.measure == "advantage" and grid.rows == ("0", "2")
    assert grid.columns == ("1/8", "1/4") and not np.isnan(grid.values).any()
    assert grid.values[1, 1] == pytest.approx(aware["2"].at(3) - curves["2"].at(3))


def test_curves_of_a_grid_are_on_the_same_examples(mlp, vectors, curves):
    few = rank_curves(Factorisation(mlp), vectors.take(slice(0, 30)))["4"]
    with pytest.raises(InputError, match=r"got sizes \[30, 60\]"):
        halving_grid({**curves, "4": few})


def test_a_grid_of_classes_has_a_column_for_each_cut(curves, vectors):
    grid = class_grid(curves, {"2": (3, 2), "0": [1]})
    assert grid.rows == ("0", "1", "2", "3") and grid.columns == ("2\n3", "\n2", "0\n1")
    its = vectors.y == 1
    for column, (name, index) in enumerate([("2", 2), ("2", 1), ("0", 0)]):
        expected = (curves[name].predictions[index] == vectors.y)[its].mean()
        assert grid.values[1, column] == pytest.approx(expected)
    assert grid.trials == min(np.bincount(vectors.y))
