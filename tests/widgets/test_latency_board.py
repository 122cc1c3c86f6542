"""The latency board from Python: settings, what is timed behind it, and what travels to the browser."""

import json
import threading

import numpy as np
import pytest
import torch
from torch import nn

from lowrank_kit.checks import InputError
from lowrank_kit.i18n import strings
from lowrank_kit.maths.verdicts import VERDICTS
from lowrank_kit.measurement import layer_times
from lowrank_kit.methods.outlook import network_outlook
from lowrank_kit.records import Conditions, LatencyTable, LayerPlan, LayerShape, Timing
from lowrank_kit.studies.catalogue import CATALOGUE
from lowrank_kit.widgets import latency_board
from lowrank_kit.widgets.latency_board import LatencyBoard
from tests.known_times import CPU, GPU, known_table

PATIENCE_S = 60
RESNET = [layer for layer in CATALOGUE if layer.network == "resnet50"]
LAYER = "layer3.1.conv2"
SHAPE = LayerShape(256, 256, (3, 3), (14, 14), (14, 14))
ROUNDS = np.array([1.0, 0.9, 1.1, 1.2, 1.0])


class Clock:
    """Stands for `time_layer`: a dense layer takes 2 s and its block one, 5 rounds each."""

    def __init__(self):
        self.calls, self.fault, self.meanwhile, self.busy = [], None, lambda: None, 0.0

    def __call__(self, shape, plan, *, batch, dtype, layout, budget_s, stop):
        self.calls.append((shape, plan, batch, dtype, layout))
        self.meanwhile()
        if self.fault:
            raise self.fault
        return tuple(Timing(s * ROUNDS, batch, "here", dtype, layout, 3, self.busy) for s in (2.0, 1.0))


@pytest.fixture(scope="module")
def tables():
    return known_table(CPU), known_table(GPU)


@pytest.fixture
def clock(monkeypatch):
    found = Clock()
    monkeypatch.setattr(layer_times, "time_layer", found)
    return found


@pytest.fixture
def undrawn(monkeypatch):
    """Without pictures, which take longer than what is tested here."""
    monkeypatch.setattr(LatencyBoard, "_draw", lambda board: None)


@pytest.fixture
def board(tables, clock, undrawn):
    board = LatencyBoard(layer=LAYER, tables=tables)
    yield board
    board.close()


@pytest.fixture
def sent(monkeypatch):
    """What boards send, as (message, buffers)."""
    found = []
    monkeypatch.setattr(LatencyBoard, "send", lambda board, content, buffers: found.append((content, buffers)))
    return found


@pytest.fixture
def own():
    """A network of one's own with a depthwise layer and a single output, whose full ranks are 1."""
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 8, 3, padding=1, groups=8), nn.Conv2d(8, 12, 1),
        nn.Flatten(), nn.Linear(12 * 64, 1),
    )  # fmt: skip
    return model, np.zeros((2, 3, 8, 8), np.float32)


def by_hand(board, **changes):
    """What a browser sets."""
    board.setting = {**board.setting, "final": True, **changes}
    assert board.wait(PATIENCE_S)


def test_it_begins_with_the_layer_that_takes_longest_at_a_quarter_of_its_ranks(tables, clock):
    board = LatencyBoard(tables=tables)
    found = network_outlook(RESNET, tables[0])
    assert board.layer == RESNET[int(np.argmax(found.dense_s))].name
    (full,) = found[board.layer].layer.shape.full_ranks("svd")
    assert (board.rank, board.plan, board.language) == (full // 4, LayerPlan(full // 4), "en")
    assert board.setting == {
        "network": "resnet50", "layer": board.layer, "method": "svd", "batch": 1, "rank": full // 4,
        "conditions": [0, 0], "final": True,
    }  # fmt: skip
    assert board.tables == tables and board.wait(0) and not clock.calls, "nothing is timed before it is looked at"
    board.close()


@pytest.mark.parametrize("network", ["vgg16", "resnet50", "vit-b16", "bert-base"])
@pytest.mark.parametrize("method", ["svd", "spatial", "tucker"])
def test_every_network_can_be_looked_at_by_every_method(tables, network, method):
    board = LatencyBoard(network, method=method, batch=np.int64(3), tables=tables, language="ja")
    assert [layer.layer.network for layer in board.outlooks[1].layers] == [network] * len(board.outlooks[0].layers)
    assert {found.conditions["batch"] for found in board.outlooks} == {3}
    assert (board.outlook.method == method) or method not in board.outlook.layer.shape.methods
    assert board.language == "ja"
    json.dumps(board.setting)
    board.close()


def test_it_begins_as_asked(tables):
    board = LatencyBoard(
        "resnet50", layer="layer1.0.conv2", rank=np.int64(17), method="tucker", batch=32, tables=tables
    )
    assert (board.layer, board.rank, board.setting["batch"]) == ("layer1.0.conv2", 17, 32)
    assert board.plan == LayerPlan((17, 17), "tucker")
    assert board.outlook is board.outlooks[0]["layer1.0.conv2"]
    json.dumps(board.setting)
    board.close()


def test_it_speaks_in_a_few_words(board):
    pairs = [f"{d.name} {d.seconds((SHAPE,)) / d.seconds(SHAPE.factorised(LayerPlan(64))):.2g}x" for d in (CPU, GPU)]
    assert repr(board) == f"LatencyBoard(resnet50 layer3.1.conv2 at rank 64: predicted {', '.join(pairs)})"


def test_tables_are_by_default_those_that_are_found(tables, monkeypatch):
    monkeypatch.setattr(latency_board, "latency_tables", lambda: tables[1:])
    board = LatencyBoard()
    assert board.tables == tables[1:] and len(board.outlooks) == 1
    board.close()


@pytest.mark.parametrize(
    ("act", "words"),
    [
        (lambda b: b.set_network("resnet18"), "`network` must be one of 'vgg16', 'resnet50', 'vit-b16', 'bert-base'; "),
        (lambda b: b.set_layer("conv9"), "; got 'conv9'. Did you mean 'conv1'?"),
        (lambda b: b.set_layer(LAYER, 256), "`rank` must be a whole number from 1 to 255 for layer3.1.conv2; got 256."),
        (lambda b: b.set_layer(LAYER, "9"), "for layer3.1.conv2; got '9'."),
        (lambda b: b.set_rank(0), "`rank` must be a whole number from 1 to 255 for layer3.1.conv2; got 0."),
        (lambda b: b.set_rank(256), "got 256."),
        (lambda b: b.set_rank(True), "got True."),
        (lambda b: b.set_rank(2.0), "got 2.0."),
        (lambda b: b.set_method("cp"), "`method` must be one of 'svd', 'spatial', 'tucker'; got 'cp'."),
        (lambda b: b.set_method("aware"), "`method` must be one of 'svd', 'spatial', 'tucker'; got 'aware'."),
        (lambda b: b.set_batch(0), "`batch` must be a whole number of at least 1; got 0."),
        (lambda b: b.set_batch(True), "got True."),
        (lambda b: b.set_batch(1.5), "got 1.5."),
        (lambda b: b.set_conditions("a TPU", CPU.conditions[0]), "`device` must be one of 'a processor', 'a GPU'; got"),
        (
            lambda b: b.set_conditions("a GPU", CPU.conditions[0]),
            "`conditions` must be some that a GPU was recorded in (bfloat16 · channels_last · graph · 1 thread; tf32 ·",
        ),
        (lambda b: LatencyBoard("mnist", tables=b.tables), "`source` must be one of 'vgg16', 'resnet50', "),
        (lambda b: LatencyBoard(3, tables=b.tables), "(vgg16, resnet50, vit-b16, bert-base) or an nn.Module; got 3."),
        (lambda b: LatencyBoard(nn.Linear(3, 2), tables=b.tables), "`x` must come with a module: inputs of it, such"),
        (
            lambda b: LatencyBoard(nn.Flatten(), np.zeros((1, 2), np.float32), tables=b.tables),
            "`source` must have layers that can be factored; Flatten has none.",
        ),
        (lambda b: LatencyBoard(layer="conv9", tables=b.tables), "`layer` must be one of 'conv1', "),
        (lambda b: LatencyBoard(layer=LAYER, rank=256, tables=b.tables), "from 1 to 255 for layer3.1.conv2; got 256."),
        (lambda b: LatencyBoard(rank=True, tables=b.tables), "got True."),
        (lambda b: LatencyBoard(method="cp", tables=b.tables), "`method` must be one of 'svd', 'spatial', 'tucker'; "),
        (lambda b: LatencyBoard(batch=0, tables=b.tables), "`batch` must be a whole number of at least 1; got 0."),
        (lambda b: LatencyBoard(batch=1.5, tables=b.tables), "`batch` must be a whole number of at least 1; got 1.5."),
        (lambda b: LatencyBoard(language="fr", tables=b.tables), "`language` must be one of 'en', 'ja'; got 'fr'."),
        (lambda b: LatencyBoard(tables=()), "`tables` must hold the recorded times of at least one device; got none."),
    ],
)  # fmt: skip
def test_bad_input_gets_one_sentence_and_changes_nothing(board, act, words):
    before, shown = dict(board.setting), board.outlooks
    with pytest.raises(InputError) as refusal:
        act(board)
    assert words in str(refusal.value) and "\n" not in str(refusal.value)
    assert board.setting == before and board.outlooks is shown and board.fault == ""


def test_the_rank_is_one_there_is_an_outlook_of(tables):
    """Of 2048 ranks every eighth is foretold, from 8 on."""
    board = LatencyBoard("vgg16", layer="fc6", tables=tables)
    for rank, nearest in ((1, 16), (100, 96), (1003, 1008), (4095, 4080)):
        board.set_rank(rank)
        assert (board.rank, board.plan) == (rank, LayerPlan(nearest))
    board.close()


def test_another_layer_is_at_the_same_share_of_its_ranks(board):
    board.set_rank(128)
    board.set_layer("layer1.0.conv1")
    assert (board.layer, board.rank) == ("layer1.0.conv1", 32)
    board.set_layer("fc", 10)
    board.set_layer(LAYER)
    assert board.rank == 3, "10 of 1000 is 2.56 of 256"
    board.set_layer(LAYER, 7)
    assert board.rank == 7
    board.set_layer("layer1.0.conv1")
    assert board.rank == 2, "1.75 of 64"


def test_half_a_rank_is_rounded_as_in_the_browser(board):
    """64 of 256 is 16 of 64; 2 of 256 is half a rank, and 6 one and a half."""
    for rank, expected in ((64, 16), (2, 1), (6, 2), (10, 3)):
        board.set_layer(LAYER, rank)
        board.set_layer("layer1.0.conv1")
        assert board.rank == expected


def test_another_network_is_at_the_layer_that_takes_longest(board, clock):
    board.set_network("bert-base")
    found = network_outlook([layer for layer in CATALOGUE if layer.network == "bert-base"], board.tables[0])
    assert board.layer == found.layers[int(np.argmax(found.dense_s))].layer.name
    assert (board.rank, board.outlook.layer.network) == (192, "bert-base")
    assert board.wait(PATIENCE_S) and clock.calls[-1][0] == board.outlook.layer.shape


def test_another_method_keeps_the_rank_or_takes_a_quarter_where_there_is_none(board):
    board.set_method("spatial")
    assert (board.rank, board.plan) == (64, LayerPlan(63, "spatial")), "every third of 768 is foretold"
    board.set_rank(700)
    board.set_method("tucker")
    assert (board.rank, board.plan) == (64, LayerPlan((64, 64), "tucker"))
    board.set_layer("fc")
    assert board.outlook.method == "svd", "which tucker does not suit"


def test_batches_and_conditions_change_what_is_shown(board, tables):
    board.set_batch(np.int64(7))
    assert {found.conditions["batch"] for found in board.outlooks} == {7}
    json.dumps(board.setting)
    board.set_conditions("a GPU", GPU.conditions[1])
    assert board.setting["conditions"] == [0, 1]
    assert [found.conditions["dtype"] for found in board.outlooks] == ["float32", "float32"]
    expected = network_outlook(RESNET, tables[1], "svd", 7, GPU.conditions[1])
    np.testing.assert_array_equal(board.outlooks[1][LAYER].foretold_s, expected[LAYER].foretold_s)
    board.set_conditions("a processor", CPU.conditions[2])
    assert board.setting["conditions"] == [2, 1]
    assert board.outlook.conditions["dtype"] == "bfloat16"


@pytest.mark.parametrize(
    "changes",
    [
        {"network": "vgg16", "layer": None},
        {"network": "vgg16", "layer": None, "method": "tucker", "batch": 32},
        {"method": "spatial"},
        {"batch": 256},
        {"conditions": [1, 1]},
        {"rank": 9},
        {"layer": "fc", "rank": 250},
    ],
)
def test_a_hand_sets_what_python_sets(board, tables, changes):
    by_hand(board, **changes)
    known = {"layer": LAYER, "rank": 64} | changes
    asked = {name: known[name] for name in ("layer", "rank", "method", "batch") if known.get(name) is not None}
    if known["layer"] is None:
        del asked["rank"]
    other = LatencyBoard(changes.get("network", "resnet50"), tables=tables, **asked)
    for device, at in zip((CPU, GPU), changes.get("conditions", [0, 0]), strict=True):
        other.set_conditions(device.name, device.conditions[at])
    assert board.setting == other.setting
    for mine, theirs in zip(board.outlooks, other.outlooks, strict=True):
        np.testing.assert_array_equal(mine[board.layer].foretold_s, theirs[board.layer].foretold_s)
    assert board.fault == ""
    other.close()


def test_a_hands_method_without_the_rank_takes_a_quarter(board):
    by_hand(board, method="spatial")
    by_hand(board, rank=700)
    by_hand(board, method="svd")
    assert (board.rank, board.outlook.method) == (64, "svd")
    assert board.finding["rank"] == 64


def test_too_few_times_under_a_hands_conditions_are_told_and_nothing_changes(tables, clock, undrawn, sent):
    """As where recording has only begun: under the other layout there is one time."""
    known, many = known_table(CPU), 0
    rows = []
    for row in known.rows:
        is_first = row.layout != "contiguous" or row.shape.is_linear or row.dtype != "float32"
        many += not is_first
        if is_first or many == 1:
            rows.append(row)
    rows = [r for r in rows if not (r.shape.is_linear and r.network == "fitted" and int(r.layer) > 3)]
    board = LatencyBoard(layer=LAYER, tables=[LatencyTable(tuple(rows), known.roofs)])
    assert len(board.tables[0].conditions) == 3
    before, shown = dict(board.setting), board.outlooks
    by_hand(board, conditions=[1])
    assert "times of at least ten kernels are needed" in board.fault
    assert board.setting == before
    np.testing.assert_array_equal(board.outlook.foretold_s, shown[0][LAYER].foretold_s)
    with pytest.raises(InputError, match="at least ten kernels"):
        board.set_conditions("a processor", board.tables[0].conditions[1])
    assert board.setting == before
    board.set_rank(9)
    assert board.fault == ""
    board.close()


def test_the_layer_is_timed_in_turn_and_its_record_kept(board, clock):
    dense, cut = board.record
    assert (dense.median_s, cut.median_s) == (2, 1)
    assert clock.calls == [(SHAPE, LayerPlan(64), 1, "float32", "channels_last")]
    assert board.record is board.record and len(clock.calls) == 1
    board.set_rank(9)
    board.set_rank(64)
    assert board.record == (dense, cut)
    assert board.wait(PATIENCE_S) and len(clock.calls) <= 2
    board.set_layer("layer3.1.conv2", 10)
    assert board.record is not None and clock.calls[-1][1] == LayerPlan(10)


def test_a_processors_conditions_are_how_this_machine_is_timed(board, clock):
    board.set_conditions("a processor", CPU.conditions[2])
    board.set_conditions("a GPU", GPU.conditions[1])
    board.set_batch(32)
    assert board.record[0].dtype == "bfloat16"
    assert clock.calls[-1] == (SHAPE, LayerPlan(64), 32, "bfloat16", "channels_last")
    board.set_conditions("a processor", CPU.conditions[1])
    assert board.record[0].layout == "contiguous"
    n = len(clock.calls)
    board.set_conditions("a GPU", GPU.conditions[0])
    assert board.record[0].layout == "contiguous" and len(clock.calls) == n, "a GPU's change nothing here"


def test_without_a_processor_among_the_tables_this_machine_is_timed_in_float32(tables, clock, undrawn):
    board = LatencyBoard(layer=LAYER, tables=tables[1:])
    assert board.record[0].dtype == "float32"
    assert clock.calls == [(SHAPE, LayerPlan(64), 1, "float32", "channels_last")]
    board.close()


def test_what_is_told_of_a_finding_is_its_record(board, clock):
    clock.busy = 0.4
    dense, cut = board.record
    assert board.finding == {
        "network": "resnet50", "layer": LAYER, "method": "svd", "batch": 1, "rank": 64, "median_s": cut.median_s,
        "dense_s": dense.median_s, "speedup": cut.speedup(dense), "interval": list(cut.speedup_interval(dense)),
        "threads": 3, "device": "here", "dtype": "float32", "busy": 0.4,
    }  # fmt: skip
    json.dumps(board.finding)
    clock.busy = 0.1
    board.set_rank(9)
    assert board.record and board.finding["busy"] == 0


def test_other_conditions_take_the_finding_away_until_it_is_timed_again(board, clock):
    assert board.record and board.finding["dtype"] == "float32"
    seen = []
    board.observe(lambda change: seen.append(change.new.get("dtype")), "finding")
    board.set_conditions("a processor", CPU.conditions[2])
    assert board.wait(PATIENCE_S) and seen == [None, "bfloat16"]


def test_too_much_for_a_hand_is_not_timed(board, clock):
    board.set_batch(256)
    assert board.wait(PATIENCE_S) and not clock.calls
    told = {"network": "resnet50", "layer": LAYER, "method": "svd", "batch": 256, "rank": 64}
    assert board.finding == told
    with pytest.raises(InputError) as refusal:
        _ = board.record
    assert str(refusal.value) == (
        "`record` is of passes below 2e+10 multiply-adds; layer3.1.conv2 at batch 256 takes 3.0e+10. "
        "Choose a smaller batch."
    )
    assert not clock.calls
    board.set_batch(100)
    assert board.record and clock.calls[-1][2] == 100


def test_a_hand_that_moves_is_not_timed(board, clock):
    board.setting = {**board.setting, "rank": 90, "final": False}
    assert board.wait(PATIENCE_S) and not clock.calls and board.finding == {}
    by_hand(board)
    assert clock.calls == [(SHAPE, LayerPlan(90), 1, "float32", "channels_last")]
    assert board.finding["rank"] == 90


def test_a_hand_that_moves_on_meanwhile_changes_nothing_of_what_is_timed(board, clock):
    clock.meanwhile = lambda: board.set_trait("setting", {**board.setting, "rank": 90, "final": False})
    board._measure()
    assert board.wait(PATIENCE_S) and (board.rank, board.finding["rank"]) == (90, 64)
    clock.meanwhile = lambda: None
    board.set_rank(64)
    assert board.record and clock.calls == [(SHAPE, LayerPlan(64), 1, "float32", "channels_last")]


def test_another_setting_stops_what_is_timed(board, clock):
    reached, go_on = threading.Event(), threading.Event()

    def halted():
        reached.set()
        assert go_on.wait(PATIENCE_S)

    clock.meanwhile = halted
    board._measure()
    assert reached.wait(PATIENCE_S)
    board.set_rank(9)
    go_on.set()
    assert board.wait(PATIENCE_S)
    assert [plan.rank for _, plan, *_ in clock.calls] == [64, 9]
    assert board.finding["rank"] == 9
    board.set_rank(64)
    assert board.record and len(clock.calls) == 3, "what was stopped is not kept"


def test_it_really_times_a_layer(tables, undrawn, own, monkeypatch):
    monkeypatch.setattr(latency_board, "BUDGET_S", 0.01)
    board = LatencyBoard(*own, layer="3", rank=2, tables=tables)
    dense, cut = board.record
    assert dense.conditions == cut.conditions and dense.layout == "channels_last"
    assert len(dense.raw_s) == len(cut.raw_s) >= 5
    low, high = board.finding["interval"]
    assert low <= board.finding["speedup"] <= high
    board.close()


def test_a_network_of_ones_own_is_foretold(own, tables, clock, undrawn, states):
    model, x = own
    before = states(model)
    board = LatencyBoard(model, x, tables=tables)
    assert [found.layer.name for found in board.outlooks[0].layers] == ["0", "2", "3", "5"]
    for device, network in zip((CPU, GPU), board.outlooks, strict=True):
        for found in network.layers:
            assert (len(found.timed), found.dense_timed, found.rivals) == (0, None, ())
            assert found.layer.network == "Sequential"
            if found.layer.shape.groups == 1:
                assert found.dense_s == pytest.approx(device.seconds((found.layer.shape,)), rel=0.1)
    assert states.same(before, states(model))
    assert board.setting["network"] == "Sequential"
    board.set_network("vgg16")
    board.set_network("Sequential")
    assert board.record
    board.close()


@pytest.mark.parametrize("layer", ["2", "5"])
@pytest.mark.parametrize("method", ["svd", "spatial", "tucker"])
def test_of_a_full_rank_of_1_that_is_shown(own, tables, clock, undrawn, layer, method):
    board = LatencyBoard(*own, layer="0", tables=tables)
    by_hand(board, layer=layer, rank=1, method=method)
    full = board.outlook.layer.shape.full_ranks(board.outlook.method)[0]
    assert (board.rank, board.fault) == (1, "") and (full == 1 or method == "spatial")
    assert board.record and clock.calls[-1][1].ranks[0] == 1
    with pytest.raises(InputError, match=f"from 1 to {max(full - 1, 1)} for"):
        board.set_rank(full + 1)
    board.close()


def arrays_of(message, buffers):
    found = {name: np.frombuffer(part, "<f8") for name, part in zip(message["arrays"], buffers, strict=True)}
    assert {name: len(values) for name, values in found.items()} == message["arrays"]
    return found


@pytest.mark.parametrize("method", ["svd", "tucker"])
def test_a_new_view_is_sent_all_it_paints_from(board, sent, method):
    board.set_method(method)
    del sent[:]
    board._hear(board, {"kind": "hello"}, [])
    ((message, buffers),) = sent
    assert message["kind"] == "outlooks"
    assert message["strings"] == {language: strings("latency", language) for language in ("en", "ja")}
    words = message["words"]
    assert words["networks"] == ["vgg16", "resnet50", "vit-b16", "bert-base"]
    assert (words["network"], words["methods"]) == ("resnet50", ["svd", "spatial", "tucker"])
    assert words["batches"] == [1, 32, 256]
    found = arrays_of(message, buffers)
    for d, (told, network) in enumerate(zip(words["devices"], board.outlooks, strict=True)):
        device, table = (CPU, GPU)[d], board.tables[d]
        assert (told["device"], told["date"], told["torch"], told["tile"]) == (
            device.name,
            "2026-01-02",
            "2.9",
            device.tile,
        )
        assert told["conditions"] == list(map(str, device.conditions)) and told["chosen"] == 0
        assert told["judged"] == {"n": 24, "off": pytest.approx(0.25)}
        roof = table.roof(device.conditions[0])
        assert told["roof"] == {
            "macs_per_s": roof.macs_per_s, "rates": [list(pair) for pair in roof.copies], "itemsize": roof.itemsize,
        }  # fmt: skip
        starts = dict.fromkeys(("rank", "place", "timed"), 0)
        for layer, one in zip(told["layers"], network.layers, strict=True):
            n, timed, columns = layer["n"], layer["n_timed"], layer["columns"]
            assert (layer["name"], layer["count"], layer["method"]) == (one.layer.name, one.layer.count, one.method)
            assert layer["full"] == list(one.layer.shape.full_ranks(one.method))
            assert one.ranks.shape == (n, columns) and len(one.timed) == timed
            assert layer["dense"] == {
                "macs": one.dense_macs, "moved": one.dense_moved, "bound": one.dense_bound_s, "foretold": one.dense_s,
                "timed": list(one.dense_timed),
            }  # fmt: skip
            assert layer["rivals"] == [list(rival) for rival in one.rivals]
            codes = [VERDICTS.index(name) for name in one.verdicts]
            expected = {
                ("ranks", "place"): one.ranks.ravel(), ("macs", "rank"): one.macs, ("moved", "rank"): one.moved,
                ("bound", "rank"): one.bound_s, ("foretold", "rank"): one.foretold_s, ("verdicts", "rank"): codes,
                ("timed", "timed"): one.timed, ("medians", "timed"): one.medians, ("lows", "timed"): one.lows,
                ("highs", "timed"): one.highs,
            }  # fmt: skip
            for (name, kind), values in expected.items():
                np.testing.assert_array_equal(found[f"{name} {d}"][starts[kind] :][: len(values)], values)
            for kind, size in (("rank", n), ("place", n * columns), ("timed", timed)):
                starts[kind] += size
        ends = {"ranks": "place"} | dict.fromkeys(("timed", "medians", "lows", "highs"), "timed")
        assert all(len(v) == starts[ends.get(k.split()[0], "rank")] for k, v in found.items() if k.endswith(f" {d}"))
    json.dumps(message)


def test_only_what_changes_the_outlooks_sends_them_again(board, sent):
    board.set_rank(9)
    board.set_layer("fc")
    board.setting = {**board.setting, "rank": 3, "final": False}
    assert sent == []
    board.set_batch(7)
    assert [message["words"]["batches"] for message, _ in sent] == [[1, 7, 32, 256]]
    board.set_conditions("a GPU", GPU.conditions[1])
    assert [device["chosen"] for device in sent[1][0]["words"]["devices"]] == [0, 1]
    board.set_method("tucker")
    board.set_network("vit-b16")
    assert [message["words"]["network"] for message, _ in sent] == ["resnet50"] * 3 + ["vit-b16"]
    assert len(sent) == 4


def test_where_nothing_was_held_out_no_trust_is_told(tables, sent):
    fitted = tuple(row for row in tables[0].rows if row.network == "fitted")
    board = LatencyBoard(tables=[LatencyTable(fitted, tables[0].roofs)])
    board._hear(board, {"kind": "hello"}, [])
    assert sent[0][0]["words"]["devices"][0]["judged"] == {"n": 0, "off": None}
    assert sent[0][0]["words"]["devices"][0]["layers"][0]["dense"]["timed"] is None
    json.dumps(sent[0][0])
    board.close()


def test_timing_begins_once_a_view_is_painted(board, sent, clock):
    for kind in ("something else", "hello"):
        board._hear(board, {"kind": kind}, [])
        assert board.wait(0) and not clock.calls
    board._hear(board, {"kind": "painted"}, [])
    assert board.wait(PATIENCE_S) and len(clock.calls) == 1


def test_what_goes_wrong_behind_the_board_is_told_and_raised(board, clock):
    clock.fault = InputError("the sentence.")
    with pytest.raises(InputError, match="the sentence"):
        _ = board.record
    assert board.fault == "the sentence."
    clock.fault = None
    assert board.record and board.fault == ""


def test_a_bug_is_never_shown_as_the_users_mistake(board, clock):
    clock.fault = ZeroDivisionError()
    with pytest.raises(ZeroDivisionError):
        _ = board.record
    assert board.fault == "ZeroDivisionError: see the kernel's log."


def test_a_closed_board_says_so_and_times_nothing(board, clock):
    board.close()
    with pytest.raises(InputError, match="the board is closed and measures nothing"):
        _ = board.record
    with pytest.raises(InputError, match="the board is closed"):
        board.set_rank(9)
    assert not clock.calls


def test_what_a_closed_board_has_timed_can_still_be_asked_for(board, clock):
    before = board.record
    board.close()
    assert board.record == before


def test_arrays_are_not_among_what_a_notebook_stores(board):
    state = board.get_state()
    code = {"_esm", "_css", "_anywidget_id"}
    assert len(json.dumps({k: v for k, v in state.items() if k not in code}, default=str)) < 2000


@pytest.fixture
def shown(monkeypatch):
    outputs = []
    for name in ("display", "update_display"):
        monkeypatch.setattr(f"lowrank_kit.widgets.still.{name}", lambda data, **_: outputs.append(data))
    return outputs


def test_words_stand_for_the_board_until_there_is_a_picture_of_what_was_settled_on(tables, clock, shown):
    board = LatencyBoard(layer=LAYER, tables=tables)
    board._ipython_display_()
    live, first, *_ = shown
    assert "application/vnd.jupyter.widget-view+json" in live and live["text/plain"].startswith(
        "LatencyBoard(resnet50 "
    )
    words = (
        "<figcaption>resnet50, layer3.1.conv2: rank 64</figcaption><ul><li>Faster: the arithmetic saved is time saved."
    )
    assert f'id="{board.still_id}"' in first["text/html"] and words in first["text/html"]
    assert board.wait(PATIENCE_S) and len(shown) == 3 and len(clock.calls) == 1
    assert 'src="data:image/png;base64,' in shown[2]["text/html"]
    assert 'alt="resnet50, layer3.1.conv2: rank 64"' in shown[2]["text/html"]
    board.setting = {**board.setting, "rank": 200, "final": False}
    assert board.wait(PATIENCE_S) and len(shown) == 3, "a hand that still moves is not drawn"
    board.set_rank(200)
    board.wait(PATIENCE_S)
    board.set_batch(256)
    board.wait(PATIENCE_S)
    assert [f'alt="resnet50, {LAYER}: rank 200"' in output["text/html"] for output in shown[3:]] == [True, True]
    board.close()


def test_words_say_why_it_is_not_faster(tables, clock, undrawn, shown):
    board = LatencyBoard(layer=LAYER, rank=255, tables=tables)
    board._ipython_display_()
    assert f"<li>{strings('latency', 'en')[f'verdict_{board.outlook.verdicts[-1]}']}</li>" in shown[1]["text/html"]
    assert board.outlook.verdicts[-1] == "compute"
    assert board.wait(PATIENCE_S)
    board.close()


def test_conditions_here_are_those_of_a_table():
    assert Conditions("float32", "ieee", "channels_last", "eager", 1) == latency_board.HERE


def test_a_table_that_nothing_can_be_predicted_from_says_what_to_do(tables):
    bare = LatencyTable(tuple(row for row in tables[0].rows if row.network != "fitted"), tables[0].roofs)
    with pytest.raises(InputError, match="a processor has too few times to predict from; `lowrank-kit record-latency`"):
        LatencyBoard(tables=[bare])
