"""Self-checks know the right answer, the usual wrong ones, and say why."""

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lowrank_kit.checks import InputError
from lowrank_kit.lessons import check_break_even, compare_guess
from lowrank_kit.records import Spectrum

SIZES = st.integers(2, 300)


def matrix(m, n):
    return Spectrum(np.ones(min(m, n)), (m, n), "layer")


class TestBreakEven:
    @given(SIZES, SIZES, st.integers(-5, 310))
    def test_only_the_largest_rank_that_saves_is_right(self, m, n, answer):
        saves = answer >= 0 and answer * (m + n) < m * n
        best = saves and (answer + 1) * (m + n) >= m * n
        assert check_break_even(answer, matrix(m, n), language="en").right == best

    @given(SIZES, SIZES, st.integers(-5, 310))
    def test_both_languages_agree(self, m, n, answer):
        english, japanese = (check_break_even(answer, matrix(m, n), language=lang) for lang in ("en", "ja"))
        assert english.right == japanese.right
        assert "{" not in english.text + japanese.text

    @pytest.mark.parametrize(
        ("answer", "why"),
        [
            (52, "52 it is"),
            (32, "square matrices only"),
            (53, "rounding up"),
            (64, "full rank"),
            (40, "so does rank 41"),
            (60, "more than the matrix's"),
            (0, "from 1 to 64"),
            (65, "from 1 to 64"),
        ],
    )
    def test_says_why(self, answer, why):
        verdict = check_break_even(answer, matrix(64, 288), language="en")
        assert why in verdict.text
        assert bool(verdict) == (answer == 52)

    def test_as_many_numbers_save_nothing(self):
        assert "exactly as many" in check_break_even(32, matrix(64, 64), language="en").text
        assert "exactly as many" in check_break_even(20, matrix(30, 60), language="en").text

    @pytest.mark.parametrize("answer", [3.5, "52", None, True])
    def test_needs_a_whole_number(self, answer):
        with pytest.raises(InputError, match="whole number"):
            check_break_even(answer, matrix(8, 8))


class TestGuess:
    def test_is_a_sentence(self):
        text = "✗ Your guess: 100 directions. The answer: 9. That is 91 too many."
        assert repr(compare_guess(100, 9, unit="directions", language="en")) == text
        assert repr(compare_guess(100, 9, unit="directions", language="ja")) == "✗ 予想 100、答え 9。91だけ多すぎます。"

    def test_language_comes_from_the_environment(self, monkeypatch):
        monkeypatch.setenv("LOWRANK_KIT_LANG", "ja")
        assert compare_guess(9, 9).text.endswith("ぴったりです。")

    @pytest.mark.parametrize(("guess", "right"), [(0.97, True), (0.96, False), (1.0, True), (0.989, True)])
    def test_shares_are_right_within_two_points(self, guess, right):
        assert compare_guess(guess, 0.989, unit="%").right == right

    @pytest.mark.parametrize(("guess", "right"), [(100, True), (110, True), (111, False), (90, True), (89, False)])
    def test_numbers_are_right_within_a_tenth(self, guess, right):
        assert compare_guess(guess, 100).right == right

    @given(st.floats(0, 1), st.floats(0, 1))
    def test_exact_only_where_the_written_numbers_are_equal(self, guess, truth):
        verdict = compare_guess(guess, truth, unit="%", language="en")
        shown = re.findall(r"([\d.]+)%", verdict.text)
        assert ("Spot on" in verdict.text) == (shown[0] == shown[1])

    def test_percent_is_a_fraction(self):
        with pytest.raises(InputError, match=r"Write 0\.9 for 90%"):
            compare_guess(90, 0.99, unit="%")

    @pytest.mark.parametrize("guess", [None, "nine", True, float("nan"), float("inf")])
    def test_needs_a_number(self, guess):
        with pytest.raises(InputError, match="must be a number"):
            compare_guess(guess, 9)
