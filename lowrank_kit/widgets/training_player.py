"""The training player: layers find their ranks while a network learns, to steer while it runs and to scrub after."""

import copy
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from lowrank_kit.checks import InputError
from lowrank_kit.i18n import strings
from lowrank_kit.methods.adaptive import AdaptiveTraining
from lowrank_kit.models.layers import channels_last
from lowrank_kit.models.zoo import ZOO, load
from lowrank_kit.records import Data, Measurement, RankPlan, Trajectory
from lowrank_kit.widgets.assets import module, style
from lowrank_kit.widgets.course import Course, Recipe
from lowrank_kit.widgets.player import Player
from lowrank_kit.widgets.recording import Recording, described, limits_of
from lowrank_kit.widgets.rows import Row, rows_message
from lowrank_kit.widgets.still import listed

__all__ = ["TrainingPlayer"]


class TrainingPlayer(Player):
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

    _shown: Course | Recording

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
        language = self._begin(language)
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
        return self._live().training

    @property
    def ranks(self) -> dict[str, tuple[int, ...]]:
        """{layer: a rank for each mode} at the step that is shown."""
        found = self._row().get("ranks", ())
        return {n: tuple(int(r) for r in part if r > 0) for n, part in zip(self._limits, found, strict=False)}

    @property
    def record(self) -> Measurement:
        """The trained network in plain layers, on the test examples; waits for the end of a training that runs."""
        course = self._live()
        if self.state == "running":
            self.wait()
        if course.record is None:
            raise InputError(f"`record` is there when the training has come to its end; this one is {self.state}.")
        return course.record

    def compressed(self) -> tuple[nn.Module, RankPlan]:
        """The network as it stands, in plain layers, and the plan it follows. Raises InputError while it is trained."""
        course = self._live()
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

    def __repr__(self) -> str:
        trajectory = self._shown.trajectory
        return f"TrainingPlayer({trajectory.name}: {self.state}, to step {trajectory.steps[-1]})"

    def _words(self) -> str:
        text = strings("player", self.language)
        lines = [f"{name}: {' × '.join(map(str, ranks))}" for name, ranks in self.ranks.items()]
        return listed(f"{self._shown.trajectory.name}: {text[self.state]}", lines)

    def _live(self) -> Course:
        if isinstance(self._shown, Recording):
            raise InputError("this training is recorded and only played; TrainingPlayer(network, data) trains one.")
        return self._shown

    def _anew(self) -> Course:
        return self._new_course(self.tolerance, self.ceiling)

    def _described(self) -> dict[str, Any]:
        return described(self._shown.trajectory, self._limits)

    def _adapt(self, tolerance: float, ceiling: int | None) -> None:
        training = self._live().training
        training.adaptation = replace(training.adaptation, tolerance=tolerance, ceiling=ceiling)

    def _send_rows(self, kind: str, rows: Sequence[Row], start: int, **words: Any) -> None:
        modes = max(map(len, self._limits.values()), default=0)
        message, buffers = rows_message(rows, start, (len(self._limits), modes))
        self.send({"kind": kind, "run": self._run, **message, **words}, buffers)

    def _moved(self, change: Any) -> None:
        old, new = change.old, change.new
        if any(old[key] != new[key] for key in ("tolerance", "ceiling")):
            self._adapt(new["tolerance"], new["ceiling"])
        if new["final"]:
            self._draw_soon()

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
