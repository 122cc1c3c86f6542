"""What every player does, whatever it plays: states, rows that travel, and pictures at rest only."""

import json
import threading

import numpy as np
import pytest

from lowrank_kit.checks import InputError
from lowrank_kit.i18n import strings
from lowrank_kit.records import Trajectory
from lowrank_kit.widgets import player as players
from lowrank_kit.widgets.player import Player

PATIENCE_S = 30


class Count:
    """Counts to `total`, a row for each number, of which more is known a piece later."""

    def __init__(self, total):
        self.total, self.rows, self.acts = total, [{"step": 0, "known": True}], {}

    expected_rows = property(lambda self: self.total + 1)
    progress = property(lambda self: {"done": len(self.rows) - 1, "total": self.total})
    outcome = property(lambda self: {"counted": self.total} if len(self.rows) > self.total else {})

    @property
    def trajectory(self):
        return Trajectory("count", np.array([row["step"] for row in self.rows]), {})

    def advance(self):
        if "known" not in self.rows[-1]:
            self.rows[-1]["known"] = True
        else:
            self.rows.append({"step": 10 * len(self.rows)})
        self.acts.pop(self.rows[-1]["step"], lambda: None)()
        return not (len(self.rows) > self.total and "known" in self.rows[-1])


class Counter(Player):
    _esm = "export default { render() {} }"

    def __init__(self, total=5):
        language = self._begin("en")
        self._shown, self.drawn, self.begun = Count(total), [], 1
        super().__init__(language=language, still_id=self._still.id, setting={"at": None, "final": True})
        self.on_msg(self._hear)

    def _anew(self):
        self.begun += 1
        return Count(self._shown.total)

    def _described(self):
        return {"name": "count"}

    def _send_rows(self, kind, rows, start, **words):
        sent = [dict(row) for row in rows[start:]]
        self.send({"kind": kind, "run": self._run, "start": start, "rows": sent, **words})

    def _words(self):
        return f"words: {self.state}"

    def _draw(self):
        self.drawn.append((self.state, self.step))


@pytest.fixture
def player():
    player = Counter()
    yield player
    player.close()


@pytest.fixture
def sent(player, monkeypatch):
    monkeypatch.setattr(players, "TELL_S", 0)
    found = []
    monkeypatch.setattr(player, "send", found.append)
    return found


def through(player):
    player.start()
    assert player.wait(PATIENCE_S)
    return player


def held(messages):
    """The rows that a view has after these messages, as the browser puts them together."""
    rows, run = [], -1
    for message in messages:
        if message["run"] < run:
            continue
        before = rows if message["run"] == run else []
        assert message["start"] <= len(before), "a row is missing"
        rows, run = before[: message["start"]] + message["rows"], message["run"]
    return rows


def test_it_goes_from_ready_to_finished(player):
    assert (player.state, player.step, player.progress, player.outcome) == ("ready", 0, {}, {})
    assert player.wait(0), "nothing is to be waited for"
    through(player)
    assert (player.state, player.step) == ("finished", 50)
    assert player.progress == {"done": 5, "total": 5} and player.outcome == {"counted": 5}
    assert player.drawn == [("finished", 50)] and player.trajectory.steps.tolist() == [0, 10, 20, 30, 40, 50]


def test_a_pause_stops_after_the_present_piece_and_is_gone_on_with(player):
    player._shown.acts[20] = player.pause
    through(player)
    assert player.state == "paused" and player.step == 20 and player.outcome == {} and player.drawn == []
    for act in (player.resume, player.start):
        player._shown.acts[player.step + 10] = player.pause
        act()
        player.wait(PATIENCE_S)
    assert player.state == "paused" and player.step == 40
    player.resume()
    player.resume()
    player.wait(PATIENCE_S)
    assert player.state == "finished" and player.step == 50


def test_a_pause_in_the_last_piece_is_the_end(player):
    player._shown.acts[50] = lambda: player._shown.acts.update({50: player.pause})
    through(player)
    assert player.state == "finished" and player.outcome == {"counted": 5}


def test_cancelling_leaves_what_was_recorded(player):
    player._shown.acts[30] = player.cancel
    through(player)
    assert player.state == "cancelled" and player.step == 30 and player.drawn == [("cancelled", 30)]
    player.cancel()
    player.pause()
    assert player.state == "cancelled"


def test_a_paused_one_is_drawn_when_it_is_cancelled(player):
    player._shown.acts[30] = player.pause
    through(player)
    player.cancel()
    player.wait(PATIENCE_S)
    assert player.drawn == [("cancelled", 30)]


def test_it_begins_anew_from_any_state(player):
    through(player)
    player.scrub(20)
    player.restart()
    player.wait(PATIENCE_S)
    assert player.state == "finished" and player.begun == 2 and player.setting["at"] is None
    player._shown.acts[20] = player.pause
    player.restart()
    player._shown.acts[20] = player.restart
    player.wait(PATIENCE_S)
    assert player.state == "finished" and player.begun == 4 and player.step == 50


@pytest.mark.parametrize(
    ("state", "act", "words"),
    [
        ("ready", "resume", "`resume` goes on with a training that is paused; this one is ready."),
        ("finished", "resume", "`resume` goes on with a training that is paused; this one is finished."),
        ("finished", "start", "`start` begins a training, and this one is finished; `restart` begins it anew."),
        ("cancelled", "start", "`start` begins a training, and this one is cancelled; `restart` begins it anew."),
        ("failed", "start", "`start` begins a training, and this one is failed; `restart` begins it anew."),
    ],
)
def test_what_cannot_be_done_is_said_and_changes_nothing(player, state, act, words):
    player.state = state
    with pytest.raises(InputError) as refusal:
        getattr(player, act)()
    assert str(refusal.value) == words and player.state == state and player.step == 0
    player._hear(player, {"kind": act}, [])
    assert player.fault == words and player.state == state, "a hand cannot catch it"


def test_starting_what_runs_starts_it_once(player):
    player._shown.acts[10] = player.start
    through(player)
    assert player.state == "finished" and player.step == 50 and player.drawn == [("finished", 50)]


def test_what_goes_wrong_is_told_and_what_there_is_stays(player):
    def refuse():
        raise InputError("the sentence.")

    player._shown.acts[30] = refuse
    player.start()
    with pytest.raises(InputError, match=r"the sentence\."):
        player.wait(PATIENCE_S)
    assert (player.state, player.fault, player.step) == ("failed", "the sentence.", 30)
    assert player.progress["done"] == 3 and player.drawn == [("failed", 30)]
    player.restart()
    player.wait(PATIENCE_S)
    assert player.state == "finished" and player.fault == ""


def test_a_bug_is_never_shown_as_the_users_mistake(player):
    player._shown.acts[30] = lambda: 1 / 0
    player.start()
    with pytest.raises(ZeroDivisionError):
        player.wait(PATIENCE_S)
    assert player.state == "failed" and player.fault == "ZeroDivisionError: see the kernel's log."


def test_what_goes_wrong_in_one_that_nobody_looks_at_any_more_is_not_told(player):
    def leave():
        player.restart()
        raise InputError("the sentence.")

    player._shown.acts[30] = leave
    through(player)
    assert player.state == "finished" and player.fault == "" and player.begun == 2


def test_scrubbing_takes_a_step_or_an_entry(player):
    through(player)
    for index, step in enumerate(player.trajectory.steps):
        player.scrub(int(step))
        assert (player.step, player.setting["at"]) == (step, index)
    player.scrub(29)
    assert player.step == 20, "the one before"
    player.scrub(10_000)
    assert player.step == 50
    player.scrub(index=0)
    assert player.step == 0
    player.scrub()
    assert player.step == 50 and player.setting == {"at": None, "final": True}
    for wrong in ({"step": -1}, {"index": -1}, {"index": 6}):
        with pytest.raises(InputError) as refusal:
            player.scrub(**wrong)
        assert str(refusal.value) == (
            "`step` or `index` must be of an entry there is, 0 to 5, from step 0 to 50; "
            f"got {next(iter(wrong.values()))}."
        )
    assert player.setting["at"] is None


def test_a_place_behind_what_there_is_shows_the_newest(player):
    player.setting = {"at": 4, "final": True}
    assert player.step == 0
    through(player)
    assert player.step == 40


@pytest.mark.parametrize("pause_s", [0, 1000])
def test_a_view_has_every_row_in_the_end(player, sent, monkeypatch, pause_s):
    monkeypatch.setattr(players, "TELL_S", pause_s)
    player._hear(player, {"kind": "hello"}, [])
    through(player)
    assert held(sent) == player._shown.rows and len(sent) == (11 if pause_s == 0 else 3)
    assert [message["kind"] for message in sent] == ["begin"] + ["rows"] * (len(sent) - 1)
    assert max(len(message["rows"]) for message in sent[:-1]) <= (2 if pause_s == 0 else 5)


def test_a_new_view_gets_all_there_is_and_the_words(player, sent):
    through(player)
    sent.clear()
    player._hear(player, {"kind": "hello"}, [])
    (message,) = sent
    assert message["rows"] == player._shown.rows
    assert message["words"] == {"name": "count", "expected": 6}
    assert message["strings"] == {language: strings("player", language) for language in ("en", "ja")}
    json.dumps(message)


def test_a_view_that_opens_meanwhile_misses_nothing(player, sent):
    player._shown.acts[30] = lambda: (sent.clear(), player._hear(player, {"kind": "hello"}, []))
    through(player)
    assert sent[0]["kind"] == "begin" and held(sent) == player._shown.rows


def test_rows_that_are_told_meanwhile_come_behind_those_of_a_new_view(player, sent):
    """They would be put behind rows that the view does not have yet."""
    inside, send_rows = threading.Event(), player._send_rows

    def slow(kind, rows, start, **words):
        taken = list(rows)
        if kind == "begin":
            inside.set()
            threading.Event().wait(0.2)
        send_rows(kind, taken, start, **words)

    player._send_rows = slow
    hello = threading.Thread(target=player._hear, args=(player, {"kind": "hello"}, []))
    player._shown.acts[30] = lambda: (hello.start(), inside.wait(PATIENCE_S))
    through(player)
    hello.join(PATIENCE_S)
    begin = next(at for at, message in enumerate(sent) if message["kind"] == "begin")
    assert held(sent[begin:]) == player._shown.rows and len(sent[begin:]) > 2


def test_views_begin_anew_with_it_and_older_rows_come_too_late(player, sent):
    player._shown.acts[30] = player.restart
    through(player)
    runs = [message["run"] for message in sent]
    assert runs == sorted(runs) and set(runs) == {0, 1}
    assert sent[runs.index(1)]["kind"] == "begin" and held(sent) == player._shown.rows


def test_what_is_no_command_is_not_heard(player):
    for kind in ("close", "_draw", "wait", "scrub", None):
        player._hear(player, {"kind": kind}, [])
    assert player.state == "ready" and not player._worker.is_closed and player.fault == ""


def test_a_closed_player_is_cancelled_and_says_so(player):
    inside = threading.Event()
    player._shown.acts[30] = lambda: (inside.set(), threading.Event().wait(0.2))
    player.start()
    assert inside.wait(PATIENCE_S)
    player.close()
    player._worker._thread.join(PATIENCE_S)
    assert player.state == "cancelled" and not player._worker._thread.is_alive() and player.drawn == []
    for act in (player.restart, lambda: Counter.start(player)):
        with pytest.raises(InputError):
            act()
    assert player.state == "cancelled"


def test_one_that_never_began_says_too_that_it_is_closed(player):
    player.close()
    with pytest.raises(InputError, match="the board is closed and measures nothing any more; make a new one"):
        player.start()
    assert player.state == "ready"


def test_a_picture_is_drawn_at_rest_only(player, monkeypatch):
    shown = []
    for name in ("display", "update_display"):
        monkeypatch.setattr(f"lowrank_kit.widgets.still.{name}", lambda data, **_: shown.append(data))
    player._ipython_display_()
    player.wait(PATIENCE_S)
    assert player.drawn == [] and "words: ready" in shown[1]["text/html"]
    player._shown.acts[30] = player.pause
    through(player)
    assert player.drawn == [] and "words: paused" in shown[-1]["text/html"]
    player._draw_soon()
    player.wait(PATIENCE_S)
    player.resume()
    player.wait(PATIENCE_S)
    player._draw_soon()
    player.wait(PATIENCE_S)
    assert player.drawn == [("paused", 30), ("finished", 50), ("finished", 50)]
