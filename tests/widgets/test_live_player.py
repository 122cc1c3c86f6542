"""The live player from Python: what its buttons and selects do, and what travels to the browser."""

import json
import threading

import numpy as np
import pytest
import torch
from torch import nn

import lowrank_kit as kit
from lowrank_kit.checks import InputError
from lowrank_kit.i18n import strings
from lowrank_kit.methods.watching import Watch, WatchSettings
from lowrank_kit.records import Data
from lowrank_kit.widgets import player as players
from lowrank_kit.widgets.live_player import LivePlayer

PATIENCE_S = 60
SETTINGS = {"steps": 30, "batch": 40}


@pytest.fixture
def network():
    """Two layers and a narrower head, for images (n, 1, 8, 8) of 3 classes."""
    return nn.Sequential(nn.Linear(64, 12), nn.ReLU(), nn.Linear(12, 12), nn.ReLU(), nn.Linear(12, 3))


@pytest.fixture
def undrawn(monkeypatch):
    """Without pictures, which take longer than what is tested here."""
    monkeypatch.setattr(LivePlayer, "_draw", lambda player: None)


@pytest.fixture
def made(network, lessons):
    """(settings) -> a player, closed at the end."""
    players = []

    def make(*source, **settings):
        players.append(LivePlayer(*(source or (network, lessons)), **SETTINGS | settings))
        return players[-1]

    yield make
    for player in players:
        player.close()


@pytest.fixture
def finished(made, undrawn):
    return through(made())


@pytest.fixture
def sent(monkeypatch):
    """What players send, as (message, buffers); all rows at once, as soon as they are there."""
    found = []
    monkeypatch.setattr(players, "TELL_S", 0)
    monkeypatch.setattr(LivePlayer, "send", lambda player, content, buffers: found.append((content, buffers)))
    return found


def through(player):
    player.start()
    assert player.wait(PATIENCE_S)
    return player


def at_step(player, number, act):
    """Do something after so many steps, in the training's own thread."""
    advance, done = player._shown.advance, []

    def watched():
        goes_on = advance()
        done.append(True)
        if len(done) == number:
            act()
        return goes_on

    player._shown.advance = watched


def by_hand(player, **setting):
    """As a browser changes settings."""
    player.set_state({"setting": json.loads(json.dumps({**player.setting, **setting}))})


def watched(network, data, **settings):
    watch = Watch(network, data, WatchSettings(**SETTINGS | settings))
    list(watch.run())
    return watch.trajectory


def same(one, other):
    assert one.arrays.keys() == other.arrays.keys() and one.layers == other.layers and one.facts == other.facts
    return all(np.array_equal(one[name], other[name], equal_nan=True) for name in one.arrays)


def film(sent):
    """The arrays a view has after these messages, as the browser puts them together, and of which run they are."""
    held, run = {}, -1
    for message, buffers in sent:
        if message["run"] < run:
            continue
        if message["run"] > run:
            held, run = {}, message["run"]
        for (name, length), buffer in zip(message["arrays"].items(), buffers, strict=True):
            values = np.frombuffer(buffer, "<f8")
            assert len(values) == length
            values = values.reshape(message["count"], *message["shapes"][name])
            before = held.get(name, values[:0])
            assert len(before) >= message["start"], "a row is missing"
            held[name] = np.concatenate([before[: message["start"]], values])
    return held, run


def is_all_of(player, found):
    trajectory = player.trajectory
    assert found.keys() == {"step", *trajectory.arrays}
    np.testing.assert_array_equal(found["step"], trajectory.steps)
    for name, values in trajectory.arrays.items():
        np.testing.assert_array_equal(found[name], values)
    return True


# A training.


def test_it_begins_at_the_start(made):
    player = made(language="en", learning_rate=0.2)
    assert (player.state, player.step, player.progress, player.outcome, player.fault) == ("ready", 0, {}, {}, "")
    assert player.settings == WatchSettings(learning_rate=0.2, **SETTINGS) and player.language == "en"
    assert repr(player) == "LivePlayer(patterns and its linear twin: ready, to step 0)"
    assert len(player.trajectory) == 1 and player.wait(0)


def test_a_network_of_the_zoo_by_its_name(undrawn):
    drawn = torch.get_rng_state()
    player = kit.LivePlayer("digits-mlp", steps=3, batch=None)
    assert torch.equal(drawn, torch.get_rng_state())
    assert isinstance(player, LivePlayer) and player.trajectory.name == "digits-mlp"
    assert player.trajectory.layers[3:] == ("fc1 (linear)", "fc2 (linear)", "head (linear)")
    through(player)
    assert player.state == "finished" and player.step == 3
    player.close()


def test_the_language_comes_from_the_environment(made, monkeypatch):
    monkeypatch.setenv("LOWRANK_KIT_LANG", "ja")
    assert made().language == "ja"


def test_it_trains_both_to_the_end_as_a_watch_does(finished, network, lessons, states):
    assert (finished.state, finished.step, finished.fault) == ("finished", 30, "")
    assert finished.progress == {"done": 30, "total": 30} and finished.outcome == {}
    assert same(finished.trajectory, watched(network, lessons))


def test_the_network_that_was_given_stays_as_it_was(made, undrawn, network, states):
    before = states(network)
    through(made(start="default"))
    assert states.same(before, states(network))


@pytest.mark.parametrize("step", [1, 2, 13, 29])
def test_a_pause_changes_nothing(finished, made, step):
    player = made()
    at_step(player, step, player.pause)
    through(player)
    assert player.state == "paused" and player.step == step and player.progress == {"done": step, "total": 30}
    assert len(player.trajectory) == step + 1
    player.resume()
    assert player.wait(PATIENCE_S) and player.state == "finished"
    assert same(finished.trajectory, player.trajectory)


def test_cancelling_leaves_what_was_recorded(made, undrawn):
    player = made()
    at_step(player, 12, player.cancel)
    through(player)
    assert player.state == "cancelled" and player.trajectory.steps.tolist() == list(range(13))
    with pytest.raises(InputError, match="`start` begins a training, and this one is cancelled; `restart` begins it"):
        player.start()


def test_it_begins_anew_from_the_same_weights(finished):
    before = finished.trajectory
    finished.scrub(3)
    finished.restart()
    assert finished.wait(PATIENCE_S) and finished.state == "finished"
    assert same(before, finished.trajectory) and finished.setting["at"] is None


def test_it_can_begin_anew_while_it_runs(finished, made):
    player = made()
    at_step(player, 7, player.restart)
    through(player)
    assert player.state == "finished" and same(finished.trajectory, player.trajectory)


def test_scrubbing_shows_the_training_as_it_was(finished):
    for step in (0, 1, 17, 30):
        finished.scrub(step)
        assert finished.step == step and finished.setting["at"] == step
    finished.scrub()
    assert finished.step == 30
    with pytest.raises(InputError, match="of an entry there is, 0 to 30, from step 0 to 30; got 31"):
        finished.scrub(index=31)


def test_a_training_that_diverges_is_told_and_kept_as_far_as_it_went(made, undrawn, sent):
    player = through(made(learning_rate=1e4))
    assert player.state == "finished" and player.fault.startswith("training must have finite losses and gradients")
    assert 2 <= len(player.trajectory) < 31 and player.trajectory.facts["diverged"] == player.fault
    assert player.progress["done"] < 30 == player.progress["total"]
    assert is_all_of(player, film(sent)[0])
    player.set(learning_rate=0.1)
    player.restart()
    player.wait(PATIENCE_S)
    assert (player.state, player.fault, player.step) == ("finished", "", 30)


# The settings.


def test_settings_before_the_start_are_those_of_the_training(made, undrawn, network, lessons):
    player = made()
    first = player.trajectory["values"][0]
    player.set(start="gaussian", scale=0.2)
    assert player.state == "ready" and player.step == 0 and player.settings.start == "gaussian"
    assert not np.allclose(player.trajectory["values"][0], first, equal_nan=True)
    by_hand(player, optimiser="momentum", learning_rate=0.03)
    through(player)
    settings = {"start": "gaussian", "scale": 0.2, "optimiser": "momentum", "learning_rate": 0.03}
    assert same(player.trajectory, watched(network, lessons, **settings))


def test_settings_before_the_start_renew_what_views_show(made, sent):
    player = made()
    player._hear(player, {"kind": "hello"}, [])
    player.set(start="uniform")
    assert [message["run"] for message, _ in sent] == [0, 1] and sent[1][0]["words"]["start"] == "uniform"
    assert is_all_of(player, film(sent)[0])
    player.set(start="uniform")
    assert len(sent) == 2, "nothing is other than it was"


@pytest.mark.parametrize("state", ["paused", "finished", "cancelled"])
def test_later_settings_hold_from_the_next_start(made, undrawn, network, lessons, state):
    player = made()
    at_step(player, 9, {"paused": player.pause, "cancelled": player.cancel}.get(state, lambda: None))
    through(player)
    before = player.trajectory
    player.set(optimiser="adam", steps=20)
    by_hand(player, learning_rate=0.01)
    assert player.state == state and same(before, player.trajectory)
    assert player.settings == WatchSettings(optimiser="adam", steps=20, batch=40, learning_rate=0.01)
    if state == "paused":
        player.resume()
        player.wait(PATIENCE_S)
        assert same(player.trajectory, watched(network, lessons))
    player.restart()
    player.wait(PATIENCE_S)
    assert same(player.trajectory, watched(network, lessons, optimiser="adam", steps=20, learning_rate=0.01))


def test_settings_while_it_runs_hold_from_the_next_start_too(finished, made):
    player = made()
    at_step(player, 9, lambda: player.set(learning_rate=0.5))
    through(player)
    assert same(finished.trajectory, player.trajectory) and player.settings.learning_rate == 0.5


def test_a_hand_that_asks_for_what_cannot_be_is_told_and_undone(made, undrawn):
    player = made()
    before, trajectory = player.setting, player.trajectory
    by_hand(player, steps=0, batch=5)
    assert player.fault == "`steps` must be a whole number of at least 1; got 0."
    assert player.setting == before and same(player.trajectory, trajectory)
    through(player)
    assert player.fault == "" and player.state == "finished"


@pytest.mark.parametrize(
    ("act", "words"),
    [
        (lambda p: p.set(steps=0), "`steps` must be a whole number of at least 1; got 0."),
        (lambda p: p.set(batch=0.5), "`batch` must be a whole number of at least 1; got 0.5."),
        (lambda p: p.set(seed=-1), "`seed` must be a whole number of at least 0; got -1."),
        (lambda p: p.set(scale=0), "`scale` must be a number above 0 and at most 1e+30; got 0."),
        (lambda p: p.set(learning_rate=np.nan), "`learning_rate` must be a number above 0 and at most 1e+30; got nan."),
        (lambda p: p.set(start="zeros"), "`start` must be one of 'orthogonal', 'gaussian', 'uniform', 'default'; got"),
        (lambda p: p.set(optimiser="sgd"), "`optimiser` must be one of 'descent', 'momentum', 'adam'; got 'sgd'."),
        (lambda p: p.set(epochs=3), "`setting` must be one of 'start', 'scale', 'learning_rate', 'optimiser', 'batch'"),
        (lambda p: p.resume(), "`resume` goes on with a training that is paused; this one is ready."),
        (lambda p: p.scrub(-1), "`step` or `index` must be of an entry there is, 0 to 0, from step 0 to 0; got -1."),
        (lambda p: LivePlayer("mnist-cnn"), "`source` must be one of 'digits-mlp'; got 'mnist-cnn'."),
        (lambda p: LivePlayer("digits-mlp", (1, 2)), "'digits-mlp' brings its own data."),
        (lambda p: LivePlayer(3), '`source` must be "digits-mlp" or an nn.Sequential; got int.'),
        (lambda p: LivePlayer(nn.Linear(2, 2)), "`data` must come with a module: Data(name, validation, test, train)"),
        (lambda p: LivePlayer("digits-mlp", language="fr"), "`language` must be one of 'en', 'ja'; got 'fr'."),
        (lambda p: LivePlayer(nn.Linear(2, 2), p._source[1]), "`network` must be an nn.Sequential of linear layers"),
        (
            lambda p: LivePlayer(nn.Sequential(nn.Linear(9, 3)), p._source[1]),
            "64 inputs and 3 outputs, as the data have",
        ),
    ],
)
def test_bad_input_gets_one_sentence_and_changes_nothing(made, act, words):
    player = made()
    before = player.setting
    with pytest.raises(InputError) as refusal:
        act(player)
    assert words in str(refusal.value) and "\n" not in str(refusal.value)
    assert player.setting == before and player.state == "ready" and player.fault == ""


def test_data_without_training_examples_are_refused(network, lessons):
    with pytest.raises(InputError, match="'bare' has validation and test examples only"):
        LivePlayer(network, Data("bare", lessons.validation, lessons.test))


# What travels.


def test_a_view_has_every_row_in_the_end(made, undrawn, sent):
    player = made()
    player._hear(player, {"kind": "hello"}, [])
    through(player)
    found, run = film(sent)
    assert is_all_of(player, found) and run == 0
    assert [message["kind"] for message, _ in sent].count("begin") == 1
    assert max(message["count"] for message, _ in sent) <= 2, "a row is sent once, but for the last one"
    for message, _ in sent:
        json.dumps(message, allow_nan=False)


def test_narrower_layers_are_filled_up(finished, sent):
    finished._hear(finished, {"kind": "hello"}, [])
    values = film(sent)[0]["values"]
    assert values.shape == (31, 6, 12) and sent[0][0]["shapes"]["values"] == [6, 12]
    assert np.isnan(values[:, [2, 5], 3:]).all()
    assert not np.isnan(values[:, [0, 1, 3, 4]]).any() and not np.isnan(values[:, :, :3]).any()


def test_a_new_view_is_told_of_the_training_and_gets_the_words(finished, sent):
    finished.set(steps=99)
    finished._hear(finished, {"kind": "hello"}, [])
    ((message, _),) = sent
    words = message["words"]
    assert (words["name"], words["layers"], words["expected"], words["steps"]) == ("patterns", ["0", "2", "4"], 31, 30)
    assert (words["n_classes"], words["n_train"], words["n_looked_at"], words["batch"]) == (3, 120, 60, 40)
    assert message["strings"] == {language: strings("live", language) for language in ("en", "ja")}
    json.dumps(message, allow_nan=False)


def test_a_view_that_opens_meanwhile_misses_nothing(made, undrawn, sent):
    player = made()
    at_step(player, 12, lambda: (sent.clear(), player._hear(player, {"kind": "hello"}, [])))
    through(player)
    assert sent[0][0]["kind"] == "begin" and is_all_of(player, film(sent)[0])


def test_views_begin_anew_with_a_training_that_does(finished, sent):
    finished.restart()
    finished.wait(PATIENCE_S)
    assert sent[0][0]["kind"] == "begin" and sent[0][0]["count"] == 1
    assert film(sent)[1] == 1 and is_all_of(finished, film(sent)[0])


def test_a_view_does_what_python_does(made, undrawn):
    player = made()
    at_step(player, 6, lambda: player._hear(player, {"kind": "pause"}, []))
    player._hear(player, {"kind": "start"}, [])
    player.wait(PATIENCE_S)
    assert player.state == "paused"
    player._hear(player, {"kind": "resume"}, [])
    player.wait(PATIENCE_S)
    player._hear(player, {"kind": "resume"}, [])
    assert player.fault == "`resume` goes on with a training that is paused; this one is finished."
    player._hear(player, {"kind": "restart"}, [])
    player.wait(PATIENCE_S)
    assert player.state == "finished" and player.fault == "" and player.step == 30


def test_a_button_brings_the_settings_along_that_are_still_on_their_way(finished, network, lessons):
    setting = {**finished.setting, "optimiser": "adam", "learning_rate": 0.01, "at": 4}
    finished._hear(finished, {"kind": "restart", "setting": json.loads(json.dumps(setting))}, [])
    finished.wait(PATIENCE_S)
    assert same(finished.trajectory, watched(network, lessons, optimiser="adam", learning_rate=0.01))
    assert finished.setting == {**setting, "at": None}


def test_arrays_are_not_among_what_a_notebook_stores(finished):
    state = finished.get_state()
    code = {"_esm", "_css", "_anywidget_id"}
    assert len(json.dumps({k: v for k, v in state.items() if k not in code}, default=str)) < 2000


# What goes wrong, and the end.


def test_a_bug_is_never_shown_as_the_users_mistake(made, undrawn, monkeypatch):
    player = made()
    monkeypatch.setattr(player._shown, "advance", lambda: 1 / 0)
    player.start()
    with pytest.raises(ZeroDivisionError):
        player.wait(PATIENCE_S)
    assert player.fault == "ZeroDivisionError: see the kernel's log." and player.state == "failed"
    player.restart()
    player.wait(PATIENCE_S)
    assert player.fault == "" and player.state == "finished"


def test_a_closed_player_says_so_and_its_thread_ends(made, undrawn):
    player, inside = made(steps=4000), threading.Event()
    at_step(player, 3, inside.set)
    player.start()
    assert inside.wait(PATIENCE_S)
    player.close()
    player._worker._thread.join(PATIENCE_S)
    assert not player._worker._thread.is_alive() and player.state == "cancelled" and len(player.trajectory) >= 1
    with pytest.raises(InputError, match="the board is closed"):
        player.restart()


# The picture.


@pytest.fixture
def shown(monkeypatch):
    outputs = []
    for name in ("display", "update_display"):
        monkeypatch.setattr(f"lowrank_kit.widgets.still.{name}", lambda data, **_: outputs.append(data))
    return outputs


def test_it_shows_a_live_view_and_words_until_there_is_a_picture(made, shown):
    player = made(language="en")
    player._ipython_display_()
    live, still = shown
    assert "application/vnd.jupyter.widget-view+json" in live and live["text/plain"].startswith("LivePlayer(")
    network, twin = player.trajectory["accuracy"][0]
    words = f"<figcaption>patterns: not begun</figcaption><ul><li>The network, with its activations: {network:.1%}</li>"
    assert words in still["text/html"] and f"<li>Its deep linear twin: {twin:.1%}</li>" in still["text/html"]
    at_step(player, 9, player.pause)
    through(player)
    assert "<figcaption>patterns: paused</figcaption>" in shown[-1]["text/html"]
    player.resume()
    player.wait(PATIENCE_S)
    html = shown[-1]["text/html"]
    assert 'src="data:image/png;base64,' in html and f'id="{player.still_id}"' in html
    assert sum("image/png" in output["text/html"] for output in shown[1:]) == 1, "none is drawn while it runs"


def test_the_picture_follows_what_was_settled_on(finished, shown, monkeypatch):
    monkeypatch.undo()
    drawn = []
    monkeypatch.setattr(finished._still, "show", lambda picture: drawn.append(picture.description))
    finished.scrub(8)
    finished.wait()
    finished.setting = {**finished.setting, "at": 1, "final": False}
    finished.wait()
    finished.setting = {**finished.setting, "at": 4, "final": True}
    finished.wait()
    assert [f"step {step}:" in text for step, text in zip((8, 4), drawn, strict=True)] == [True, True]
