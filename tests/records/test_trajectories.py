"""What was recorded while something was trained, by name, and when it came to rest."""

import json

import numpy as np
import pytest

from lowrank_kit.checks import InputError
from lowrank_kit.files import read_arrays, write_arrays
from lowrank_kit.records import Trajectory

NAN = np.nan
LOSS = np.array([2.0, 1.0, 0.5, 0.5])
ACCURACY = np.array([NAN, 0.5, NAN, 0.75])
# Two layers of two modes, the second of which ends later.
RANKS = np.array([[[8, 4], [6, 6]], [[5, 4], [6, 3]], [[5, 4], [2, 3]], [[5, 4], [2, 3]]], dtype=float)


@pytest.fixture
def found():
    arrays = {"loss": LOSS, "accuracy": ACCURACY, "ranks": RANKS, "never": np.full(4, NAN)}
    return Trajectory(
        "net", np.array([10, 20, 30, 40]), arrays, ("conv", "fc"), {"n_dense": 7, "limits": {"conv": [8, 4]}}
    )


def test_its_length_and_arrays(found):
    assert len(found) == 4 and found["loss"] is LOSS and found["ranks"].shape == (4, 2, 2)
    with pytest.raises(KeyError):
        found["los"]


def test_the_last_entry_is_the_last_that_was_looked_at(found):
    assert (found.last("loss"), found.last("accuracy")) == (0.5, 0.75)
    assert found.last("ranks").tolist() == [[5, 4], [2, 3]]
    earlier = Trajectory("net", found.steps[:3], {"accuracy": ACCURACY[:3]})
    assert earlier.last("accuracy") == 0.5


def test_an_entry_that_is_known_in_part_counts():
    values = np.array([[1.0, 2.0], [3.0, NAN], [NAN, NAN]])
    np.testing.assert_array_equal(Trajectory("net", np.arange(3), {"values": values}).last("values"), [3.0, NAN])


def test_a_plateau_begins_where_nothing_moves_any_more(found):
    assert found.plateau("ranks") == 30
    assert found.plateau("loss") == 30
    assert found.plateau("loss", within=0.5) == 20
    assert found.plateau("loss", within=9) == 10
    assert (found.plateau("ranks", within=3), found.plateau("ranks", within=4)) == (30, 10)


def test_a_plateau_begins_where_it_was_looked_at(found):
    assert found.plateau("accuracy") == 40 and found.plateau("accuracy", within=1) == 20


def test_a_plateau_that_is_broken_begins_anew():
    assert Trajectory("net", np.arange(5), {"rank": np.array([3.0, 2, 3, 2, 2])}).plateau("rank") == 3


def test_what_was_never_looked_at_is_told(found):
    for ask in (found.last, found.plateau):
        for name in ("never", "unknown"):
            with pytest.raises(InputError, match=f"'{name}' was not looked at in this training, or not yet"):
                ask(name)


def test_a_training_that_has_not_begun():
    empty = Trajectory("net", np.array([], dtype=int), {"loss": np.array([])})
    assert len(empty) == 0 and "no step yet" in repr(empty)
    with pytest.raises(InputError, match="'loss' was not looked at"):
        empty.last("loss")


def test_an_array_of_another_length_is_named():
    words = r"`arrays` must have an entry for each of the 4 steps; 'ranks' has 3"
    with pytest.raises(InputError, match=words):
        Trajectory("net", np.arange(4), {"loss": LOSS, "ranks": RANKS[:3]})


def test_a_file_there_and_back(found, tmp_path):
    path = tmp_path / "trajectory.safetensors"
    write_arrays(path, *found.to_arrays())
    again = Trajectory.from_arrays(*read_arrays(path))
    assert (again.name, again.layers, again.facts) == (found.name, found.layers, found.facts)
    assert {*again.arrays} == {*found.arrays}
    np.testing.assert_array_equal(again.steps, found.steps)
    for name, values in found.arrays.items():
        np.testing.assert_array_equal(again[name], values)
    assert again.plateau("ranks") == 30


def test_its_words_are_plain(found):
    words, arrays = found.to_arrays()
    assert json.loads(json.dumps(words)) == words
    assert {*arrays} == {"steps", "over/loss", "over/accuracy", "over/ranks", "over/never"}


def test_it_is_told_in_one_line(found):
    assert repr(found) == "Trajectory(net: 4 entries to step 40; loss, accuracy, ranks, never)"
