import json
import subprocess
import sys
import threading
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

import lowrank_kit as kit
from lowrank_kit.checks import InputError
from lowrank_kit.methods import latency_prediction
from lowrank_kit.methods.latency_prediction import PLANS
from lowrank_kit.widgets import bench, rank_board
from lowrank_kit.widgets.rank_board import RankBoard


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Times are measured, as briefly as can be."""
    monkeypatch.setattr(bench, "LATENCY_BUDGET_S", 0)
    for budget in ("LAYER_BUDGET_S", "NETWORK_BUDGET_S"):
        monkeypatch.setattr(latency_prediction, budget, 0)


@pytest.fixture
def board():
    board = RankBoard("digits-mlp")
    yield board
    board.close()


@pytest.fixture(scope="module")
def own():
    """A small network of one's own with its data."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(16, 24), nn.ReLU(), nn.Linear(24, 3))
    x = torch.randn(90, 1, 4, 4)
    return kit.load(model, (x, torch.arange(90) % 3))


def test_it_paints_without_torch():
    code = (
        "import sys; from lowrank_kit import RankBoard; from lowrank_kit.widgets.wire import tables_message; "
        "tables_message(RankBoard('mnist-cnn').tables); "
        "print([m for m in ('torch', 'matplotlib', 'pandas', 'scipy.stats') if m in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "[]"


def test_a_setting_is_measured_as_the_plain_call_measures_it(board):
    board.set_budget(0.4)
    model, data = kit.load("digits-mlp")
    plan = kit.plan(model, budget=0.4)
    assert board.plan == plan
    assert json.loads(board.plan_json) == json.loads(plan.to_json())
    direct = kit.measure(kit.compress(model, plan), data, latency_budget_s=0)
    np.testing.assert_array_equal(board.record.predictions, direct.predictions)
    for same in ("accuracy", "interval", "n_params", "size_bytes", "macs", "n_examples"):
        assert getattr(board.record, same) == getattr(direct, same)
    assert board.record.timing.batch == board.dense.timing.batch == 32


def test_what_is_told_is_what_was_measured(board):
    board.set_rank("fc1", 9)
    record, dense = board.record, board.dense
    told = board.finding
    assert told["ranks"] == list(board.ranks.values())
    assert told["stage"] == "latency" and told["n"] == record.n_examples
    assert told["accuracy"] == record.accuracy
    change = record.change(dense)
    assert told["change"] == [change.value, change.low, change.high]


def test_tried_settings_are_judged_on_validation_examples_and_listed_once(board):
    board.set_rank("fc1", 9)
    board.wait()
    board.set_rank("fc1", 12)
    board.wait()
    board.undo()
    board.wait()
    assert [point["ranks"][0] for point in board.tried] == [9, 12]
    model, data = kit.load("digits-mlp")
    twelve = kit.compress(model, board.tables.plan({**board.ranks, "fc1": 12}))
    change = kit.measure(twelve, data.validation, latency_budget_s=0).change(
        kit.measure(model, data.validation, latency_budget_s=0)
    )
    assert board.tried[1]["change"][0] == change.value


def test_undo_and_reset(board):
    start = board.ranks
    board.set_rank("fc1", 9)
    board.set_budget(0.5, rule="uniform", cost="macs")
    assert (board.plan.rule, board.plan.budget, board.plan.cost) == ("uniform", 0.5, "macs")
    board.undo()
    assert board.ranks["fc1"] == 9 and board.plan.rule == "hand"
    board.undo()
    board.undo()
    assert board.ranks == start
    board.set_rank("fc1", 9)
    board.reset()
    assert board.ranks == start and not board.plan.layers


def test_a_slider_that_is_dragged_measures_nothing_until_it_is_let_go(board, monkeypatch):
    asked = []
    monkeypatch.setattr(board._worker, "submit", asked.append)
    hand = {"rule": "hand", "budget": None, "cost": None}
    board.setting = {"ranks": [9, 128, 10], "final": False, **hand}
    assert not asked
    board.setting = {"ranks": [9, 128, 10], "final": True, **hand}
    assert len(asked) == 1 and json.loads(board.plan_json)["layers"]["fc1"]["rank"] == 9


def test_a_view_is_sent_the_tables_and_the_network_is_loaded_behind_its_first_picture(board, monkeypatch):
    sent, asked = [], []
    monkeypatch.setattr(board, "send", lambda content, buffers: sent.append(content["kind"]))
    monkeypatch.setattr(board._worker, "submit", asked.append)
    board._hear(board, {"kind": "hello"}, [])
    assert sent == ["tables"] and not asked
    board._hear(board, {"kind": "painted"}, [])
    assert len(asked) == 1


def test_a_module_of_ones_own_is_measured_in_the_background(own):
    model, data = own
    board = RankBoard(model, data, batch=2)
    before = {k: v.clone() for k, v in model.state_dict().items()}
    assert all(not table.measured.any() for table in board.tables.layers)
    board.set_rank("1", 3)
    assert board._worker.wait(60, chores=True)
    assert all(table.measured.any() for table in board.tables.layers)
    assert len(board.tables.predicted) == 50
    assert board.progress == {"done": 2, "total": 2, "plans": 50}
    direct = kit.measure(kit.compress(model, board.plan), data, latency_budget_s=0)
    np.testing.assert_array_equal(board.record.predictions, direct.predictions)
    assert all(torch.equal(before[k], v) for k, v in model.state_dict().items())
    board.close()


def test_stored_tables_serve_only_the_weights_they_were_made_for():
    trained, data = kit.load("digits-mlp")
    initial, _ = kit.load("digits-mlp", weights="initial")
    one, other = RankBoard(trained, data), RankBoard(initial, data)
    assert one.tables.layers[0].measured.any() and not other.tables.layers[0].measured.any()
    one.close()
    other.close()


def test_stored_tables_serve_only_the_data_they_were_made_for():
    model, data = kit.load("digits-mlp")
    mirrored = kit.Examples(data.test.x[:, ::-1].copy(), data.test.y)
    board = RankBoard(model, replace(data, test=mirrored))
    assert not board.tables.recorded
    assert board.tables.accuracy == kit.measure(model, mirrored, latency_budget_s=0).accuracy < 0.9
    board.close()


def test_stored_tables_serve_only_the_biases_they_were_made_for():
    model, data = kit.load("digits-mlp")
    with torch.no_grad():
        model.fc1.bias.add_(1)
    board = RankBoard(model, data)
    assert not board.tables.recorded
    board.close()


def test_what_goes_wrong_behind_the_board_is_told_and_raised(board, monkeypatch):
    def broken(self, plan, batch, stop):
        raise InputError("the sentence.")
        yield

    monkeypatch.setattr(bench.Bench, "trial", broken)
    board.set_rank("fc1", 9)
    with pytest.raises(InputError, match="the sentence"):
        board.wait()
    assert board.fault == "the sentence."
    monkeypatch.undo()
    monkeypatch.setattr(bench, "LATENCY_BUDGET_S", 0)
    board.set_rank("fc1", 10)
    board.wait()
    assert board.fault == ""


def test_a_bug_is_never_shown_as_the_users_mistake(board, monkeypatch):
    monkeypatch.setattr(bench.Bench, "trial", lambda *_: 1 / 0)
    board.set_rank("fc1", 9)
    with pytest.raises(ZeroDivisionError):
        board.wait()
    assert board.fault == "ZeroDivisionError: see the kernel's log."


def test_a_closed_board_says_so(board):
    board.close()
    with pytest.raises(InputError, match="the board is closed"):
        board.set_rank("fc1", 9)


def test_asking_for_the_record_measures_once(board, monkeypatch):
    begun, trial = [], bench.Bench.trial
    monkeypatch.setattr(bench.Bench, "trial", lambda *arguments: begun.append(1) or trial(*arguments))
    board.set_rank("fc1", 9)
    assert board.record.timing is not None and board.dense.timing is not None
    assert len(begun) == 1


def test_another_batch_is_timed_anew(board):
    board.set_rank("fc1", 9)
    assert board.record.timing.batch == 32
    board.batch = 1
    assert board.record.timing.batch == 1
    assert board.finding["latency"]["batch"] == 1


def test_a_time_is_predicted_once_the_layers_are_timed_also_where_tables_are_stored(board):
    assert board.tables.recorded and board.predicted_latency_s is None
    board.set_rank("fc1", 9)
    assert board._worker.wait(60, chores=True)
    times = board._bench.predictor(32).times
    assert board.predicted_latency_s == times.predict(board.ranks) > 0
    # The random plans, and this setting where its layers were timed before it.
    assert len(times.predicted) == PLANS
    board.set_rank("fc1", 12)
    foretold = board.predicted_latency_s
    board.wait()
    after = board._bench.predictor(32).times
    assert after.predicted.tolist() == [*times.predicted, foretold]
    assert after.observed[-1] == board.record.timing.median_s
    assert after.dense_s == board.dense.timing.median_s
    board.reset()
    board.wait()
    assert board.predicted_latency_s == board.dense.timing.median_s
    assert len(board._bench.predictor(32).times.predicted) == PLANS + 1


def test_nothing_but_times_is_learnt_where_tables_are_stored(board):
    before = board.tables
    board.set_rank("fc1", 9)
    assert board._worker.wait(60, chores=True)
    assert board.tables is board._bench.tables and not board.progress
    for mine, theirs in zip(board.tables.layers, before.layers, strict=True):
        np.testing.assert_array_equal(mine.drop, theirs.drop)


def test_every_batch_is_learnt_by_itself_and_once(board):
    board.set_rank("fc1", 9)
    assert board._worker.wait(60, chores=True)
    first = board._bench.predictor(32).times
    board.batch = 2
    assert board.predicted_latency_s is None
    assert board._worker.wait(60, chores=True)
    second = board._bench.predictor(2).times
    assert (second.batch, len(second.predicted)) == (2, PLANS)
    assert board.predicted_latency_s == second.predict(board.ranks)
    board.batch = 32
    assert board._worker.wait(60, chores=True)
    assert board._bench.predictor(32).times is first


def test_a_batch_that_was_left_is_taken_up_where_it_was_left(board):
    board.wait()
    steps, learn = [], latency_prediction.LatencyPredictor.learn

    def slow(self, stop):
        for step in learn(self, stop):
            steps.append(self.batch)
            if self.batch == 32 and len(steps) == 2:
                board.batch = 2  # a person does this from another thread, between two steps
            yield step

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(latency_prediction.LatencyPredictor, "learn", slow)
        board.set_rank("fc1", 9)
        assert board._worker.wait(60, chores=True)
        assert steps[:3] == [32, 32, 2]
        left = board._bench.predictor(32).times
        assert len(left.predicted) == 0 and len(board._bench.predictor(2).times.predicted) == PLANS
        board.batch = 32
        assert board._worker.wait(60, chores=True)
    assert len(board._bench.predictor(32).times.predicted) == PLANS
    # The dense network was timed with the setting; each layer alone and in its place; then the plans.
    assert steps.count(32) == steps.count(2) == 2 * 3 + PLANS


def test_a_board_that_is_closed_stops_timing(board, monkeypatch):
    begun, closed, asked = threading.Event(), threading.Event(), []

    def learn(self, stop):
        while not stop():
            begun.set()
            closed.wait(0.01)
        asked.append(stop())
        yield

    monkeypatch.setattr(latency_prediction.LatencyPredictor, "learn", learn)
    board.set_rank("fc1", 9)
    assert begun.wait(30)
    board.close()
    board._worker._thread.join(30)
    assert not board._worker._thread.is_alive() and asked == [True]


def test_a_hand_that_lets_go_is_not_kept_waiting(board, monkeypatch):
    begun = threading.Event()

    def learn(self, stop):
        while True:
            begun.set()
            while not stop():
                threading.Event().wait(0.01)
            yield

    monkeypatch.setattr(latency_prediction.LatencyPredictor, "learn", learn)
    board.set_rank("fc1", 9)
    assert begun.wait(30)
    board.set_rank("fc1", 12)
    assert board.wait(30)
    assert board.record.plan.ranks == {"fc1": 12}


def test_times_are_told_to_a_view_that_comes_later_and_once_to_the_others(board, monkeypatch):
    sent = []
    monkeypatch.setattr(board, "send", lambda content, buffers: sent.append(content))
    board.set_rank("fc1", 9)
    assert board._worker.wait(60, chores=True)
    told = [content for content in sent if content["kind"] == "times"]
    known = [{*content["arrays"]} for content in told if content["arrays"]]
    # All of them, of which nothing is known; then each alone, and again where its place showed something else.
    assert known[:4] == [{"fc1", "fc2", "head"}, {"fc1"}, {"fc2"}, {"head"}]
    assert all(len(names) == 1 for names in known[4:])
    sent.clear()
    board._hear(board, {"kind": "hello"}, [])
    assert [content["kind"] for content in sent] == ["tables", "times"]
    assert {*sent[1]["arrays"]} == {"fc1", "fc2", "head"} and len(sent[1]["predicted"]) == PLANS


def test_its_text_is_the_same_in_every_run(board):
    assert repr(board) == "RankBoard(digits-mlp: 3 layers, 100% of the parameters kept)"


def test_arrays_are_not_among_what_a_notebook_stores(board):
    state = json.dumps(board.get_state(["setting", "finding", "tried", "history", "plan_json", "progress"]))
    assert len(state) < 2000


def test_it_shows_a_live_view_and_a_still_picture(board, monkeypatch):
    shown = []
    monkeypatch.setattr("lowrank_kit.widgets.still.display", lambda data, **_: shown.append(data))
    monkeypatch.setattr("lowrank_kit.widgets.still.update_display", lambda data, **_: shown.append(data))
    board._ipython_display_()
    board.set_rank("fc1", 9)
    board.wait()
    live, first, last = shown
    assert "application/vnd.jupyter.widget-view+json" in live and live["text/plain"].startswith("RankBoard(")
    assert "<li>fc1: rank 64 of 64</li>" in first["text/html"]
    assert 'src="data:image/png;base64,' in last["text/html"]
    assert all(f'id="{board.still_id}"' in output["text/html"] for output in (first, last))


@pytest.mark.parametrize(
    ("act", "words"),
    [
        (lambda b: b.set_rank("fc9", 3), "`layer` must be one of 'fc1', 'fc2', 'head'; got 'fc9'"),
        (lambda b: b.set_rank("fc1", 65), "between 1 and min\\(m, n\\) = 64"),
        (lambda b: b.set_rank("fc1", 0), "got 0"),
        (lambda b: b.set_budget(0), "`budget` must be a fraction"),
        (lambda b: b.set_budget(1e-6), "`budget` must be at least"),
        (lambda b: b.set_budget(0.5, rule="best"), "`rule` must be one of"),
        (lambda b: b.set_budget(0.5, cost="time"), "`cost` must be one of"),
        (lambda b: RankBoard("mnist"), "`source` must be one of"),
        (lambda b: RankBoard(nn.Linear(2, 2)), "`data` must come with a module"),
        (lambda b: RankBoard("digits-mlp", batch=0), "`batch` must be at least 1"),
        (lambda b: RankBoard("digits-mlp", language="fr"), "`language` must be one of"),
    ],
)
def test_bad_input_gets_one_sentence_and_changes_nothing(board, act, words):
    before = dict(board.setting)
    with pytest.raises(InputError, match=words):
        act(board)
    assert board.setting == before


def test_boards_import_no_network_at_module_level():
    assert "torch" not in vars(rank_board)
