"""Every sentence holds the rule, the limit, the value and what would work; everything valid passes."""

import re

import numpy as np
import pytest

from lowrank_kit.checks import (
    InputError,
    check_finite,
    check_fraction,
    check_labels,
    check_matrix,
    check_name,
    check_positive,
    check_rank,
)


@pytest.mark.parametrize("rank", [0, -1, 65, 3.0, True, "3", None, float("nan")])
def test_rank_out_of_range_names_rule_limit_and_value(rank):
    with pytest.raises(InputError) as told:
        check_rank(rank, (128, 64), name="rank of fc1")
    for words in ("`rank of fc1`", "whole number between 1 and min(m, n) = 64", "128 x 64", f"got {rank!r}"):
        assert words in str(told.value)


@pytest.mark.parametrize("rank", [1, 64, np.int64(64)])
def test_rank_in_range_passes(rank):
    check_rank(rank, (128, 64))


@pytest.mark.parametrize("value", [0, -0.1, 1.0001, float("nan"), float("inf"), "0.5", None])
def test_fraction_out_of_range(value):
    with pytest.raises(InputError, match=r"`budget` must be a fraction above 0 and at most 1; got"):
        check_fraction(value, name="budget")


def test_percent_gets_a_hint_and_a_negative_fraction_does_not():
    with pytest.raises(InputError, match=r"got 50\. Write 0\.5 for 50 %"):
        check_fraction(50, name="budget")
    with pytest.raises(InputError) as told:
        check_fraction(-0.5, name="budget")
    assert "%" not in str(told.value)


@pytest.mark.parametrize("value", [1, 1.0, 1e-9, np.float32(0.5)])
def test_fraction_in_range_passes(value):
    check_fraction(value, name="budget")


def test_unknown_name_lists_what_works_and_the_closest():
    with pytest.raises(InputError, match=r"`rule` must be one of 'energy', 'uniform'; got 'enrgy'.*mean 'energy'"):
        check_name("enrgy", ("energy", "uniform"), name="rule")
    check_name("energy", iter(["energy"]), name="rule")


def test_where_no_name_would_work_the_sentence_says_so():
    with pytest.raises(InputError, match=r"`layer` must be one there is, but there is none; got 'fc'\.$"):
        check_name("fc", [], name="layer")


@pytest.mark.parametrize("shape", [(0, 3), (3, 0), (3,), (2, 2, 2), ()])
def test_no_matrix(shape):
    with pytest.raises(InputError, match="non-empty matrix with two dimensions"):
        check_matrix(np.ones(shape), name="W")


@pytest.mark.parametrize("bad", [(np.nan,), (np.inf,), (-np.inf,), (np.inf, -np.inf), (np.nan, np.inf)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_values_that_are_not_finite_are_counted(bad, dtype):
    values = np.zeros((4, 5), dtype)
    values.flat[: len(bad)] = bad
    with pytest.raises(InputError, match=f"`W`.*{len(bad)} of its 20 are NaN or infinite"):
        check_finite(values, name="W")


def test_finite_values_whose_sum_overflows_pass():
    check_finite(np.full(9, 1e308), name="W")
    check_finite(np.full(9, 3e38, np.float32), name="W")


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        (np.empty(0, int), "at least one example"),
        (np.array([0.0, 1.0]), "whole numbers in one dimension; got float64"),
        (np.array([True, False]), "got bool"),
        (np.zeros((3, 2), int), r"shape \(3, 2\)"),
        (np.array([0, 4]), "between 0 and 3, the classes of the model's output; got labels from 0 to 4"),
        (np.array([-1, 2]), "from -1 to 2"),
    ],
)
def test_labels_that_fit_no_class(labels, words):
    with pytest.raises(InputError, match=words):
        check_labels(labels, 4)


@pytest.mark.parametrize("dtype", [np.uint8, np.int32, np.int64])
def test_labels_of_any_whole_type_pass(dtype):
    check_labels(np.array([0, 3], dtype), 4)


@pytest.mark.parametrize("value", [0, -1.0, float("nan"), float("inf"), 1e7, True, "2", None])
def test_what_is_not_positive_or_too_large_is_refused(value):
    with pytest.raises(
        InputError, match=re.escape(f"`rate` must be a number above 0 and at most 1e+06; got {value!r}.")
    ):
        check_positive(value, 1e6, name="rate")


@pytest.mark.parametrize("value", [1e-9, 1, 0.5, 1e6])
def test_positive_numbers_pass(value):
    check_positive(value, 1e6, name="rate")
