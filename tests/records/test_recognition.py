"""Figures of recognition against their definitions, their intervals against a plain bootstrap."""

from dataclasses import replace

import numpy as np
import pytest

from lowrank_kit.checks import InputError
from lowrank_kit.records import Change, Recognition


def recognition(known, unknown, correct=None, label="net"):
    known, unknown = np.asarray(known, dtype=float), np.asarray(unknown, dtype=float)
    right = np.ones(len(known), dtype=bool) if correct is None else np.asarray(correct)
    return Recognition(label, "max softmax", known, unknown, right)


@pytest.fixture
def scores(rng):
    return recognition(rng.normal(1.5, 1, 300), rng.normal(0, 1, 60))


def test_auroc_by_hand():
    # Of the four pairs the known one is surer in two and equal in one.
    assert recognition([1, 3], [1, 2]).auroc == pytest.approx(2.5 / 4)


def test_auroc_is_the_chance_of_a_pair_in_order(scores):
    pairs = [k > u for k in scores.known for u in scores.unknown]
    assert scores.auroc == pytest.approx(np.mean(pairs), abs=1e-9)


def test_rejected_counts_the_unknown_below_the_threshold():
    known = np.arange(100)  # 95 of them are at least 5
    assert recognition(known, [4.9, 5, 50, -1]).rejected == 0.5


def test_accuracy_is_of_the_known():
    assert recognition([1, 1, 1, 1], [0], [True, False, True, True]).accuracy == 0.75


def test_nothing_can_be_told_from_equal_scores():
    same = recognition(np.ones(40), np.ones(10))
    assert (same.auroc, same.rejected) == (0.5, 0)


@pytest.mark.parametrize("figure", ["auroc", "rejected"])
def test_intervals_are_those_of_a_bootstrap(scores, rng, figure):
    found = []
    for _ in range(500):
        known, unknown = (rng.choice(part, len(part)) for part in (scores.known, scores.unknown))
        found.append(getattr(recognition(known, unknown), figure))
    low, high = scores.interval(figure)
    assert low < getattr(scores, figure) < high
    assert (low, high) == pytest.approx(np.quantile(found, [0.025, 0.975]), abs=0.04)
    assert scores.interval(figure) == (low, high)


@pytest.mark.parametrize("figure", ["auroc", "rejected"])
def test_a_change_is_paired(scores, rng, figure):
    """Noise that both share falls out of the difference: its interval is narrower than either's own."""
    shifted = recognition(scores.known + 0.01 * rng.standard_normal(300), scores.unknown)
    change = shifted.change(scores, figure)
    low, high = scores.interval(figure)
    assert change.low <= change.value <= change.high
    assert change.high - change.low < 0.5 * (high - low)
    assert change.n_examples == (360 if figure == "auroc" else 60)


def test_the_change_in_accuracy_is_that_of_the_known_examples():
    before, after = (recognition([1, 2, 3, 4], [0], right) for right in ([1, 1, 1, 1], [1, 0, 1, 0]))
    before, after = (replace(r, correct=r.correct.astype(bool)) for r in (before, after))
    assert after.change(before, "accuracy") == Change.between(after.correct, before.correct)


def test_no_change_against_itself(scores):
    change = scores.change(scores, "auroc")
    assert (change.value, change.low, change.high) == (0, 0, 0)


def test_a_change_needs_the_same_examples(scores):
    with pytest.raises(InputError, match=r"\(300, 60\) and \(2, 1\)"):
        scores.change(recognition([1, 2], [0]), "auroc")


def test_says_what_it_holds():
    text = repr(recognition(np.arange(100), [0, 1, 2, 99]))
    assert text == (
        "Recognition(net: accuracy 100.0% on 100 known; AUROC 74.0%, 75% of 4 unknown rejected, by max softmax)"
    )
