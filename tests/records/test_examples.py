"""Labelled inputs and their splits."""

import numpy as np
import pytest

from lowrank_kit.checks import InputError
from lowrank_kit.records import Data, Examples


def labelled(counts):
    y = np.repeat(np.arange(len(counts)), counts)
    return Examples(np.arange(len(y)), y)


@pytest.mark.parametrize("n", [1, 7, 30, 59])
@pytest.mark.parametrize("counts", [(20, 20, 20), (50, 9, 1), (60,)])
def test_stratified_parts_are_everything_once_in_the_classes_shares(n, counts):
    whole = labelled(counts)
    part, rest = whole.stratified(n, seed=3)
    assert (len(part), len(rest)) == (n, 60 - n)
    np.testing.assert_array_equal(np.sort(np.concatenate([part.x, rest.x])), whole.x)
    for label, count in enumerate(counts):
        assert abs(np.count_nonzero(part.y == label) - n * count / 60) <= 1.5


def test_stratified_is_reproducible_and_its_seed_matters():
    whole = labelled((30, 30))
    first, again, other = (whole.stratified(20, seed=seed)[0].x for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize("n", [0, 6, -1])
def test_a_split_needs_two_parts(n):
    with pytest.raises(InputError, match=f"`n` must be between 1 and 5 to split 6 examples in two; got {n}"):
        labelled((3, 3)).stratified(n)


@pytest.mark.parametrize(
    ("x", "y", "words"),
    [
        (np.ones((3, 2)), np.zeros(2, int), "one label an input; got 3 inputs and 2 labels"),
        (np.ones((0, 2)), np.zeros(0, int), "at least one example; got none"),
        (np.ones((3, 2)), np.eye(3), r"one label an input, a class number; got labels of shape \(3, 3\).*argmax"),
    ],
)
def test_examples_without_one_label_each(x, y, words):
    with pytest.raises(InputError, match=words):
        Examples(x, y)


def test_take_keeps_pairs_together():
    part = labelled((3, 3)).take(np.array([5, 0]))
    assert (part.x.tolist(), part.y.tolist()) == ([5, 0], [1, 0])


def test_the_fingerprint_is_of_what_the_model_is_judged_on():
    whole = labelled((4, 4))
    part, rest = whole.take(slice(0, 3)), whole.take(slice(3, 8))
    found = Data("mine", part, rest)
    assert found.fingerprint.startswith("sha256:")
    assert len(found.fingerprint) == len("sha256:") + 64
    backwards = Examples(part.x[::-1].copy()[::-1], part.y)  # the same values, laid out otherwise
    for same in (Data("yours", part, rest), Data("mine", part, rest, train=whole), Data("mine", backwards, rest)):
        assert same.fingerprint == found.fingerprint
    others = (
        Data("mine", rest, part),
        Data("mine", Examples(part.x + 1, part.y), rest),
        Data("mine", Examples(part.x, part.y + 1), rest),
        Data("mine", part, Examples(rest.x + 1, rest.y)),
        Data("mine", part, Examples(rest.x, rest.y + 1)),
        Data("mine", part, Examples(rest.x.astype(np.float64), rest.y)),
        Data("mine", Examples(part.x[:, None], part.y), rest),
    )
    assert len({found.fingerprint, *(other.fingerprint for other in others)}) == 8


def test_repr_tells_the_sizes():
    two, three = labelled((2,)), labelled((3,))
    assert repr(Data("mine", two, three)) == "Data(mine: 2 validation, 3 test)"
    assert repr(Data("mine", two, three, three)) == "Data(mine: 3 train, 2 validation, 3 test)"
