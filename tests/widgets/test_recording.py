import json

import numpy as np
import pytest

from lowrank_kit.checks import InputError
from lowrank_kit.records import Trajectory
from lowrank_kit.widgets.recording import Recording, described, limits_of

RANKS = np.array([[[4, 2, np.nan], [3, 3, np.nan]], [[2, 2, np.nan], [1, 1, np.nan]]])


def recorded(facts=None, **arrays):
    return Trajectory("x", np.array([0, 10]), {"loss": np.array([np.nan, 1.0])} | arrays, ("conv", "fc"), facts or {})


def test_limits_are_those_of_the_facts():
    limits = {"fc": [8, 9], "conv": [16, 3]}
    assert limits_of(recorded({"limits": limits}, ranks=RANKS)) == {"conv": [16, 3], "fc": [8, 9]}


def test_limits_are_the_largest_ranks_where_the_facts_do_not_tell():
    assert limits_of(recorded(ranks=RANKS)) == {"conv": [4, 2], "fc": [3, 3]}
    assert limits_of(recorded()) == {"conv": [], "fc": []}


def test_a_matrix_has_one_rank():
    seen = recorded(ranks=RANKS)
    assert [layer["matrix"] for layer in described(seen, limits_of(seen))["layers"]] == [False, True]
    told = recorded({"matrices": ["conv"]}, ranks=RANKS)
    assert [layer["matrix"] for layer in described(told, limits_of(told))["layers"]] == [True, False]


def test_a_page_is_told_what_holds_for_the_whole_training():
    facts = {"n_dense": 9, "epochs": 2, "recorded": "yesterday, here", "seed": 3}
    words = described(recorded(facts, ranks=RANKS), {"conv": [4, 2], "fc": [3, 3]})
    assert words["columns"] == 2 and words["recorded"] == "yesterday, here" and words["total"] is None
    assert words["layers"][0] == {"name": "conv", "limits": [4, 2], "matrix": False}
    json.dumps(words)


def test_a_recording_has_rows_and_what_was_measured_at_the_end():
    test = {"accuracy": 0.9, "interval": [0.8, 0.95], "n": 50, "n_params": 7, "change": None}
    recording = Recording(recorded({"test": test}, ranks=RANKS))
    assert [row["step"] for row in recording.rows] == [0, 10] and recording.expected_rows == 2
    assert recording.outcome == test and Recording(recorded()).outcome == {}


def test_there_must_be_something_to_play():
    with pytest.raises(InputError, match="a trajectory with at least one entry; this one has none yet"):
        Recording(Trajectory("x", np.array([], dtype=int), {}))
