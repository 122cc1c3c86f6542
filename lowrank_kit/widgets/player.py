"""What every player has: a training that starts, pauses, is cancelled and begins anew, and is scrubbed meanwhile."""

import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import traitlets

from lowrank_kit.checks import InputError
from lowrank_kit.i18n import LANGUAGES, strings
from lowrank_kit.records import Trajectory
from lowrank_kit.widgets.board import Board

__all__ = ["Played", "Player", "entry_of"]

# The browser is told at most so often.
TELL_S = 0.05
ENDED = ("finished", "cancelled", "failed")
COMMANDS = ("start", "pause", "resume", "cancel", "restart")


class Played(Protocol):
    """What a player plays: rows that grow while it advances, a piece of work at a time."""

    @property
    def rows(self) -> Sequence[Mapping[str, Any]]: ...

    @property
    def expected_rows(self) -> int: ...

    @property
    def trajectory(self) -> Trajectory: ...

    @property
    def progress(self) -> dict[str, int]: ...

    @property
    def outcome(self) -> dict[str, Any]: ...

    def advance(self) -> bool: ...


class Player(Board):
    """A subclass says what is trained, how its rows travel, and how it looks without a kernel.

    `start`, `pause`, `resume`, `cancel` and `restart` do what the buttons do, and `scrub` what the time slider does.
    `wait` lets the training come to its end.
    """

    # The room of its words.
    room = "player"

    state = traitlets.Unicode("ready").tag(sync=True)
    progress = traitlets.Dict().tag(sync=True)
    outcome = traitlets.Dict().tag(sync=True)

    _shown: Any

    def _begin(self, language: str | None) -> str:
        self._lock, self._run, self._told, self._told_at = threading.RLock(), 0, (0, 0), -np.inf
        return super()._begin(language)

    @property
    def trajectory(self) -> Trajectory:
        """What was recorded so far."""
        return self._shown.trajectory

    @property
    def step(self) -> int:
        """The step that is shown."""
        return int(self._row()["step"])

    def start(self) -> None:
        """Begin, or go on where it is paused. Raises InputError where the training has ended."""
        self._live()
        if self.state in ENDED:
            raise InputError(f"`start` begins a training, and this one is {self.state}; `restart` begins it anew.")
        self._go("ready", "paused")

    def pause(self) -> None:
        """Stop after the present step, to go on later; nothing happens where nothing runs."""
        self._live()
        self._become("paused", "running")

    def resume(self) -> None:
        """Go on where it was paused. Raises InputError where it has not begun or has ended."""
        self._live()
        if self.state not in ("paused", "running"):
            raise InputError(f"`resume` goes on with a training that is paused; this one is {self.state}.")
        self._go("paused")

    def cancel(self) -> None:
        """End the training after the present step; what was recorded stays. Nothing happens where nothing runs."""
        self._live()
        if self._become("cancelled", "paused"):
            self._draw_soon()
        self._become("cancelled", "running")

    def restart(self) -> None:
        """Begin anew from the network as it was given, with the settings as they are now."""
        self._live()
        self._check_open()
        anew = self._anew()
        with self._lock:
            self._shown, self._run, self._told = anew, self._run + 1, (0, 0)
            self.fault, self.outcome, self.progress, self.state = "", {}, {}, "ready"
        self._set(at=None)
        self._send_all()
        self._go("ready")

    def wait(self, timeout: float | None = None) -> bool:
        """Until the training has ended or is paused; False on a timeout in seconds. Raises what went wrong."""
        return self._worker.wait(timeout, chores=True)

    def scrub(self, step: int | None = None, *, index: int | None = None) -> None:
        """Show the training as it was at a step, or at an entry by its number; the newest where neither is given.

        Raises InputError where there is no such entry.
        """
        self._set(at=entry_of(np.array([row["step"] for row in self._shown.rows]), step, index))

    def close(self) -> None:
        self._become("cancelled", "running", "paused")
        super().close()

    def _ipython_display_(self) -> None:
        self._still.display(repr(self), self._repr_mimebundle_(), self._words())
        self._draw_soon()

    def _row(self) -> Mapping[str, Any]:
        rows, at = self._shown.rows, self.setting["at"]
        return rows[-1 if at is None else min(at, len(rows) - 1)]

    def _set(self, **changes: Any) -> None:
        self.setting = {**self.setting, **changes, "final": True}

    def _become(self, state: str, *before: str) -> bool:
        """Change the state if it is one of these, whichever thread asks."""
        with self._lock:
            changes = self.state in before
            if changes:
                self.state = state
            return changes

    def _go(self, *before: str) -> None:
        self._check_open()
        if self._become("running", *before):
            self.fault = ""
            self._worker.chore(self._work(self._live()))

    def _work(self, played: Played) -> Iterator[None]:
        """The training, a piece at a time while it is to run; then a picture of what there is."""
        while self.state == "running" and played is self._shown:
            try:
                goes_on = played.advance()
            except Exception:
                if played is not self._shown:  # nobody looks at it any more
                    return
                raise
            self._tell(played, now=not goes_on)
            if not goes_on:
                self._finish(played)
            yield
        if played is self._shown:
            self._tell(played, now=True)
            self._leave_off()

    def _finish(self, played: Played) -> None:
        with self._lock:
            if played is self._shown:
                self.outcome = played.outcome
                self._become("finished", "running", "paused")

    def _leave_off(self) -> None:
        """A picture stands for the player on pages without a kernel; of a pause words do, which hold nothing up."""
        if self.state == "paused":
            self._still.tell(self._words())
        else:
            self._draw()

    def _failed(self, fault: Exception) -> None:
        super()._failed(fault)
        if self._become("failed", "running", "paused"):
            self._tell(self._live(), now=True)
            self._draw()

    def _tell(self, played: Played, *, now: bool) -> None:
        """Send the rows that are new or know more since the browser was told last, which is not too often."""
        if not now and time.monotonic() - self._told_at < TELL_S:
            return
        with self._lock:
            if played is not self._shown:
                return
            self._told_at, rows = time.monotonic(), played.rows
            if self._told != (len(rows), len(rows[-1])):
                self._send_rows("rows", rows, max(self._told[0] - 1, 0))
                self._told = len(rows), len(rows[-1])
            self.progress = played.progress

    def _send_all(self) -> None:
        spoken = {language: strings(self.room, language) for language in LANGUAGES}
        with self._lock:  # so that rows told meanwhile come behind it
            words = {**self._described(), "expected": self._shown.expected_rows}
            self._send_rows("begin", self._shown.rows, 0, words=words, strings=spoken)

    def _hear(self, _: Any, content: Mapping[str, Any], __: Any) -> None:
        kind = content.get("kind")
        if kind == "hello":
            self._send_all()
        elif kind in COMMANDS:
            try:
                getattr(self, kind)()
            except InputError as fault:  # which a hand cannot catch
                self.fault = str(fault)

    def _draw_soon(self) -> None:
        """Not while it runs, which a picture would hold up: there is one at the end."""
        if self.state not in ("ready", "running") and not self._worker.is_closed:
            self._worker.submit(lambda stop: self._draw())

    # What a subclass says.

    def _live(self) -> Any:
        """What is trained. Raises InputError where it is only played."""
        return self._shown

    def _anew(self) -> Played:
        """A training from the beginning, with the settings as they are now."""
        raise NotImplementedError

    def _described(self) -> dict[str, Any]:
        """What a page says of the whole training beside its rows, in plain words and numbers."""
        raise NotImplementedError

    def _send_rows(self, kind: str, rows: Sequence[Mapping[str, Any]], start: int, **words: Any) -> None:
        """Send the rows from `start` on."""
        raise NotImplementedError

    def _words(self) -> str:
        """HTML that stands for the player until there is a picture."""
        raise NotImplementedError

    def _draw(self) -> None:
        """The picture that stands for it on pages without a kernel."""
        raise NotImplementedError


def entry_of(steps: np.ndarray, step: int | None, index: int | None) -> int | None:
    """The number of the entry that shows a step, or the number itself; None for the newest where neither is given.

    Raises InputError where there is no such entry.
    """
    if step is not None:
        index = int(np.count_nonzero(steps <= step)) - 1
    if index is not None and not 0 <= index < len(steps):
        raise InputError(
            f"`step` or `index` must be of an entry there is, 0 to {len(steps) - 1}, from step {steps[0]} to "
            f"{steps[-1]}; got {index if step is None else step}."
        )
    return index
