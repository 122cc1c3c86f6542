"""The dynamics player from Python: what its controls do, and what travels to the browser."""

import json
import threading
from dataclasses import asdict

import numpy as np
import pytest

import lowrank_kit as kit
from lowrank_kit.checks import InputError
from lowrank_kit.i18n import strings
from lowrank_kit.methods.simulation import Settings, Simulation
from lowrank_kit.widgets import dynamics_player
from lowrank_kit.widgets.dynamics_player import DynamicsPlayer

PATIENCE_S = 60
SMALL = {"width": 8, "rank": 2, "steps": 40, "learning_rate": 0.01}


@pytest.fixture
def drawn(monkeypatch):
    """What would be drawn: (settings, entry). Pictures take longer than what is tested here."""
    found = []
    monkeypatch.setattr(dynamics_player, "REST_S", 0)
    monkeypatch.setattr(
        DynamicsPlayer, "_draw", lambda player: found.append((player._simulation.settings, player._at()))
    )
    return found


@pytest.fixture
def sent(monkeypatch):
    """What players send, as (message, buffers)."""
    found = []
    monkeypatch.setattr(DynamicsPlayer, "send", lambda player, content, buffers=(): found.append((content, buffers)))
    return found


@pytest.fixture
def made():
    """(settings) -> a player, closed at the end."""
    players = []

    def make(**settings):
        players.append(DynamicsPlayer(**SMALL | settings))
        return players[-1]

    yield make
    for player in players:
        player.close()


@pytest.fixture
def player(made, drawn, sent):
    player = made()
    player.wait(PATIENCE_S)
    sent.clear()
    return player


class Gate:
    """Simulations of eight pieces, of which a thread goes through as many as it is let."""

    def __init__(self, monkeypatch):
        self.made, self.closed, self.pieces, self.reached = [], [], threading.Semaphore(0), threading.Semaphore(0)
        gate, run = self, Simulation.run

        class Gated(Simulation):
            def __init__(self, settings):
                super().__init__(settings)
                gate.made.append(settings)

            def run(self):
                try:
                    for piece in range(8):
                        gate.reached.release()
                        gate.pieces.acquire(timeout=PATIENCE_S)
                        yield (piece + 1) / 9
                    yield from run(self)
                except GeneratorExit:
                    gate.closed.append(self.settings)
                    raise

        monkeypatch.setattr(dynamics_player, "Simulation", Gated)

    def let(self, pieces):
        """Go through so many pieces, to where the next one waits to be let."""
        for _ in range(pieces):
            self.pieces.release()
            assert self.reached.acquire(timeout=PATIENCE_S)

    def open(self):
        for _ in range(1000):
            self.pieces.release()


@pytest.fixture
def gate(monkeypatch):
    """The simulation of a player that is made behind it stands before its first piece."""
    gate = Gate(monkeypatch)
    yield gate
    gate.open()


def by_hand(player, **setting):
    """As a browser changes settings."""
    player.set_state({"setting": json.loads(json.dumps({**player.setting, **setting}))})


def whole(settings):
    simulation = Simulation(settings)
    list(simulation.run())
    return simulation


def same(one, other):
    assert one.arrays.keys() == other.arrays.keys()
    return all(np.array_equal(one[name], other[name], equal_nan=True) for name in one.arrays)


def films(sent):
    return [(message, buffers) for message, buffers in sent if message["kind"] == "film"]


def read(message, buffers):
    """The arrays, as the browser reads them."""
    found = {}
    for (name, length), buffer in zip(message["arrays"].items(), buffers, strict=True):
        values = np.frombuffer(buffer, "<f4" if len(buffer) == 4 * length else "<f8")
        assert len(values) == length
        found[name] = values.reshape(message["shapes"][name])
    return found


# What it computes.


def test_it_begins_with_a_whole_simulation(made, drawn):
    player = made(language="en")
    assert same(player.trajectory, whole(Settings(**SMALL)).trajectory)
    assert (player.step, player.progress, player.fault, player.language) == (40, 1.0, "", "en")
    assert player.settings == player.simulation.settings == Settings(**SMALL)
    assert repr(player) == "DynamicsPlayer(3 layers of width 8, target of rank 2)"
    assert player.setting == {**asdict(Settings(**SMALL)), "at": None, "layer": 0, "final": True}


def test_it_is_in_the_window_and_begins_with_the_settings_of_a_simulation(drawn, gate):
    player = kit.DynamicsPlayer()
    assert isinstance(player, DynamicsPlayer) and player.settings == Settings()
    player.close()


def test_the_language_comes_from_the_environment(made, drawn, monkeypatch):
    monkeypatch.setenv("LOWRANK_KIT_LANG", "ja")
    assert made().language == "ja"


def test_settings_are_set_and_learnt_anew(player, sent, drawn):
    player.set(depth=2, start="gaussian")
    assert player.settings == Settings(**SMALL, depth=2, start="gaussian")
    assert same(player.trajectory, whole(player.settings).trajectory) and player.trajectory["values"].shape[1] == 2
    assert player.simulation.settings == player.settings and len(films(sent)) == 1
    sent.clear()
    player.set(depth=2)
    player.wait(PATIENCE_S)
    assert sent == [], "nothing is other than it was"
    assert player.wait(PATIENCE_S) and drawn == [(player.settings, 40)]


def test_fewer_layers_show_the_last_of_them(player):
    player.set(depth=5)
    player.setting = {**player.setting, "layer": 4}
    player.set(depth=2)
    assert player.setting["layer"] == 1
    player.set(depth=3)
    assert player.setting["layer"] == 1


def test_trajectory_waits_for_what_is_being_computed(gate, made, drawn):
    player, got = made(), []
    asking = threading.Thread(target=lambda: got.append(player.trajectory))
    asking.start()
    gate.let(3)
    assert got == []
    gate.open()
    asking.join(PATIENCE_S)
    assert same(got[0], whole(player.settings).trajectory)


def test_a_run_that_diverges_is_kept_as_far_as_it_went(player, sent):
    player.set(learning_rate=0.5)
    film = player.trajectory
    lost = film.facts["diverged_at"]
    assert 1 < lost < 40 and film.steps[-1] < lost and player.step == film.steps[-1] and player.fault == ""
    assert np.isfinite(film["values"]).all() and film.facts["limit"] < 0.5
    ((message, buffers),) = films(sent)
    assert message["facts"]["diverged_at"] == lost and len(read(message, buffers)["steps"]) == len(film)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"width": 1}, "`width` must be a whole number of at least 2; got 1."),
        ({"width": 8.0}, "`width` must be a whole number of at least 2; got 8.0."),
        ({"depth": 0}, "`depth` must be a whole number of at least 1; got 0."),
        ({"depth": True}, "`depth` must be a whole number of at least 1; got True."),
        ({"rank": 0}, "`rank` must be a whole number of at least 1; got 0."),
        ({"rank": 9}, "`rank` must be at most the width, 8; got 9."),
        ({"width": 2, "rank": 3}, "`rank` must be at most the width, 2; got 3."),
        ({"steps": 0}, "`steps` must be a whole number of at least 1; got 0."),
        ({"seed": -1}, "`seed` must be a whole number of at least 0; got -1."),
        ({"guess": 1}, "a whole number from the rank, 2, to the width, 8, or None for the rank; got 1."),
        ({"guess": 9}, "a whole number from the rank, 2, to the width, 8, or None for the rank; got 9."),
        ({"scale": 0}, "`scale` must be a number above 0 and at most 1e+06; got 0."),
        ({"learning_rate": np.inf}, "`learning_rate` must be a number above 0 and at most 1e+06; got inf."),
        ({"learning_rate": np.nan}, "`learning_rate` must be a number above 0 and at most 1e+06; got nan."),
        ({"start": "zeros"}, "`start` must be one of 'orthogonal', 'gaussian', 'uniform', 'aligned'; got 'zeros'."),
        ({"rule": "sgd"}, "`rule` must be one of 'descent', 'momentum', 'adam'; got 'sgd'."),
        ({"condition": 0.5}, "`condition` must be at least 1, which is that of whitened inputs; got 0.5."),
        ({"condition": 2, "seen": 0.5}, "below 1 is of whitened inputs; set `condition` to 1, or see everything."),
        ({"outer": -1}, "`outer` must be a number of at least 0; got -1."),
        ({"weight_decay": np.nan}, "`weight_decay` must be a number of at least 0; got nan."),
        ({"colour": 3}, "`setting` must be one of 'width', 'depth', 'rank', 'scale', 'learning_rate', 'start'"),
    ],
)  # fmt: skip
def test_bad_settings_get_one_sentence_and_change_nothing(player, sent, wrong, words):
    before = player.setting
    for act in (player.set, lambda **wrong: DynamicsPlayer(**SMALL | wrong)):
        with pytest.raises(InputError) as refusal:
            act(**wrong)
        assert words in str(refusal.value) and "\n" not in str(refusal.value)
    assert player.setting == before and player.fault == "" and films(sent) == []


@pytest.mark.parametrize("wrong", [{"language": "fr"}, {"seen": 0.0}, {"seen": 1.5}])
def test_bad_settings_are_refused_at_the_beginning(wrong):
    with pytest.raises(InputError, match=f"`{next(iter(wrong))}` must"):
        DynamicsPlayer(**SMALL | wrong)


# What a hand does.


def test_a_hand_that_asks_for_what_cannot_be_is_told_and_undone(player, sent, drawn):
    before = player.setting
    by_hand(player, width=4, rank=5)
    player.wait(PATIENCE_S)
    assert player.fault == "`rank` must be at most the width, 4; got 5." and player.setting == before
    assert films(sent) == [] and same(player.trajectory, whole(player.settings).trajectory)
    by_hand(player, rank=3)
    player.wait(PATIENCE_S)
    assert player.fault == "" and player.settings.rank == 3, "the next that can be takes the words away"
    assert drawn[-1] == (player.settings, 40)


def test_the_browser_gets_back_what_was_before(player, monkeypatch):
    told = []
    monkeypatch.setattr(player, "send_state", lambda key=None: told.append(key))
    by_hand(player, guess=1)
    player.wait(PATIENCE_S)
    assert player.settings.guess is None and any("setting" in (key if key else ()) for key in told)


def test_a_hand_that_moves_on_gets_its_film_but_no_picture_until_it_lets_go(player, sent, drawn):
    by_hand(player, learning_rate=0.005, final=False)
    player.wait(PATIENCE_S)
    by_hand(player, at=3, final=False)
    player.wait(PATIENCE_S)
    assert len(films(sent)) == 1 and drawn == []
    by_hand(player, final=True)
    player.wait(PATIENCE_S)
    assert len(films(sent)) == 1 and drawn == [(player.settings, 3)]


def test_the_newest_wish_wins_and_an_older_run_is_cancelled(gate, made, drawn, sent):
    player = made()
    gate.let(3)
    by_hand(player, seed=1, final=False)
    by_hand(player, seed=2, final=False)
    gate.open()
    assert player.wait(PATIENCE_S)
    assert [settings.seed for settings in gate.made] == [0, 2] and [settings.seed for settings in gate.closed] == [0]
    assert len(films(sent)) == 1 and player.trajectory.facts["seed"] == 2
    by_hand(player, seed=0)
    assert player.trajectory.facts["seed"] == 0 and [settings.seed for settings in gate.made] == [0, 2, 0]


def test_what_is_being_computed_goes_on_where_it_was_left(gate, made, drawn, sent):
    player = made()
    assert gate.reached.acquire(timeout=PATIENCE_S)
    for seed, at, final in ((1, None, False), (0, 5, False), (0, 6, True), (1, 6, True), (0, 6, True)):
        by_hand(player, seed=seed, at=at, final=final)
    gate.let(3)
    by_hand(player, at=7)
    gate.open()
    assert player.wait(PATIENCE_S)
    assert len(gate.made) == 1 and gate.closed == [] and len(films(sent)) == 1
    assert drawn == [(player.settings, 7)]
    assert same(player.trajectory, whole(player.settings).trajectory)


def test_a_picture_waits_until_a_hand_has_rested(made, drawn, monkeypatch):
    now = [0.0]
    monkeypatch.setattr(dynamics_player, "REST_S", 0.5)
    monkeypatch.setattr(dynamics_player.time, "monotonic", lambda: now[0])
    player = made()
    for at in range(10):
        now[0] += 0.4
        by_hand(player, at=at)
        assert not player.wait(0.03) and drawn == []
    now[0] += 0.6
    assert player.wait(PATIENCE_S) and drawn == [(player.settings, 9)]


def test_progress_is_told_of_what_takes_longer_than_its_budget_and_not_too_often(gate, made, drawn, monkeypatch):
    now = [0.0]
    monkeypatch.setattr(dynamics_player.time, "monotonic", lambda: now[0])
    player = made()
    told = []
    player.observe(lambda change: told.append(round(9 * change.new)), "progress")
    assert gate.reached.acquire(timeout=PATIENCE_S)
    for at in (0.1, 0.2, 0.24, 0.3, 0.35, 0.41, 0.45):
        now[0] = at
        gate.let(1)
    gate.open()
    assert player.wait(PATIENCE_S)
    assert told == [4, 6, 9] and player.progress == 1.0


def test_what_is_quick_tells_no_progress(player, monkeypatch):
    monkeypatch.setattr(dynamics_player.time, "monotonic", lambda: 0.0)
    told = []
    player.observe(lambda change: told.append(change.new), "progress")
    player.set(seed=3)
    assert player.wait(PATIENCE_S) and told == []


def test_scrubbing_shows_a_step_or_an_entry(player, sent, drawn):
    for index in (0, 1, 17, 40):
        player.scrub(index=index)
        assert player.step == index and player.setting["at"] == index
    player.scrub(step=12)
    assert (player.step, player.setting["at"]) == (12, 12)
    player.scrub()
    assert (player.step, player.setting["at"]) == (40, None)
    player.set(steps=400)
    player.scrub(11)
    assert (player.step, player.setting["at"]) == (8, 3), "the entry before it"
    player.scrub(10_000)
    assert player.step == 400
    json.dumps(player.setting)
    player.wait(PATIENCE_S)
    assert drawn[-1] == (player.settings, 101) and len(films(sent)) == 1
    before = player.setting
    for wrong in ({"step": -1}, {"index": -1}, {"index": 102}):
        with pytest.raises(InputError) as refusal:
            player.scrub(**wrong)
        assert str(refusal.value) == (
            "`step` or `index` must be of an entry there is, 0 to 101, from step 0 to 400; "
            f"got {next(iter(wrong.values()))}."
        )
    assert player.setting == before


def test_a_place_behind_the_end_of_a_shorter_film_shows_its_last_entry(player):
    player.scrub(index=35)
    player.set(steps=10)
    assert player.step == 10 and player.setting["at"] == 35
    player.set(steps=40)
    assert player.step == 35


# What travels.


def test_a_film_travels_as_it_is(player, sent):
    player.set(start="aligned", depth=2)
    film = player.trajectory
    ((message, buffers),) = films(sent)
    found = read(message, buffers)
    assert found.keys() == {"steps", "target", *film.arrays} and {"resting", "modes_foretold"} <= found.keys()
    np.testing.assert_array_equal(found.pop("steps"), film.steps)
    np.testing.assert_array_equal(found.pop("target"), player.simulation.target.astype("f4"))
    for name, values in found.items():
        kind = "f4" if name in ("product", "angles") else "f8"
        assert values.dtype == kind, "what is only painted is sent in single precision"
        np.testing.assert_array_equal(values, film[name].astype(kind))
    assert message["facts"] == film.facts and message["facts"]["ends"] == [2, 0]
    json.dumps(message, allow_nan=False)


@pytest.mark.parametrize("settings", [{"rule": "adam"}, {"rank": 4}, {"seen": 0.5, "outer": 0.01}, {"condition": 3}])
def test_what_is_infinite_or_missing_is_no_number_in_json(player, sent, settings):
    player.set(**settings)
    film = player.trajectory
    ((message, buffers),) = films(sent)
    json.dumps(message, allow_nan=False)
    facts = message["facts"]
    assert (facts["limit"] is None) == (film.facts["limit"] == np.inf) == ("rule" in settings)
    assert (facts["n_params_twin"] is None) == (settings.get("rank") == 4)
    found = read(message, buffers)
    assert np.isnan(found["gap"]).all() == (settings.get("rank") == 4)
    assert ("resting" in found) == ("resting" in film.arrays) is False


def test_a_new_view_gets_the_words_and_the_film_there_is(player, sent):
    player._hear(player, {"kind": "hello"}, [])
    (words, _), (film, buffers) = sent
    assert words == {"kind": "words", "strings": {code: strings("dynamics", code) for code in ("en", "ja")}}
    assert film["run"] == 1
    np.testing.assert_array_equal(read(film, buffers)["loss"], player.trajectory["loss"])
    player._hear(player, {"kind": "close"}, [])
    assert len(sent) == 2 and not player._worker.is_closed


def test_a_view_that_opens_before_there_is_a_film_gets_it_later(gate, made, drawn, sent):
    player = made()
    player._hear(player, {"kind": "hello"}, [])
    assert [message["kind"] for message, _ in sent] == ["words"]
    gate.open()
    player.wait(PATIENCE_S)
    assert [message["kind"] for message, _ in sent] == ["words", "film"]


def test_every_film_is_of_a_newer_run(player, sent):
    for seed in (1, 2, 1):
        player.set(seed=seed)
        player.wait(PATIENCE_S)
    runs = [message["run"] for message, _ in films(sent)]
    assert runs == [2, 3, 4]


def test_arrays_are_not_among_what_a_notebook_stores(player):
    state = player.get_state()
    code = {"_esm", "_css", "_anywidget_id"}
    assert len(json.dumps({k: v for k, v in state.items() if k not in code}, default=str)) < 2000


# What goes wrong, and the end.


def test_a_bug_is_never_shown_as_the_users_mistake(player, monkeypatch, drawn):
    def broken(simulation):
        yield 0.1
        raise ZeroDivisionError

    with monkeypatch.context() as patch:
        patch.setattr(Simulation, "run", broken)
        for act in (lambda: player.set(seed=1), lambda: player.trajectory, lambda: by_hand(player, depth=2)):
            with pytest.raises(ZeroDivisionError):
                act()
                player.wait(PATIENCE_S)
            assert player.fault == "ZeroDivisionError: see the kernel's log." and player.progress == 1.0
        player.wait(PATIENCE_S)
    assert player.trajectory.facts["depth"] == 2 and player.fault == ""


def test_a_bug_before_there_is_a_film_leaves_nothing_to_draw(made, monkeypatch):
    def broken(simulation):
        raise ZeroDivisionError
        yield

    monkeypatch.setattr(Simulation, "run", broken)
    player = made()
    player._draw_soon()
    with pytest.raises(ZeroDivisionError):
        player.wait(PATIENCE_S)
    player.wait(PATIENCE_S)
    assert player.fault == "ZeroDivisionError: see the kernel's log."


def test_a_closed_player_says_so_and_its_thread_ends(gate, made, drawn, sent):
    player = made()
    gate.let(2)
    player.close()
    gate.open()
    player._worker._thread.join(PATIENCE_S)
    assert not player._worker._thread.is_alive() and films(sent) == []
    before = player.setting
    for act in (lambda: player.trajectory, lambda: player.set(seed=4)):
        with pytest.raises(InputError, match="the board is closed and measures nothing any more; make a new one"):
            act()
    assert player.setting == before


def test_what_was_computed_can_be_had_of_a_closed_player(player):
    before = player.trajectory
    player.close()
    assert player.trajectory is before and player.step == 40


# The picture.


@pytest.fixture
def shown(monkeypatch):
    outputs = []
    for name in ("display", "update_display"):
        monkeypatch.setattr(f"lowrank_kit.widgets.still.{name}", lambda data, **_: outputs.append(data))
    return outputs


@pytest.mark.parametrize("language", ["en", "ja"])
def test_it_shows_a_live_view_and_words_and_then_a_picture(gate, made, shown, language):
    player = made(language=language)
    player._ipython_display_()
    live, still = shown
    assert "application/vnd.jupyter.widget-view+json" in live and live["text/plain"].startswith("DynamicsPlayer(")
    words = strings("dynamics", language)["still"].format(depth=3, width=8, rank=2)
    assert f"<figcaption>{words}</figcaption><ul></ul>" in still["text/html"]
    gate.open()
    player.wait(PATIENCE_S)
    html = shown[-1]["text/html"]
    assert 'src="data:image/png;base64,' in html and f'id="{player.still_id}"' in html and len(shown) == 3


def test_words_tell_the_loss_of_what_is_shown(player, shown):
    player.scrub(index=4)
    player._ipython_display_()
    text = strings("dynamics", player.language)
    assert f"<li>{text['loss']}: {player.trajectory['loss'][4]:.3g}</li>" in shown[1]["text/html"]


def test_the_picture_is_of_what_is_shown(made, monkeypatch):
    player, pictures = made(language="en", depth=2), []
    player.wait(PATIENCE_S)
    monkeypatch.setattr(player._still, "show", pictures.append)
    player.scrub(index=7)
    player.wait(PATIENCE_S)
    (picture,) = pictures
    assert picture.description.startswith("2 layers of width 8 learn a target of rank 2: start orthogonal")
    marked = [line.get_xdata()[0] for line in picture.axes[0].lines if set(line.get_ydata()) == {0, 1}]
    assert marked == [7]
