"""The training player from Python: what its buttons and sliders do, and what travels to the browser."""

import json
import threading

import numpy as np
import pytest
import torch
from torch import nn

import lowrank_kit as kit
from lowrank_kit.checks import InputError
from lowrank_kit.files import read_arrays, write_arrays
from lowrank_kit.i18n import strings
from lowrank_kit.measurement.measure import measure
from lowrank_kit.records import Data, Measurement, Trajectory
from lowrank_kit.widgets import player as players
from lowrank_kit.widgets.rows import rows_message
from lowrank_kit.widgets.training_player import TrainingPlayer

PATIENCE_S = 60
SETTINGS = {"epochs": 3, "batch": 20, "local_steps": 4}


@pytest.fixture
def undrawn(monkeypatch):
    """Without pictures, which take longer than what is tested here."""
    monkeypatch.setattr(TrainingPlayer, "_draw", lambda player: None)


@pytest.fixture
def made(learner, lessons):
    """(settings) -> a player, closed at the end."""
    players = []

    def make(*source, **options):
        players.append(TrainingPlayer(*(source or (learner, lessons)), **({} if source else SETTINGS) | options))
        return players[-1]

    yield make
    for player in players:
        player.close()


@pytest.fixture
def finished(made, undrawn):
    player = made()
    player.start()
    assert player.wait(PATIENCE_S)
    return player


@pytest.fixture
def sent(monkeypatch):
    """What players send, as (message, buffers)."""
    found = []
    monkeypatch.setattr(TrainingPlayer, "send", lambda player, content, buffers: found.append((content, buffers)))
    return found


def at_piece(player, number, act):
    """Do something when so many pieces of the training have been done, in the training's own thread."""
    advance, done = player._shown.advance, []

    def watched():
        goes_on = advance()
        done.append(True)
        if len(done) == number:
            act()
        return goes_on

    player._shown.advance = watched


def same(one, other):
    assert one.arrays.keys() == other.arrays.keys()
    return all(np.array_equal(one[name], other[name], equal_nan=True) for name in one.arrays)


def test_it_begins_at_the_start(made):
    player = made()
    assert (player.state, player.step, player.tolerance, player.ceiling, player.language) == (
        "ready",
        0,
        0.3,
        None,
        "en",
    )
    assert player.ranks == {"2": (4, 2), "6": (6, 6)}
    assert repr(player) == "TrainingPlayer(patterns: ready, to step 0)"
    assert player.wait(0)


def test_a_network_of_the_zoo_begins_with_new_weights_of_the_seed():
    from lowrank_kit.models.zoo import ZOO

    torch.manual_seed(3)
    known = ZOO["digits-mlp"].build().head.weight
    torch.manual_seed(99)
    before = torch.get_rng_state()
    player = TrainingPlayer("digits-mlp", seed=3)
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(player.training.model.head.weight, known)
    assert player.trajectory.name == "digits-mlp" and list(player.ranks) == ["fc2"]
    player.close()


def test_the_language_comes_from_the_environment(made, monkeypatch):
    monkeypatch.setenv("LOWRANK_KIT_LANG", "ja")
    assert made().language == "ja"


def test_it_trains_to_the_end(finished, lessons):
    assert finished.state == "finished" and finished.step == 18
    assert finished.progress == {"done": 18, "total": 18, "undone": 0}
    trajectory = finished.trajectory
    assert trajectory.steps.tolist() == [0, 4, 8, 12, 16, 18] and trajectory.layers == ("2", "6")
    assert finished.ranks == {"2": tuple(trajectory["ranks"][-1][0]), "6": tuple(trajectory["ranks"][-1][1])}
    network, plan = finished.compressed()
    assert finished.record.plan == plan
    np.testing.assert_array_equal(
        finished.record.predictions, measure(network, lessons, latency_budget_s=0).predictions
    )
    assert finished.outcome == trajectory.facts["test"] and finished.outcome["accuracy"] == finished.record.accuracy


def test_the_same_seed_gives_the_same_training(finished, made):
    other = made()
    other.start()
    other.wait()
    assert same(finished.trajectory, other.trajectory)
    np.testing.assert_array_equal(finished.record.predictions, other.record.predictions)


@pytest.mark.parametrize("piece", [1, 2, 9, 20])
def test_a_pause_changes_nothing(finished, made, piece):
    player = made()
    at_piece(player, piece, player.pause)
    player.start()
    assert player.wait(PATIENCE_S) and player.state == "paused"
    assert player.progress["done"] < 18 and player.outcome == {}
    step = player.step
    assert player.wait(0) and player.step == step
    player.pause()
    player.resume()
    assert player.wait(PATIENCE_S) and player.state == "finished"
    assert same(finished.trajectory, player.trajectory)


def test_a_pause_in_the_last_piece_of_all_is_the_end(made, undrawn):
    player = made()
    advance = player._shown.advance

    def pausing_at_the_end():
        goes_on = advance()
        if not goes_on:
            player.pause()
        return goes_on

    player._shown.advance = pausing_at_the_end
    player.start()
    player.wait()
    assert player.state == "finished" and player.outcome


def test_record_waits_for_the_end(made, undrawn):
    player = made()
    player.start()
    assert player.record.n_examples == 60 and player.state == "finished"


def test_cancelling_leaves_what_was_recorded(made, undrawn):
    player = made()
    at_piece(player, 14, player.cancel)
    player.start()
    assert player.wait(PATIENCE_S) and player.state == "cancelled"
    assert 2 <= len(player.trajectory) < 6 and player.step == player.trajectory.steps[-1]
    network, _ = player.compressed()
    with torch.no_grad():
        assert network(torch.zeros(2, 1, 8, 8)).shape == (2, 3)
    with pytest.raises(
        InputError, match="`record` is there when the training has come to its end; this one is cancelled"
    ):
        _ = player.record
    with pytest.raises(InputError, match="`start` begins a training, and this one is cancelled; `restart` begins it"):
        player.start()
    player.cancel()
    player.pause()
    assert player.state == "cancelled"


def test_a_paused_training_can_be_cancelled(made, undrawn):
    player = made()
    at_piece(player, 5, player.pause)
    player.start()
    player.wait()
    player.cancel()
    assert player.wait(PATIENCE_S) and player.state == "cancelled"


def test_it_begins_anew_from_the_network_as_it_was_given(finished, made):
    before = finished.trajectory
    finished.restart()
    assert finished.wait(PATIENCE_S)
    assert same(before, finished.trajectory) and finished.state == "finished"
    finished.set_tolerance(0.7)
    finished.set_ceiling(3)
    finished.scrub(index=1)
    finished.restart()
    finished.wait()
    assert finished.setting["at"] is None and finished.ranks["2"] != before["ranks"][-1][0].tolist()
    assert (finished.trajectory["tolerance"][1:] == 0.7).all() and (finished.trajectory["ceiling"] == 3).all()


def test_it_can_begin_anew_while_it_runs(finished, made):
    player = made()
    at_piece(player, 7, player.restart)
    player.start()
    assert player.wait(PATIENCE_S) and player.state == "finished"
    assert same(finished.trajectory, player.trajectory)


def test_sliders_hold_from_the_next_truncation_on(made, undrawn):
    player = made(tolerance=0.05)

    def steer():
        player.set_tolerance(0.6)
        player.setting = {**player.setting, "ceiling": 3, "final": False}  # as a view does

    at_piece(player, 12, steer)
    player.start()
    player.wait()
    tolerances, ceilings = (player.trajectory[name][1:] for name in ("tolerance", "ceiling"))
    changed = int(np.argmax(tolerances == 0.6))
    assert changed > 0 and (tolerances[:changed] == 0.05).all() and (tolerances[changed:] == 0.6).all()
    assert np.isnan(ceilings[:changed]).all() and (ceilings[changed:] == 3).all()
    assert np.nanmax(player.trajectory["ranks"][changed + 1 :]) <= 3
    assert (player.tolerance, player.ceiling) == (0.6, 3)
    player.set_ceiling(None)
    assert player.ceiling is None and player.training.adaptation.ceiling is None
    json.dumps(player.setting)


def test_a_bad_learning_rate_is_told_and_nothing_is_lost(made, undrawn):
    player = made(learning_rate=1e30)
    player.start()
    with pytest.raises(InputError, match="training must have finite losses and gradients"):
        player.wait(PATIENCE_S)
    assert player.state == "failed" and player.fault.startswith("training must have finite losses")
    assert player.progress["undone"] == 3 and len(player.trajectory) >= 1
    assert all(torch.isfinite(p).all() for p in player.compressed()[0].parameters())
    with pytest.raises(InputError, match="and this one is failed; `restart` begins it anew"):
        player.start()
    with pytest.raises(InputError, match="`resume` goes on with a training that is paused; this one is failed"):
        player.resume()


def test_a_fault_in_the_step_of_a_pause_is_no_pause(made, undrawn, monkeypatch):
    player = made()

    def broken():
        player.pause()
        raise InputError("the sentence.")

    monkeypatch.setattr(player._shown, "advance", broken)
    player.start()
    with pytest.raises(InputError, match="the sentence"):
        player.wait(PATIENCE_S)
    assert player.state == "failed" and player.fault == "the sentence."


def test_a_bug_is_never_shown_as_the_users_mistake(made, undrawn, monkeypatch):
    player = made()
    monkeypatch.setattr(player._shown, "advance", lambda: 1 / 0)
    player.start()
    with pytest.raises(ZeroDivisionError):
        player.wait(PATIENCE_S)
    assert player.fault == "ZeroDivisionError: see the kernel's log." and player.state == "failed"
    player.restart()
    player.wait()
    assert player.fault == "" and player.state == "finished"


def test_scrubbing_shows_the_training_as_it_was(finished):
    steps, ranks = finished.trajectory.steps, finished.trajectory["ranks"]
    for index, step in enumerate(steps):
        finished.scrub(step)
        assert finished.step == step and finished.setting["at"] == index
        assert finished.ranks["2"] == tuple(ranks[index][0])
    finished.scrub(9)
    assert finished.step == 8
    finished.scrub(index=0)
    assert finished.step == 0
    finished.scrub()
    assert finished.step == 18 and finished.setting["at"] is None
    json.dumps(finished.setting)


@pytest.mark.parametrize(
    ("act", "words"),
    [
        (lambda p: p.scrub(-1), "`step` or `index` must be of an entry there is, 0 to 0, from step 0 to 0; got -1."),
        (lambda p: p.scrub(index=1), "0 to 0, from step 0 to 0; got 1."),
        (lambda p: p.set_tolerance(0), "`tolerance` must lie above 0 and below 1; got 0."),
        (lambda p: p.set_tolerance(1.0), "`tolerance` must lie above 0 and below 1; got 1.0."),
        (lambda p: p.set_ceiling(1), "`ceiling` must be a whole number of at least 2; got 1."),
        (lambda p: p.set_ceiling(2.5), "`ceiling` must be a whole number of at least 2; got 2.5."),
        (lambda p: p.resume(), "`resume` goes on with a training that is paused; this one is ready."),
        (lambda p: p.record, "`record` is there when the training has come to its end; this one is ready."),
        (lambda p: TrainingPlayer("mnist"), "`source` must be one of 'mnist-cnn'"),
        (lambda p: TrainingPlayer("digits-mlp", (1, 2)), "'digits-mlp' brings its own data."),
        (lambda p: TrainingPlayer("digits-mlp", tolerance=3), "`tolerance` must lie above 0 and below 1; got 3."),
        (lambda p: TrainingPlayer("digits-mlp", ceiling=0), "`ceiling` must be a whole number of at least 2; got 0."),
        (lambda p: TrainingPlayer("digits-mlp", epochs=0), "`epochs` must be a whole number of at least 1; got 0."),
        (lambda p: TrainingPlayer("digits-mlp", keep=("fc3",)), "`keep` must be one of 'fc1', 'fc2', 'head'; got"),
        (lambda p: TrainingPlayer("digits-mlp", language="fr"), "`language` must be one of 'en', 'ja'; got 'fr'."),
        (lambda p: TrainingPlayer(nn.Linear(2, 2)), "`data` must come with a module: Data(name, validation, test"),
        (lambda p: TrainingPlayer(3), "digits-mlp), an nn.Module or a Trajectory; got int."),
        (lambda p: TrainingPlayer(Trajectory("x", np.array([]), {})), "with at least one entry; this one has none"),
    ],
)  # fmt: skip
def test_bad_input_gets_one_sentence_and_changes_nothing(made, act, words):
    player = made()
    before = dict(player.setting)
    with pytest.raises(InputError) as refusal:
        act(player)
    assert words in str(refusal.value) and "\n" not in str(refusal.value)
    assert player.setting == before and player.state == "ready" and player.fault == ""


def test_data_without_training_examples_are_refused(learner, lessons):
    with pytest.raises(InputError, match="'bare' has validation and test examples only"):
        TrainingPlayer(learner, Data("bare", lessons.validation, lessons.test))


def test_the_network_cannot_be_had_while_it_is_trained(made, undrawn):
    player, asked = made(), []

    def ask():
        with pytest.raises(InputError, match="the network is being trained; `pause` the training first"):
            player.compressed()
        asked.append(True)

    at_piece(player, 3, ask)
    player.start()
    player.wait()
    assert asked


def test_a_closed_player_says_so_and_its_thread_ends(made, undrawn):
    player, inside = made(), threading.Event()
    at_piece(player, 3, inside.set)
    player.start()
    assert inside.wait(PATIENCE_S)
    player.close()
    player._worker._thread.join(PATIENCE_S)
    assert not player._worker._thread.is_alive() and player.state in ("cancelled", "finished")
    assert len(player.trajectory) >= 1
    with pytest.raises(InputError, match="the board is closed"):
        player.restart()
    assert len(made().trajectory) == 1, "another one lives on"


def test_the_change_against_a_dense_network_is_told(made, undrawn, lessons):
    dense = Measurement("dense", 1, 4, 1, lessons.test.y, lessons.test.y)
    player = made(dense=dense)
    player.start()
    change = player.record.change(dense)
    player.wait()
    assert player.outcome["change"] == [change.value, change.low, change.high]


# What travels.


def assembled(sent):
    """The rows as a browser holds them after all messages, one behind the other, and the last run."""
    rows, run = {}, -1
    for message, buffers in sent:
        if message["run"] > run:
            run, rows = message["run"], {}
        for index in range(message["count"]):
            size = message["size"]
            numbers = np.frombuffer(buffers[0], "<f8").reshape(message["count"], -1)[index]
            grid = np.frombuffer(buffers[1], "<f4").reshape(message["count"], 2, size)[index]
            rows[message["start"] + index] = numbers.tobytes() + grid.tobytes()
    return [rows[index] for index in sorted(rows)], run


def expected(player):
    message = rows_message(player._shown.rows, 0, (len(player._limits), 2))
    return assembled([({**message[0], "run": 0}, message[1])])[0]


@pytest.mark.parametrize("pause_s", [0, 1000])
def test_the_browser_has_every_row_in_the_end(made, undrawn, sent, monkeypatch, pause_s):
    monkeypatch.setattr(players, "TELL_S", pause_s)
    player = made()
    player._hear(player, {"kind": "hello"}, [])
    player.start()
    player.wait()
    assert assembled(sent)[0] == expected(player) and len(expected(player)) == 6
    assert sum(message["kind"] == "begin" for message, _ in sent) == 1


def test_a_row_is_sent_once_unless_more_is_known_of_it(made, undrawn, sent, monkeypatch):
    monkeypatch.setattr(players, "TELL_S", 0)
    player = made()
    player.start()
    player.wait()
    lengths = [message["count"] for message, _ in sent]
    assert max(lengths) <= 2 and len(sent) <= 2 * 6 + 1


def test_a_new_view_is_sent_all_there_is(finished, sent):
    finished._hear(finished, {"kind": "hello"}, [])
    ((message, _),) = sent
    assert message["kind"] == "begin" and assembled(sent)[0] == expected(finished)
    assert message["strings"] == {language: strings("player", language) for language in ("en", "ja")}
    words = message["words"]
    assert words["name"] == "patterns" and words["expected"] == 6 and words["columns"] == 2
    assert words["layers"] == [
        {"name": "2", "limits": [8, 4], "matrix": False},
        {"name": "6", "limits": [12, 128], "matrix": True},
    ]
    assert (words["n_looked_at"], words["total"], words["epochs"], words["n_train"]) == (60, 18, 3, 120)
    json.dumps(message)


def test_a_view_that_opens_meanwhile_misses_nothing(made, undrawn, sent, monkeypatch):
    monkeypatch.setattr(players, "TELL_S", 0)
    player = made()
    at_piece(player, 12, lambda: (sent.clear(), player._hear(player, {"kind": "hello"}, [])))
    player.start()
    player.wait()
    assert assembled(sent)[0] == expected(player)


def test_views_begin_anew_with_a_training_that_does(finished, sent):
    finished.restart()
    finished.wait()
    assert sent[0][0]["kind"] == "begin" and sent[0][0]["count"] == 1
    assert {message["run"] for message, _ in sent} == {1}
    assert assembled(sent)[0] == expected(finished)


def test_a_view_does_what_python_does(made, undrawn):
    player = made()
    at_piece(player, 6, lambda: player._hear(player, {"kind": "pause"}, []))
    player._hear(player, {"kind": "start"}, [])
    player.wait()
    assert player.state == "paused"
    player._hear(player, {"kind": "resume"}, [])
    player.wait()
    assert player.state == "finished"
    player._hear(player, {"kind": "restart"}, [])
    player._hear(player, {"kind": "cancel"}, [])
    player.wait()
    assert player.state == "cancelled"


def test_what_a_view_cannot_ask_for_is_told_or_not_heard(finished):
    finished._hear(finished, {"kind": "start"}, [])
    assert finished.fault.startswith("`start` begins a training, and this one is finished")
    for kind in ("close", "_draw", "wait", None):
        finished._hear(finished, {"kind": kind}, [])
    assert finished.state == "finished" and not finished._worker.is_closed


def test_arrays_are_not_among_what_a_notebook_stores(finished):
    state = finished.get_state()
    code = {"_esm", "_css", "_anywidget_id"}
    assert len(json.dumps({k: v for k, v in state.items() if k not in code}, default=str)) < 2000


# Recorded.


@pytest.fixture
def recorded(finished, tmp_path):
    """A training out of a file."""
    words, arrays = finished.trajectory.to_arrays()
    words["facts"]["recorded"] = "2025-11-23, a processor"
    write_arrays(tmp_path / "training.safetensors", words, arrays)
    return kit.Trajectory.from_arrays(*read_arrays(tmp_path / "training.safetensors"))


def test_a_recorded_training_is_played_as_it_was(finished, recorded, made, sent):
    player = made(recorded)
    assert player.state == "recorded" and player.trajectory is recorded
    assert player.outcome == finished.outcome and player.ranks == finished.ranks
    player.scrub(8)
    finished.scrub(8)
    assert (player.step, player.ranks) == (finished.step, finished.ranks)
    player._hear(player, {"kind": "hello"}, [])
    ((message, _),) = sent
    assert assembled(sent)[0] == expected(finished)
    assert message["words"]["recorded"] == "2025-11-23, a processor" and message["words"]["expected"] == 6


@pytest.mark.parametrize("act", ["start", "pause", "resume", "cancel", "restart", "compressed"])
def test_a_recorded_training_is_only_played(recorded, made, undrawn, act):
    player = made(recorded)
    with pytest.raises(InputError, match=r"this training is recorded and only played; TrainingPlayer\(network, data\)"):
        getattr(player, act)()
    for name in ("record", "training"):
        with pytest.raises(InputError, match="only played"):
            getattr(player, name)
    with pytest.raises(InputError, match="only played"):
        player.set_tolerance(0.1)
    assert player.state == "recorded"


def test_a_training_without_ranks_is_played_too(made, sent, undrawn):
    dense = Trajectory("dense", np.array([0, 5]), {"loss": np.array([2.0, 1.0])})
    player = made(dense)
    assert player.ranks == {} and player.step == 5
    player._hear(player, {"kind": "hello"}, [])
    assert sent[0][0]["words"]["layers"] == [] and sent[0][0]["count"] == 2


# The picture.


@pytest.fixture
def shown(monkeypatch):
    outputs = []
    for name in ("display", "update_display"):
        monkeypatch.setattr(f"lowrank_kit.widgets.still.{name}", lambda data, **_: outputs.append(data))
    return outputs


def test_it_shows_a_live_view_and_words_until_there_is_a_picture(made, shown):
    player = made()
    player._ipython_display_()
    live, still = shown
    assert "application/vnd.jupyter.widget-view+json" in live and live["text/plain"].startswith("TrainingPlayer(")
    assert "<figcaption>patterns: not begun</figcaption><ul><li>2: 4 × 2</li>" in still["text/html"]
    at_piece(player, 9, player.pause)
    player.start()
    player.wait()
    assert "<figcaption>patterns: paused</figcaption>" in shown[-1]["text/html"]
    player.resume()
    player.wait()
    assert (
        'src="data:image/png;base64,' in shown[-1]["text/html"] and f'id="{player.still_id}"' in shown[-1]["text/html"]
    )
    pictures = [output["text/html"] for output in shown[1:] if "image/png" in output["text/html"]]
    assert len(pictures) == 1, "none is drawn while it runs"


def test_the_picture_follows_what_was_settled_on(finished, shown, monkeypatch):
    monkeypatch.undo()
    drawn = []
    monkeypatch.setattr(finished._still, "show", lambda picture: drawn.append(picture.description))
    finished.scrub(8)
    finished.wait()
    finished.setting = {**finished.setting, "at": 1, "final": False}
    finished.wait()
    finished.setting = {**finished.setting, "layer": "6", "final": True}
    finished.wait()
    assert [text.split(":")[0] for text in drawn] == ["patterns, step 8", "patterns, step 4"]


def test_a_recorded_training_is_drawn_when_it_is_shown(recorded, made, shown, monkeypatch):
    monkeypatch.undo()
    drawn = []
    player = made(recorded)
    monkeypatch.setattr(player._still, "display", lambda *_: None)
    monkeypatch.setattr(player._still, "show", lambda picture: drawn.append(picture.description))
    player._ipython_display_()
    player.wait()
    assert len(drawn) == 1 and drawn[0].startswith("patterns, step 18")
