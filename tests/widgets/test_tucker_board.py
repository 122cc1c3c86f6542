import json
import subprocess
import sys

import numpy as np
import pytest
import torch
from torch import nn

import lowrank_kit as kit
from lowrank_kit.checks import InputError
from lowrank_kit.measurement.cost import macs, n_params
from lowrank_kit.methods import latency_prediction
from lowrank_kit.methods.latency_prediction import PLANS
from lowrank_kit.methods.tucker_tables import estimated_ranks
from lowrank_kit.models.surgery import Factorisation
from lowrank_kit.widgets import bench, tucker_board
from lowrank_kit.widgets.tucker_board import TuckerBoard

CONVOLUTIONS = ["conv1", "conv2", "conv3"]


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Times are measured, as briefly as can be."""
    monkeypatch.setattr(bench, "LATENCY_BUDGET_S", 0)
    for budget in ("LAYER_BUDGET_S", "NETWORK_BUDGET_S"):
        monkeypatch.setattr(latency_prediction, budget, 0)


@pytest.fixture
def board():
    board = TuckerBoard("mnist-cnn")
    yield board
    board.close()


@pytest.fixture(scope="module")
def own():
    """A small network of one's own with its data."""
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(1, 6, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(6, 8, 3, stride=2),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(72, 3),
    )
    x = torch.randn(90, 1, 8, 8)
    return kit.load(model, (x, torch.arange(90) % 3))


def test_it_paints_without_torch():
    code = (
        "import sys; from lowrank_kit import TuckerBoard; from lowrank_kit.widgets.wire import tables_message; "
        "board = TuckerBoard('mnist-cnn'); tables_message(board.tables, board.rooms); "
        "print([m for m in ('torch', 'matplotlib', 'pandas', 'scipy') if m in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "[]"


@pytest.mark.parametrize(("rule", "cost"), [("energy", "params"), ("uniform", "macs")])
def test_a_setting_is_measured_as_the_plain_calls_measure_it(board, rule, cost):
    board.set_budget(0.4, rule=rule, cost=cost)
    model, data = kit.load("mnist-cnn")
    plan = kit.plan(model, rule=rule, budget=0.4, cost=cost, method="tucker", data=data, layers=CONVOLUTIONS)
    assert board.plan == plan
    assert json.loads(board.plan_json) == json.loads(plan.to_json())
    small = kit.compress(model, plan)
    direct = kit.measure(small, data, latency_budget_s=0)
    np.testing.assert_array_equal(board.record.predictions, direct.predictions)
    for same in ("accuracy", "interval", "n_params", "size_bytes", "macs", "n_examples"):
        assert getattr(board.record, same) == getattr(direct, same)
    # What the tiles said while the hand was moving.
    assert board.tables.n_params_at(board.ranks) == n_params(small)
    assert board.tables.macs_at(board.ranks) == macs(small, data.test.x)
    assert board.record.timing.batch == board.dense.timing.batch == 32


def test_what_is_told_is_what_was_measured(board):
    board.set_ranks("conv2", 20, 12)
    record, told = board.record, board.finding
    assert told["ranks"] == [32, 1, 20, 12, 128, 64]
    assert (told["stage"], told["accuracy"], told["n"]) == ("latency", record.accuracy, record.n_examples)
    change = record.change(board.dense)
    assert told["change"] == [change.value, change.low, change.high]
    factorisation = Factorisation(kit.load("mnist-cnn")[0])
    weight = factorisation.layers["conv2"].weight.detach().numpy()
    refined = factorisation.refined("conv2", (20, 12)).dense()
    assert {*told["errors"]} == {"conv2"}
    assert told["errors"]["conv2"] == pytest.approx(np.linalg.norm(weight - refined) / np.linalg.norm(weight), rel=1e-4)
    assert told["errors"]["conv2"] < board.tables.layers[1].error_at((20, 12))


def test_linear_layers_stay_whole(board):
    board.set_budget(0.05)
    model = kit.compress(kit.load("mnist-cnn")[0], board.plan)
    assert {*board.plan.layers} <= {*CONVOLUTIONS}
    assert type(model.fc1) is nn.Linear and type(model.head) is nn.Linear
    assert {*board.tables.whole} == {"fc1", "head"}


def test_the_ranks_above_the_noise(board):
    board.set_estimated()
    found = Factorisation(kit.load("mnist-cnn")[0])
    assert board.ranks == {name: estimated_ranks(found.modes(name)[1]) for name in CONVOLUTIONS}
    assert (board.plan.rule, board.plan.budget) == ("vbmf", None)
    again = kit.RankPlan.from_json(board.plan_json)
    assert again.ranks == {"conv2": board.ranks["conv2"], "conv3": board.ranks["conv3"]}  # conv1 is noise all through
    model, data = kit.load("mnist-cnn")
    direct = kit.measure(kit.compress(model, again), data, latency_budget_s=0)
    assert board.record.accuracy == direct.accuracy > 0.9


def test_undo_and_reset(board):
    start = board.ranks
    assert start == {"conv1": (32, 1), "conv2": (64, 32), "conv3": (128, 64)}
    board.set_ranks("conv3", 30, 20)
    board.set_budget(0.5, rule="uniform", cost="macs")
    board.set_estimated()
    board.undo()
    assert (board.plan.rule, board.plan.budget, board.plan.cost) == ("uniform", 0.5, "macs")
    board.undo()
    assert board.ranks["conv3"] == (30, 20) and board.plan.rule == "hand"
    board.undo()
    board.undo()
    assert board.ranks == start
    board.set_ranks("conv3", 30, 20)
    board.reset()
    assert board.ranks == start and not board.plan.layers


def test_a_slider_that_is_dragged_measures_nothing_until_it_is_let_go(board, monkeypatch):
    asked = []
    monkeypatch.setattr(board._worker, "submit", asked.append)
    hand = {"rule": "hand", "budget": None, "cost": None}
    board.setting = {"ranks": [32, 1, 20, 12, 128, 64], "final": False, **hand}
    assert not asked
    board.setting = {"ranks": [32, 1, 20, 12, 128, 64], "final": True, **hand}
    assert len(asked) == 1
    assert json.loads(board.plan_json)["layers"] == {"conv2": {"method": "tucker", "rank": [20, 12]}}


def test_a_module_of_ones_own_is_measured_in_the_background(own):
    model, data = own
    board = TuckerBoard(model, data, batch=2)
    before = {k: v.clone() for k, v in model.state_dict().items()}
    assert not any(table.measured for table in board.tables.layers)
    board.set_ranks("2", 3, 2)
    assert board._worker.wait(60, chores=True)
    assert all(table.measured for table in board.tables.layers)
    assert len(board.tables.predicted) == 50
    assert board.progress == {"done": 2, "total": 2, "plans": 50}
    direct = kit.measure(kit.compress(model, board.plan), data, latency_budget_s=0)
    np.testing.assert_array_equal(board.record.predictions, direct.predictions)
    assert all(torch.equal(before[k], v) for k, v in model.state_dict().items())
    board.close()


def test_stored_tables_serve_only_the_weights_they_were_made_for():
    trained, data = kit.load("mnist-cnn")
    initial, _ = kit.load("mnist-cnn", weights="initial")
    one, other = TuckerBoard(trained, data), TuckerBoard(initial, data)
    assert one.tables.recorded and not other.tables.recorded
    one.close()
    other.close()


def test_what_is_stored_is_what_would_be_measured_now(board):
    model, data = kit.load("mnist-cnn")
    now = bench.TuckerBench(model, data).tables
    assert now.to_arrays()[0]["whole"] == board.tables.to_arrays()[0]["whole"]
    for mine, theirs in zip(board.tables.layers, now.layers, strict=True):
        assert (mine.shape, mine.macs, mine.rank_macs, mine.pair_macs, mine.estimated) == (
            theirs.shape, theirs.macs, theirs.rank_macs, theirs.pair_macs, theirs.estimated,
        )  # fmt: skip
        np.testing.assert_allclose(mine.errors, theirs.errors, atol=1e-4)
        assert mine.measured


def test_a_time_is_predicted_at_every_pair_once_the_layers_are_timed(board):
    assert board.tables.recorded and board.predicted_latency_s is None
    board.set_ranks("conv2", 20, 12)
    assert board._worker.wait(60, chores=True)
    times = board._bench.predictor(32).times
    assert board.predicted_latency_s == times.predict(board.ranks) > 0
    assert {name: shares.shape for name, shares in times.shares.items()} == {
        table.name: table.full_rank for table in board.tables.layers
    }
    assert len(times.predicted) == PLANS
    board.reset()
    board.wait()
    assert board.predicted_latency_s == board.dense.timing.median_s


def test_its_text_is_the_same_in_every_run(board):
    assert repr(board) == "TuckerBoard(mnist-cnn: 3 convolutions, 100% of the parameters kept)"


def test_arrays_are_not_among_what_a_notebook_stores(board):
    state = json.dumps(board.get_state(["setting", "finding", "tried", "history", "plan_json", "progress"]))
    assert len(state) < 2000


def test_it_shows_a_live_view_and_a_still_picture(board, monkeypatch):
    shown = []
    monkeypatch.setattr("lowrank_kit.widgets.still.display", lambda data, **_: shown.append(data))
    monkeypatch.setattr("lowrank_kit.widgets.still.update_display", lambda data, **_: shown.append(data))
    board._ipython_display_()
    board.set_ranks("conv2", 20, 12)
    board.wait()
    live, first, last = shown
    assert "application/vnd.jupyter.widget-view+json" in live and live["text/plain"].startswith("TuckerBoard(")
    assert "<li>conv2: rank 64 × 32 of 64 × 32</li>" in first["text/html"]
    assert 'src="data:image/png;base64,' in last["text/html"]
    assert "conv2 20 x 12" in last["text/html"]


@pytest.mark.parametrize(
    ("act", "words"),
    [
        (lambda b: b.set_ranks("fc1", 3, 3), "`layer` must be one of 'conv1', 'conv2', 'conv3'; got 'fc1'"),
        (lambda b: b.set_ranks("conv2", 65, 3), "`outputs` must be a whole number between 1 and 64 for conv2; got 65"),
        (lambda b: b.set_ranks("conv2", 3, 0), "`inputs` must be a whole number between 1 and 32 for conv2; got 0"),
        (lambda b: b.set_ranks("conv2", 2.5, 3), "got 2.5"),
        (lambda b: b.set_budget(0), "`budget` must be a fraction"),
        (lambda b: b.set_budget(1e-6), "`budget` must be at least"),
        (lambda b: b.set_budget(0.5, rule="best"), "`rule` must be one of"),
        (lambda b: b.set_budget(0.5, cost="time"), "`cost` must be one of"),
        (lambda b: TuckerBoard("digits-mlp"), "`source` must be one of 'mnist-cnn'; got 'digits-mlp'"),
        (lambda b: TuckerBoard(nn.Conv2d(2, 2, 3)), "`data` must come with a module"),
        (lambda b: TuckerBoard(*kit.load("digits-mlp")), "a convolution with a kernel larger than 1"),
        (lambda b: TuckerBoard("mnist-cnn", batch=0), "`batch` must be at least 1"),
        (lambda b: TuckerBoard("mnist-cnn", language="fr"), "`language` must be one of"),
    ],
)
def test_bad_input_gets_one_sentence_and_changes_nothing(board, act, words):
    before = dict(board.setting)
    with pytest.raises(InputError, match=words):
        act(board)
    assert board.setting == before


def test_boards_import_no_network_at_module_level():
    assert "torch" not in vars(tucker_board)
