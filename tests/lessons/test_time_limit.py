"""The self-check tells the rank at which time breaks even from that at which multiply-adds do."""

import numpy as np
import pytest

from lowrank_kit.checks import InputError
from lowrank_kit.lessons import check_time_limit
from lowrank_kit.records import Layer, LayerOutlook, LayerShape

# A square layer breaks even at half its rank; the clock turns between ranks 24 and 28.
LAYER = Layer("net", "fc", LayerShape(64, 64))


def outlook(timed=(8, 16, 24, 28, 40), seconds=(0.25, 0.5, 0.9, 1.1, 1.6), dense=(1.0, 0.9, 1.1)):
    ranks = np.arange(1, 64)
    cut = np.array(timed, dtype=int) - 1
    medians = np.array(seconds, dtype=float)
    return LayerOutlook(
        LAYER, "svd", {}, ranks[:, None], macs=128.0 * ranks, moved=1.0 * ranks, bound_s=1.0 * ranks,
        costs=np.ones((63, 7)), verdicts=("faster",) * 63, dense_macs=4096.0, dense_moved=1.0, dense_bound_s=1.0,
        dense_costs=np.ones(7), timed=cut, medians=medians, lows=medians, highs=medians, dense_timed=dense,
    )  # fmt: skip


@pytest.mark.parametrize("answer", [24, 25, 27])
def test_the_last_that_was_faster_is_right_and_so_are_untimed_ones_behind_it(answer):
    verdict = check_time_limit(answer, outlook(), language="en")
    assert verdict.right
    assert verdict.text == (
        f"{answer} it is: at rank 24 it was still faster than dense, at rank 28 no longer. "
        "Multiply-adds would break even only at rank 31."
    )


EVEN = "At rank 31 the multiply-adds break even. The clock turns earlier: at rank 28, with 1.14 times fewer of them,"


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (31, EVEN),
        (33, EVEN),
        (15, "Rank 16 was faster, 2.00 times. But so were larger ones."),
        (1, "Rank 8 was faster, 4.00 times."),
        (28, "At rank 28 the pair ran at 0.91 times the speed of the dense layer: slower, with 1.14 times fewer"),
        (60, "At rank 40 the pair ran at 0.62 times the speed"),
    ],
)
def test_slips_are_told_apart(answer, said):
    verdict = check_time_limit(answer, outlook(), language="en")
    assert not verdict.right
    assert verdict.text.startswith(said)


def test_it_speaks_japanese():
    assert "正解は24です" in check_time_limit(24, outlook(), language="ja").text
    assert all("ランク" in check_time_limit(answer, outlook(), language="ja").text for answer in (1, 24, 31, 60))


def test_where_nothing_was_faster_zero_is_right():
    found = outlook(timed=(8, 16), seconds=(1.5, 2.0))
    assert check_time_limit(0, found, language="en").right
    assert check_time_limit(7, found, language="en").right
    assert not check_time_limit(8, found, language="en").right


def test_where_all_were_faster_any_rank_behind_the_last_is_right():
    found = outlook(timed=(8, 16), seconds=(0.2, 0.4))
    assert not check_time_limit(15, found, language="en").right
    assert check_time_limit(63, found, language="en").right


@pytest.mark.parametrize("answer", [24.0, True, "24", None])
def test_answers_are_whole_numbers(answer):
    with pytest.raises(InputError, match=r"`answer` must be a whole number; got "):
        check_time_limit(answer, outlook())


def test_a_layer_that_was_not_timed():
    with pytest.raises(InputError, match=r"`outlook` must be of a layer that was timed; fc was not\."):
        check_time_limit(24, outlook((), ()))
    with pytest.raises(InputError, match="fc was not"):
        check_time_limit(24, outlook(dense=None))
