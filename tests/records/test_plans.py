"""A plan is a value that JSON carries there and back."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lowrank_kit.checks import InputError
from lowrank_kit.records import METHODS, LayerPlan, RankPlan

ranks = st.integers(1, 10**6)
one_rank = st.builds(LayerPlan, ranks, st.sampled_from([method for method in METHODS if method != "tucker"]))
two_ranks = st.builds(LayerPlan, st.tuples(ranks, ranks), st.just("tucker"))
plans = st.builds(
    RankPlan,
    st.dictionaries(st.text(), one_rank | two_ranks),
    st.text(),
    st.sampled_from(["hand", "energy", "uniform"]),
    st.none() | st.floats(0.001, 1),
    st.sampled_from([None, "params", "macs"]),
)
KNOWN = ", ".join(map(repr, METHODS))
PAIR = r"`rank` must be a pair for the method 'tucker', \(outputs, inputs\)"
PLAN = RankPlan({"fc1": LayerPlan(8)}, "sha256:12", "energy", 0.5, "params")


@given(plans)
def test_json_there_and_back(plan):
    assert RankPlan.from_json(plan.to_json()) == plan
    assert RankPlan.from_json(plan.to_json()).to_json() == plan.to_json()


def test_ranks_by_layer():
    assert PLAN.ranks == {"fc1": 8}
    pair = LayerPlan([8, np.int64(4)], "tucker")
    assert RankPlan({"conv": pair}, "sha256:12").ranks == {"conv": (8, 4)}
    assert (pair.ranks, LayerPlan(8).ranks) == ((8, 4), (8,))
    assert pair == LayerPlan((8, 4), "tucker") and hash(pair) == hash(LayerPlan((8, 4), "tucker"))


def test_a_plan_says_what_it_does_in_words():
    assert [str(LayerPlan(8)), str(LayerPlan((8, 4), "tucker"))] == ["svd 8", "tucker 8 x 4"]


@pytest.mark.parametrize(
    "text",
    ["", "{", "null", "3", "[]", "{}", '"plan"', '{"format": 1}', "\x00", "[" * 10**5, "9" * 5000],
    ids=lambda text: text[:12],
)
def test_rubbish_is_no_plan(text):
    with pytest.raises(InputError, match="plan"):
        RankPlan.from_json(text)


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("format", "lowrank-kit rank plan 9", "format must be 'lowrank-kit rank plan 1'; got"),
        ("weights", None, "must be the JSON text"),
        ("rule", [1], r"the plan's `rule` can't be \[1\]"),
        ("budget", "x", "the plan's `budget` can't be 'x'"),
        ("budget", True, "the plan's `budget` can't be True"),
        ("cost", 3, "the plan's `cost` can't be 3"),
        ("layers", [], "must be the JSON text"),
        ("layers", {"fc1": 8}, "must be the JSON text"),
        ("layers", {"fc1": {"rank": 8}}, "'method'"),
        ("layers", {"fc1": {"rank": 0, "method": "svd"}}, "at least 1; got 0"),
        ("layers", {"fc1": {"rank": 2.5, "method": "svd"}}, "whole number of at least 1; got 2.5"),
        ("layers", {"fc1": {"rank": True, "method": "svd"}}, "got True"),
        ("layers", {"fc1": {"rank": 8, "method": "cp"}}, f"`method` must be one of {KNOWN}; got 'cp'"),
        ("layers", {"fc1": {"rank": 8, "method": "tucker"}}, f"{PAIR}; got 8"),
        ("layers", {"fc1": {"rank": "12", "method": "tucker"}}, "at least 1; got '1'"),
        ("layers", {"fc1": {"rank": {"a": 1, "b": 2}, "method": "tucker"}}, f"{PAIR}; got {{"),
        ("layers", {"fc1": {"rank": [8, 4, 2], "method": "tucker"}}, rf"{PAIR}; got \[8, 4, 2\]"),
        ("layers", {"fc1": {"rank": [8, 0], "method": "tucker"}}, "at least 1; got 0"),
        ("layers", {"fc1": {"rank": [8, 4], "method": "svd"}}, r"at least 1; got \[8, 4\]"),
    ],
)
def test_a_plan_with_one_wrong_field(field, value, words):
    fields = {**json.loads(PLAN.to_json()), field: value}
    with pytest.raises(InputError, match=words):
        RankPlan.from_json(json.dumps(fields))


@pytest.mark.parametrize("whole", [np.int64, np.uint8])
@pytest.mark.parametrize("real", [np.float32, np.float64])
def test_numbers_of_numpy_are_numbers(whole, real):
    plan = RankPlan({"fc1": LayerPlan(whole(8))}, PLAN.weights, "energy", real(0.5), "params")
    assert plan == PLAN and plan.to_json() == PLAN.to_json()


@pytest.mark.parametrize("field", ["format", "rule", "budget", "cost", "weights", "layers"])
def test_a_plan_with_a_field_missing(field):
    fields = json.loads(PLAN.to_json())
    del fields[field]
    with pytest.raises(InputError, match=f"must be the JSON text that `plan.to_json.*{field}"):
        RankPlan.from_json(json.dumps(fields))
