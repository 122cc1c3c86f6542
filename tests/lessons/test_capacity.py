"""The self-check of the capacity exercise on curves made by hand."""

import numpy as np
import pytest

from lowrank_kit.checks import InputError
from lowrank_kit.lessons import check_capacity
from lowrank_kit.records import RankCurve, Spectrum

N = 1000
# Images lost at rank 1, 2, ..., 20 of those seen in training, and of the others.
SEEN = [900, 700, 400, 200, 90, 40, 9, 8, 5, 3, *[0] * 10]
UNSEEN = [900, 700, 400, 200, 90, 60, 30, 20, 5, *[0] * 11]


def curve(lost, ranks=None):
    labels = np.zeros(N, dtype=int)
    predictions = np.array([np.arange(N) < n for n in lost], dtype=int)
    return RankCurve("fc", (20, 30), np.arange(1, 21) if ranks is None else ranks, labels, labels, predictions)


# 90 % of the energy lies in the first 15 of 20 directions; factors are smaller up to rank 11.
SPECTRUM = Spectrum(np.sqrt(np.append(np.full(15, 6.1), np.full(5, 2.0))), (20, 30), "fc")


@pytest.fixture
def check():
    return lambda answer, **options: check_capacity(
        answer, curve(SEEN), curve(UNSEEN), SPECTRUM, **{"language": "en", **options}
    )


def test_the_slips_are_different_ranks():
    assert (SPECTRUM.rank_for_energy(0.9), SPECTRUM.break_even_rank) == (15, 11)
    assert (curve(SEEN).capacity(0.01), curve(UNSEEN).capacity(0.01), curve(SEEN).capacity(0.1)) == (7, 9, 5)


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (7, "rank 7 recalls 99.1% of the training images, within 1 points of 100.0%; rank 6 recalls only 96.0%"),
        (15, "keeps 90% of the energy and recalls 100.0%"),
        (9, "column of unseen images: 99.5% at rank 9"),
        (5, "Points are hundredths: 100.0% less 1 points is 99.0%"),
        (6, "Rank 6 recalls only 96.0%; 99.0% is needed"),
        (8, "a smaller rank is enough too"),
        (20, "a smaller rank is enough too"),
        (0, "from 1 to 20"),
        (21, "from 1 to 20"),
    ],
)
def test_says_why(check, answer, why):
    verdict = check(answer)
    assert why in verdict.text
    assert bool(verdict) == (answer == 7)


def test_break_even_and_a_loss_of_nothing_are_told_apart(check):
    assert "where saving begins" in check(11).text
    other = Spectrum(SPECTRUM.values, (20, 40), "fc")
    verdict = check_capacity(11, curve(SEEN), curve(UNSEEN), other, language="en")
    assert "the first that loses nothing at all" in verdict.text


def test_only_the_smallest_rank_that_is_enough_is_right(check):
    assert [answer for answer in range(-2, 25) if check(answer)] == [7]
    assert [answer for answer in range(-2, 25) if check(answer, tolerance=0.05)] == [6]


def test_a_single_direction_may_be_enough():
    easy = curve([0] * 20)
    assert "1 it is" in check_capacity(1, easy, easy, SPECTRUM, language="en").text


@pytest.mark.parametrize("answer", range(-1, 23))
def test_both_languages_agree(check, answer):
    english, japanese = check(answer), check(answer, language="ja")
    assert english.right == japanese.right
    assert "{" not in english.text + japanese.text


@pytest.mark.parametrize("answer", [3.5, "7", None, True])
def test_needs_a_whole_number(check, answer):
    with pytest.raises(InputError, match="whole number"):
        check(answer)


def test_needs_every_rank():
    few = curve(SEEN[:3], ranks=np.array([1, 2, 4]))
    with pytest.raises(InputError, match="every rank from 1 to 20"):
        check_capacity(7, few, curve(UNSEEN), SPECTRUM)
