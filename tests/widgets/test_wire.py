import json

import numpy as np
import pytest

from lowrank_kit.files import read_arrays, shipped
from lowrank_kit.methods.allocation import COSTS, RULES, table_ladder
from lowrank_kit.records import Measurement, NetworkTimes, RankTables, Timing, TuckerTables
from lowrank_kit.widgets.assets import PARTS, module, style
from lowrank_kit.widgets.wire import BUDGETS, curves_message, finding_words, tables_message, times_message


@pytest.fixture(scope="module")
def tables():
    return RankTables.from_arrays(*read_arrays(shipped("data", "mnist-cnn", "tables.safetensors")))


def test_the_message_gives_the_tables_back(tables):
    message, buffers = tables_message(tables)
    arrays = {name: np.frombuffer(b, "<f8") for name, b in zip(message["arrays"], buffers, strict=True)}
    assert {name: len(values) for name, values in arrays.items()} == message["arrays"]
    words = {key: value for key, value in message["words"].items() if key != "budgets"}
    again = RankTables.from_arrays(words, arrays)
    assert again.to_arrays()[0] == tables.to_arrays()[0]
    for mine, theirs in zip(again.layers, tables.layers, strict=True):
        np.testing.assert_array_equal(mine.values, theirs.values)
        np.testing.assert_array_equal(mine.drop, theirs.drop)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("cost", COSTS)
def test_every_position_of_the_budget_slider_is_what_the_rule_gives(tables, rule, cost):
    message, buffers = tables_message(tables)
    place = list(message["arrays"]).index(f"{rule} {cost}")
    budget = message["words"]["budgets"][f"{rule} {cost}"]
    table = np.frombuffer(buffers[place], "<f8").reshape(len(BUDGETS), -1)
    ladder = table_ladder(tables, rule, cost)
    for thousandth in range(int(np.ceil(1000 * budget["cheapest"])), 1001, 37):
        ranks = dict(zip(budget["layers"], table[thousandth].astype(int).tolist(), strict=True))
        assert ranks == ladder.at(thousandth / 1000)


def test_better_curves_travel_without_what_does_not_change(tables):
    message, buffers = curves_message(tables)
    assert set(message["arrays"]) == {"drop", "measured", "predicted", "observed"}
    assert sum(map(len, buffers)) < sum(map(len, tables_message(tables)[1])) / 10


@pytest.fixture
def times():
    shares = {"a": np.array([0.25, 0.5], np.float32), "b": np.array([[0.1, 0.2], [0.3, 0.4]], np.float32)}
    return NetworkTimes(32, 0.004, shares, np.array([0.003]), np.array([0.0035]))


def test_times_travel_in_single_precision_and_pairs_row_by_row(times):
    message, buffers = times_message(times)
    assert message["arrays"] == {"a": 2, "b": 4}
    for shares, buffer in zip(times.shares.values(), buffers, strict=True):
        np.testing.assert_array_equal(np.frombuffer(buffer, "<f4"), shares.ravel())
    words = {key: value for key, value in message.items() if key != "arrays"}
    assert words == {"kind": "times", "batch": 32, "dense_s": 0.004, "predicted": [0.003], "observed": [0.0035]}
    assert json.loads(json.dumps(message)) == message


def test_layers_that_were_told_do_not_travel_again(times):
    later = times.knowing("b", times.shares["b"] / 2).seen({"a": 1, "b": (1, 1)}, 0.003, 0.005)
    message, buffers = times_message(later, told=times)
    assert message["arrays"] == {"b": 4} and len(buffers) == 1
    assert message["dense_s"] == 0.005 and len(message["predicted"]) == 2
    assert times_message(later, told=later)[0]["arrays"] == {}


@pytest.mark.parametrize("board", PARTS)
def test_a_board_travels_in_under_40_kilobytes_of_code_and_style(board):
    assert len(module(board).encode()) + len(style(board).encode()) < 40_000


@pytest.fixture(scope="module")
def pairs():
    return TuckerTables.from_arrays(*read_arrays(shipped("data", "mnist-cnn", "tucker.safetensors")))


def test_the_message_gives_tables_of_pairs_back(pairs):
    message, buffers = tables_message(pairs, ("board", "tucker"))
    sizes = dict(zip(message["arrays"], map(len, buffers), strict=True))
    # Errors at all pairs are the most of it, and half as long in single precision.
    assert sizes["errors"] == 4 * message["arrays"]["errors"] == 4 * sum(t.errors.size for t in pairs.layers)
    types = {name: "<f4" if name == "errors" else "<f8" for name in sizes}
    arrays = {name: np.frombuffer(b, types[name]) for name, b in zip(sizes, buffers, strict=True)}
    words = {key: value for key, value in message["words"].items() if key != "budgets"}
    again = TuckerTables.from_arrays(words, arrays)
    assert again.to_arrays()[0] == pairs.to_arrays()[0]
    for mine, theirs in zip(again.layers, pairs.layers, strict=True):
        for part in ("errors", "knots", "drops"):
            np.testing.assert_array_equal(getattr(mine, part), getattr(theirs, part))
    assert {"accuracy", "whole"} <= message["strings"]["ja"].keys()


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("cost", COSTS)
def test_every_position_of_the_budget_slider_gives_pairs(pairs, rule, cost):
    message, buffers = tables_message(pairs)
    place = list(message["arrays"]).index(f"{rule} {cost}")
    table = np.frombuffer(buffers[place], "<f8").reshape(len(BUDGETS), 2 * len(pairs.layers))
    ladder = table_ladder(pairs, rule, cost)
    for thousandth in range(int(np.ceil(1000 * ladder.cheapest)), 1001, 37):
        row = table[thousandth].astype(int).reshape(-1, 2).tolist()
        assert dict(zip(ladder.layers, map(tuple, row), strict=True)) == ladder.at(thousandth / 1000)


def test_better_curves_of_pairs_travel_with_their_lengths(pairs):
    message, buffers = curves_message(pairs)
    assert set(message["arrays"]) == {"knots", "drops", "predicted", "observed"}
    assert [entry["n_knots"] for entry in message["layers"]] == [len(t.knots) for t in pairs.layers]
    assert sum(map(len, buffers)) < sum(map(len, tables_message(pairs)[1])) / 10


def _measurement(predictions, seconds, busy=0.0):
    timing = Timing(np.array([seconds]), 32, "a processor", "float32", "contiguous", 1, busy)
    return Measurement("x", 10, 40, 5, np.array([0, 1, 1, 0]), np.array(predictions), timing)


def test_findings_are_told_beside_the_dense_network():
    words = finding_words(_measurement([0, 1, 0, 0], 0.5), _measurement([0, 1, 1, 0], 1.0))
    assert words["accuracy"] == 0.75 and words["n"] == 4
    assert words["change"][0] == -0.25
    assert words["latency"]["speedup"] == 2.0
    assert words["latency"]["busy"] == 0


def test_a_busy_machine_is_told():
    words = finding_words(_measurement([0, 1, 0, 0], 0.5, busy=0.4), _measurement([0, 1, 1, 0], 1.0))
    assert words["latency"]["busy"] == 0.4
