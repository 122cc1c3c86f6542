"""The exercise on how wide a network must be for half of its directions to rest."""

import pytest

from lowrank_kit.checks import InputError
from lowrank_kit.lessons import check_room


@pytest.mark.parametrize("rank", [1, 3, 5])
def test_four_times_the_rank_is_right_and_nothing_else(rank):
    assert [width for width in range(1, 8 * rank) if check_room(width, rank, language="en").right] == [4 * rank]


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (20, "20 it is: 2 x 5 = 10 directions move, and the 10 others are half of 20. At width 19 only 9 rest."),
        (10, "At width 10 the 2 x 5 = 10 directions that move are all there are"),
        (3, "At width 3 the 2 x 5 = 10 directions that move are all there are"),
        (15, "At width 15 only 5 rest, fewer than half of 15, 7.5"),
        (30, "At width 30 20 rest, which is more than half."),
    ],
)
def test_slips_are_told_apart(answer, said):
    assert check_room(answer, 5, language="en").text.startswith(said)


def test_it_speaks_japanese():
    assert all("幅" in check_room(answer, 5, language="ja").text for answer in (3, 15, 20, 30))


@pytest.mark.parametrize("answer", [True, 2.0, "20"])
def test_answers_are_whole_numbers(answer):
    with pytest.raises(InputError, match="`answer` must be a whole number"):
        check_room(answer, 5)
