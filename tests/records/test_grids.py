"""Curves count what is right; grids hold a cell for every row and column."""

import numpy as np
import pytest

from lowrank_kit.checks import InputError
from lowrank_kit.records import Change, Grid, JointSearch, RankCurve, SearchStep

LABELS = np.array([0, 0, 0, 0, 4, 4])


@pytest.fixture
def curve():
    """Right: all six when dense; two, four, five and five of six at ranks 1, 2, 4 and 7."""
    wrong = [[0, 1, 2, 4], [0, 5], [3], [5]]
    predictions = np.tile(LABELS, (4, 1))
    for row, these in zip(predictions, wrong, strict=True):
        row[these] = 9
    return RankCurve("fc", (8, 12), np.array([1, 2, 4, 7]), LABELS, LABELS.copy(), predictions)


def test_accuracy_counts_what_is_right(curve):
    assert curve.n_examples == 6 and curve.dense_accuracy == 1
    assert np.allclose(curve.accuracy, [2 / 6, 4 / 6, 5 / 6, 5 / 6])
    assert curve.at(2) == pytest.approx(4 / 6)


@pytest.mark.parametrize(
    ("rank", "expected"), [(1, (1 / 4, 1 / 2)), (2, (3 / 4, 1 / 2)), (4, (3 / 4, 1)), (7, (1, 1 / 2))]
)
def test_accuracy_is_told_for_each_class(curve, rank, expected):
    assert curve.classes.tolist() == [0, 4]
    assert curve.class_accuracy(rank) == pytest.approx(expected)


def test_change_is_paired_with_the_whole_network(curve):
    right = curve.predictions[1] == LABELS
    assert curve.change(2) == Change.between(right, np.ones(6, dtype=bool))
    assert curve.change(2).value == pytest.approx(-2 / 6)


def test_some_of_the_examples_may_be_taken(curve):
    fours = curve.take(LABELS == 4)
    assert fours.n_examples == 2 and fours.at(1) == 0.5 and fours.change(4).value == 0


@pytest.mark.parametrize(("tolerance", "rank"), [(1, 1), (0.34, 2), (1 / 3, 2), (0.33, 4), (1 / 6, 4)])
def test_capacity_is_the_smallest_rank_within_the_tolerance(curve, tolerance, rank):
    assert curve.capacity(tolerance) == rank


def test_capacity_says_that_no_rank_is_enough(curve):
    with pytest.raises(InputError, match=r"at most 10.0%; rank 7 of fc still loses 16.7%. Add larger ranks"):
        curve.capacity(0.1)


def test_only_ranks_of_the_curve_are_known(curve):
    with pytest.raises(InputError, match="one of the curve's, 1, 2, 4, 7; got 3"):
        curve.at(3)


@pytest.mark.parametrize(("values", "notes"), [((2, 2), None), ((2, 3), (3, 2)), ((3, 2), (2, 3))])
def test_a_grid_has_a_cell_for_every_row_and_column(values, notes):
    notes = None if notes is None else np.full(notes, "", dtype=object)
    with pytest.raises(InputError, match="must be 2 x 3"):
        Grid("change", "layer", ("a", "b"), "fraction", ("x", "y", "z"), np.zeros(values), 10, notes)


def test_a_search_begins_with_each_layer_alone_and_ends_with_its_best():
    steps = SearchStep({"a": 1}, 20, 0.5), SearchStep({"a": 3}, 60, 1.0), SearchStep({"a": 2}, 40, 1.0, "a")
    search = JointSearch(steps, 0.01, 1.0, 96, 50)
    assert search.alone.ranks == {"a": 1} and search.best.stored == 40
