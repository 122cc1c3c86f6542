"""The training player: layers find their ranks while a network learns, to steer while it runs and to scrub after."""

import copy
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
import traitlets
from torch import nn

from lowrank_kit.checks import InputError
from lowrank_kit.i18n import LANGUAGES, strings
from lowrank_kit.methods.adaptive import AdaptiveTraining
from lowrank_kit.models.layers import channels_last
from lowrank_kit.models.zoo import ZOO, load
from lowrank_kit.records import Data, Measurement, RankPlan, Trajectory
from lowrank_kit.widgets.assets import module, style
from lowrank_kit.widgets.board import Board
from lowrank_kit.widgets.course import Course, Recipe
from lowrank_kit.widgets.recording import Recording, described, limits_of
from lowrank_kit.widgets.rows import Row, rows_message
from lowrank_kit.widgets.still import listed

__all__ = ["TrainingPlayer"]

# The browser is told at most so often.
TELL_S = 0.05
ENDED = ("finished", "cancelled", "failed")
COMMANDS = ("start", "pause", "resume", "cancel", "restart")


class TrainingPlayer(Board):
    """A rank-adaptive training, live or recorded, in the browser and from Python alike.

    Parameters
    ----------
    source : a name of the zoo, whose network is trained from new weights, an nn.Module, of which a copy is trained
        from the weights it has, or a Trajectory, which is only played
    data : for a module, Data with training examples
    tolerance : relative error of a weight that a truncation may make
    ceiling : the most a rank may be; None for as much as there is
    epochs : how many times the training examples are gone through
    dense : the same network trained the same way without factors, measured on the test examples, where it is at hand:
        the change against it is told at the end
    language : "en" or "ja"; LOWRANK_KIT_LANG or English where not given
    recipe : further settings of a :class:`lowrank_kit.widgets.course.Recipe`, such as learning_rate, local_steps, seed

    `start`, `pause`, `resume`, `cancel` and `restart` do what the buttons do, `set_tolerance`, `set_ceiling` and
    `scrub` what the sliders do. `wait` lets the training come to its end, which is the same whenever the seed is
    and nobody else draws from PyTorch's random numbers meanwhile.
    """

    _esm = module("training_player")
    _css = style("training_player")

    state = traitlets.Unicode("ready").tag(sync=True)
    progress = traitlets.Dict().tag(sync=True)
    outcome = traitlets.Dict().tag(sync=True)

    def __init__(
        self,
        source: Any = "mnist-cnn",
        data: Data | None = None,
        *,
        tolerance: float = 0.3,
        ceiling: int | None = None,
        epochs: int = 3,
        dense: Measurement | None = None,
        language: str | None = None,
        **recipe: Any,
    ):
        self._lock, self._run, self._told, self._told_at = threading.RLock(), 0, (0, 0), -np.inf
        language = self._begin(language)
        self._shown: Course | Recording
        if isinstance(source, Trajectory):
            self._shown = Recording(source)
        else:
            settings = Recipe(epochs=epochs, **recipe)
            network, data = _given(source, data, settings.seed)
            self._new_course = lambda tolerance, ceiling: Course(
                network, data, settings.adaptation(tolerance, ceiling), settings, dense=dense
            )
            self._shown = self._new_course(tolerance, ceiling)
        self._limits = limits_of(self._shown.trajectory)
        super().__init__(
            language=language,
            still_id=self._still.id,
            setting={"tolerance": float(tolerance), "ceiling": ceiling, "at": None, "layer": None, "final": True},
            state="recorded" if isinstance(source, Trajectory) else "ready",
            outcome=self._shown.outcome,
        )
        self.observe(self._moved, "setting")
        self.on_msg(self._hear)

    @property
    def tolerance(self) -> float:
        return float(self.setting["tolerance"])

    @property
    def ceiling(self) -> int | None:
        return self.setting["ceiling"]

    @property
    def training(self) -> AdaptiveTraining:
        """The training itself, which is not to be touched while it runs."""
        return self._course().training

    @property
    def trajectory(self) -> Trajectory:
        """What was recorded so far."""
        return self._shown.trajectory

    @property
    def step(self) -> int:
        """The step that is shown."""
        return int(self._row()["step"])

    @property
    def ranks(self) -> dict[str, tuple[int, ...]]:
        """{layer: a rank for each mode} at the step that is shown."""
        found = self._row().get("ranks", ())
        return {n: tuple(int(r) for r in part if r > 0) for n, part in zip(self._limits, found, strict=False)}

    @property
    def record(self) -> Measurement:
        """The trained network in plain layers, on the test examples; waits for the end of a training that runs."""
        course = self._course()
        if self.state == "running":
            self.wait()
        if course.record is None:
            raise InputError(f"`record` is there when the training has come to its end; this one is {self.state}.")
        return course.record

    def start(self) -> None:
        """Begin, or go on where it is paused. Raises InputError where the training has ended."""
        self._course()
        if self.state in ENDED:
            raise InputError(f"`start` begins a training, and this one is {self.state}; `restart` begins it anew.")
        self._go("ready", "paused")

    def pause(self) -> None:
        """Stop after the present step, to go on later; nothing happens where nothing runs."""
        self._course()
        self._become("paused", "running")

    def resume(self) -> None:
        """Go on where it was paused. Raises InputError where it has not begun or has ended."""
        self._course()
        if self.state not in ("paused", "running"):
            raise InputError(f"`resume` goes on with a training that is paused; this one is {self.state}.")
        self._go("paused")

    def cancel(self) -> None:
        """End the training after the present step; what was recorded stays. Nothing happens where nothing runs."""
        self._course()
        if self._become("cancelled", "paused"):
            self._draw_soon()
        self._become("cancelled", "running")

    def restart(self) -> None:
        """Begin anew from the network as it was given, with tolerance and ceiling as they are now."""
        self._course()
        self._check_open()
        course = self._new_course(self.tolerance, self.ceiling)
        with self._lock:
            self._shown, self._run, self._told = course, self._run + 1, (0, 0)
            self.fault, self.outcome, self.progress, self.state = "", {}, {}, "ready"
        self._set(at=None)
        self._send_all()
        self._go("ready")

    def wait(self, timeout: float | None = None) -> bool:
        """Until the training has ended or is paused; False on a timeout in seconds. Raises what went wrong."""
        return self._worker.wait(timeout, chores=True)

    def compressed(self) -> tuple[nn.Module, RankPlan]:
        """The network as it stands, in plain layers, and the plan it follows. Raises InputError while it is trained."""
        course = self._course()
        if self.state == "running":
            raise InputError("the network is being trained; `pause` the training first, or `wait` for its end.")
        self.wait()
        return course.compressed()

    def set_tolerance(self, tolerance: float) -> None:
        """From the next truncation on. Raises InputError unless it lies above 0 and below 1."""
        self._adapt(tolerance, self.ceiling)
        self._set(tolerance=float(tolerance))

    def set_ceiling(self, ceiling: int | None) -> None:
        """From the next truncation on; None for none. Raises InputError for less than a rank's floor of 2."""
        self._adapt(self.tolerance, ceiling)
        self._set(ceiling=ceiling)

    def scrub(self, step: int | None = None, *, index: int | None = None) -> None:
        """Show the training as it was at a step, or at an entry by its number; the newest where neither is given.

        Raises InputError where there is no such entry.
        """
        steps = np.array([row["step"] for row in self._shown.rows])
        if step is not None:
            index = int(np.count_nonzero(steps <= step)) - 1
        if index is not None and not 0 <= index < len(steps):
            raise InputError(
                f"`step` or `index` must be of an entry there is, 0 to {len(steps) - 1}, from step {steps[0]} to "
                f"{steps[-1]}; got {index if step is None else step}."
            )
        self._set(at=index)

    def close(self) -> None:
        self._become("cancelled", "running", "paused")
        super().close()

    def __repr__(self) -> str:
        trajectory = self._shown.trajectory
        return f"TrainingPlayer({trajectory.name}: {self.state}, to step {trajectory.steps[-1]})"

    def _ipython_display_(self) -> None:
        self._still.display(repr(self), self._repr_mimebundle_(), self._words())
        self._draw_soon()

    def _words(self) -> str:
        text = strings("player", self.language)
        lines = [f"{name}: {' × '.join(map(str, ranks))}" for name, ranks in self.ranks.items()]
        return listed(f"{self._shown.trajectory.name}: {text[self.state]}", lines)

    def _course(self) -> Course:
        if isinstance(self._shown, Recording):
            raise InputError("this training is recorded and only played; TrainingPlayer(network, data) trains one.")
        return self._shown

    def _row(self) -> Row:
        rows, at = self._shown.rows, self.setting["at"]
        return rows[-1 if at is None else min(at, len(rows) - 1)]

    def _set(self, **changes: Any) -> None:
        self.setting = {**self.setting, **changes, "final": True}

    def _adapt(self, tolerance: float, ceiling: int | None) -> None:
        training = self._course().training
        training.adaptation = replace(training.adaptation, tolerance=tolerance, ceiling=ceiling)

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
            self._worker.chore(self._work(self._course()))

    def _work(self, course: Course) -> Iterator[None]:
        """The training, a piece at a time while it is to run; then a picture of what there is."""
        while self.state == "running" and course is self._shown:
            try:
                goes_on = course.advance()
            except Exception:
                if course is not self._shown:  # nobody looks at it any more
                    return
                raise
            self._tell(course, now=not goes_on)
            if not goes_on:
                self._finish(course)
            yield
        if course is self._shown:
            self._tell(course, now=True)
            self._leave_off()

    def _finish(self, course: Course) -> None:
        with self._lock:
            if course is self._shown:
                self.outcome = course.outcome
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
            self._tell(self._course(), now=True)
            self._draw()

    def _tell(self, course: Course, *, now: bool) -> None:
        """Send the rows that are new or know more since the browser was told last, which is not too often."""
        if not now and time.monotonic() - self._told_at < TELL_S:
            return
        with self._lock:
            if course is not self._shown:
                return
            self._told_at, rows = time.monotonic(), course.rows
            if self._told != (len(rows), len(rows[-1])):
                self._send_rows("rows", rows, max(self._told[0] - 1, 0))
                self._told = len(rows), len(rows[-1])
            self.progress = course.progress

    def _send_rows(self, kind: str, rows: Sequence[Row], start: int, **words: Any) -> None:
        modes = max(map(len, self._limits.values()), default=0)
        message, buffers = rows_message(rows, start, (len(self._limits), modes))
        self.send({"kind": kind, "run": self._run, **message, **words}, buffers)

    def _send_all(self) -> None:
        words = {**described(self._shown.trajectory, self._limits), "expected": self._shown.expected_rows}
        spoken = {language: strings("player", language) for language in LANGUAGES}
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

    def _moved(self, change: Any) -> None:
        old, new = change.old, change.new
        if any(old[key] != new[key] for key in ("tolerance", "ceiling")):
            self._adapt(new["tolerance"], new["ceiling"])
        if new["final"]:
            self._draw_soon()

    def _draw_soon(self) -> None:
        """Not while it runs, which a picture would hold up: there is one at the end."""
        if self.state not in ("ready", "running") and not self._worker.is_closed:
            self._worker.submit(lambda stop: self._draw())

    def _draw(self) -> None:
        from lowrank_kit.plots.trajectory import plot_trajectory

        trajectory, setting = self._shown.trajectory, self.setting
        at = None if setting["at"] is None else min(setting["at"], len(trajectory) - 1)
        self._still.show(plot_trajectory(trajectory, at, setting["layer"], language=self.language))


def _given(source: Any, data: Data | None, seed: int) -> tuple[nn.Module, Data]:
    """The network to begin with, and its data."""
    if isinstance(source, str):
        with torch.random.fork_rng(devices=[]):
            _, found = load(source, data)
            torch.manual_seed(seed)
            return channels_last(ZOO[source].build()), found
    if not isinstance(source, nn.Module):
        names = ", ".join(ZOO)
        raise InputError(
            f"`source` must be a name ({names}), an nn.Module or a Trajectory; got {type(source).__name__}."
        )
    if not isinstance(data, Data):
        raise InputError(
            "`data` must come with a module: Data(name, validation, test, train) of Examples; "
            f"got {type(data).__name__}."
        )
    return copy.deepcopy(source), data
