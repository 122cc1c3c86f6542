"""The self-check of the counting exercise: the right sum, the usual wrong ones, and a table wrong throughout."""

from math import prod

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lowrank_kit.checks import InputError
from lowrank_kit.lessons import LENET5, LENET5_TABLE, check_count
from lowrank_kit.models.factored import factored_layer

RANKS = {"conv1": 9, "conv2": 16, "fc1": 28}
TUCKER = {"conv1": (32, 1, 5, 5), "conv2": (64, 32, 3, 3), "fc": (10, 576)}
PAIRS = {"conv1": (4, 1), "conv2": (12, 8), "fc": 5}


def check(answer, shapes=LENET5, ranks=RANKS, language="en"):
    return check_count(answer, shapes, ranks, language=language)


def test_the_network_is_as_large_as_the_table_says():
    assert sum(map(prod, LENET5.values())) == 430_500


@pytest.mark.parametrize("row", LENET5_TABLE, ids=lambda row: str(row.tolerance))
def test_the_table_leaves_out_a_factor_in_every_row(row):
    verdict = check(row.counted, ranks=row.ranks)
    assert not verdict and "is what the table states" in verdict.text


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (50_605, "9 x (20 + 25) + 16 x (50 + 500) + 28 x (500 + 800) + 5,000. That removes 88.2% of 430,500"),
        (430_500, "dense network"),
        (20_033, "is what the table states"),
        (19_980, "outputs x rank"),
        (35_625, "inputs x rank"),
        (51_726, "core of rank x rank"),
        (51_185, "biases"),
        (45_605, "what is not factored, fc2: it is stored all the same, 5,000 numbers in fc2"),
        (50_200, "leaves out the first layer: conv1 stores 9 x (20 + 25)"),
        (50_700, "counts the first layer whole"),
        (50_606, "too many. conv1, for one, stores 9 x (20 + 25)"),
        (50_604, "too few"),
        (-3, "too few"),
    ],
)
def test_says_why(answer, why):
    verdict = check(answer)
    assert why in verdict.text
    assert bool(verdict) == (answer == 50_605)


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (5_047, "4 x 1 x 25 + 32 x 4 + 1 x 1 + 12 x 8 x 9 + 64 x 12 + 32 x 8 + 5 x (10 + 576)"),
        (4_083, "leaves out the core: conv1 stores 4 x 1 x 25"),
        (4_818, "leaves out the first layer: conv1 stores 4 x 1 x 25 + 32 x 4 + 1 x 1"),
        (2_117, "leaves out the last layer: fc stores 5 x (10 + 576)"),
    ],
)
def test_tucker_form_has_a_core(answer, why):
    assert why in check(answer, TUCKER, PAIRS).text


def test_counts_what_a_layer_in_factored_form_stores():
    from torch import nn

    for ranks in ((5, 3), (16, 8)):
        layer = factored_layer(nn.Conv2d(16, 24, 3), ranks)
        assert check_count(layer.n_factored(ranks), {"conv": (24, 16, 3, 3)}, {"conv": ranks})


@given(st.integers(-10, 500_000))
def test_only_one_number_is_right_and_both_languages_agree(answer):
    english, japanese = check(answer), check(answer, language="ja")
    assert english.right == japanese.right == (answer == 50_605)
    assert "{" not in english.text + japanese.text


@pytest.mark.parametrize("ranks", [RANKS, {"conv2": 3, "fc2": 4}])
def test_no_slip_is_right_by_accident(ranks):
    """Where nothing is whole, or the first layer is, a way of counting may be no mistake."""
    right = sum(r * sum(LENET5[n]) for n, r in ranks.items()) + sum(prod(LENET5[n]) for n in LENET5 if n not in ranks)
    assert check(right, ranks=ranks)


@pytest.mark.parametrize("answer", [3.5, "50605", None, True, 0.95])
def test_needs_a_whole_number(answer):
    with pytest.raises(InputError, match="whole number"):
        check(answer)


@pytest.mark.parametrize("ranks", [{}, {"conv9": 3}])
def test_needs_ranks_of_its_layers(ranks):
    with pytest.raises(InputError, match="at least one; got"):
        check(1, ranks=ranks)
