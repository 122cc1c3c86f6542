"""The dynamics player: a deep linear network learns anew at every change of a hand, and can be scrubbed meanwhile."""

import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, fields
from typing import Any

import numpy as np
import traitlets

from lowrank_kit.checks import InputError, check_name
from lowrank_kit.i18n import LANGUAGES, strings
from lowrank_kit.methods.simulation import Settings, Simulation
from lowrank_kit.records import Trajectory
from lowrank_kit.widgets.assets import module, style
from lowrank_kit.widgets.board import Board
from lowrank_kit.widgets.player import entry_of
from lowrank_kit.widgets.still import listed
from lowrank_kit.widgets.wire import packed
from lowrank_kit.widgets.worker import Stop

__all__ = ["DynamicsPlayer"]

# A simulation that takes longer tells how far it is, so often.
BUDGET_S, TELL_S = 0.25, 0.1
# So long nothing is asked for before a picture is drawn for pages without a kernel.
REST_S = 0.5
NAMES = tuple(field.name for field in fields(Settings))
# Sent in single precision: they are only painted.
PAINTED = ("product", "angles")


class DynamicsPlayer(Board):
    """Deep linear networks in training: spectra, angles and losses over time, beside the narrow twin.

    Parameters
    ----------
    language : "en" or "ja"; LOWRANK_KIT_LANG or English where not given
    settings : what :class:`lowrank_kit.methods.simulation.Settings` has, such as width, depth, rank, scale,
        learning_rate, start, rule, condition, seen, seed and steps

    `set` does what the controls do, `scrub` what the time slider does; `trajectory` waits for what is being computed.
    Bad settings raise InputError and change nothing. A run that diverges is kept as far as it went.
    """

    _esm = module("dynamics_player")
    _css = style("dynamics_player")

    progress = traitlets.Float(1.0).tag(sync=True)

    def __init__(self, *, language: str | None = None, **settings: Any):
        language = self._begin(language)
        first = _checked(settings)
        self._simulation: Simulation | None = None
        self._film: Trajectory | None = None
        # What is being computed, as far as it has come.
        self._path: tuple[Simulation, Iterator[float]] | None = None
        self._run = 0
        super().__init__(
            language=language,
            still_id=self._still.id,
            setting={**asdict(first), "at": None, "layer": 0, "final": True},
        )
        self.observe(self._moved, "setting")
        self.on_msg(self._hear)
        self._compute()

    @property
    def settings(self) -> Settings:
        return Settings(**{name: self.setting[name] for name in NAMES})

    @property
    def simulation(self) -> Simulation:
        """The networks behind what is shown; waits until it is there."""
        self._worker.wait()
        if self._simulation is None or self._simulation.settings != self.settings:
            self._check_open()
            self._compute()
            self._worker.wait()
        assert self._simulation is not None
        return self._simulation

    @property
    def trajectory(self) -> Trajectory:
        """What is shown; waits until it is there."""
        self.simulation  # noqa: B018
        assert self._film is not None
        return self._film

    @property
    def step(self) -> int:
        """The step that is shown."""
        return int(self.trajectory.steps[self._at()])

    def wait(self, timeout: float | None = None) -> bool:
        """Until what is shown is computed and drawn; False on a timeout in seconds. Raises what went wrong."""
        return self._worker.wait(timeout, chores=True)

    def set(self, **settings: Any) -> None:
        """Other settings, the rest as they are. Raises InputError for what cannot be simulated."""
        found = _checked({**asdict(self.settings), **settings})
        self._check_open()
        self.setting = {**self.setting, **asdict(found), **self._layer(found), "final": True}

    def scrub(self, step: int | None = None, *, index: int | None = None) -> None:
        """Show a step, or an entry by its number; the last one where neither is given.

        Raises InputError where there is no such entry.
        """
        at = entry_of(self.trajectory.steps, step, index)
        self.setting = {**self.setting, "at": at, "final": True}

    def __repr__(self) -> str:
        chosen = self.settings
        return f"DynamicsPlayer({chosen.depth} layers of width {chosen.width}, target of rank {chosen.rank})"

    def _ipython_display_(self) -> None:
        self._still.display(repr(self), self._repr_mimebundle_(), self._words())
        self._draw_soon()

    def _words(self) -> str:
        text, film = strings("dynamics", self.language), self._film
        lines = [] if film is None else [f"{text['loss']}: {film['loss'][self._at()]:.3g}"]
        return listed(text["still"].format(**asdict(self.settings)), lines)

    def _at(self) -> int:
        last = 0 if self._film is None else len(self._film) - 1
        return last if self.setting["at"] is None else min(self.setting["at"], last)

    def _layer(self, settings: Settings) -> dict[str, int]:
        return {"layer": min(self.setting["layer"], settings.depth - 1)}

    def _hear(self, _: Any, content: Mapping[str, Any], __: Any) -> None:
        if content.get("kind") == "hello":
            spoken = {language: strings("dynamics", language) for language in LANGUAGES}
            self.send({"kind": "words", "strings": spoken})
            if self._film is not None:
                self._send_film(self._film)

    def _moved(self, change: Any) -> None:
        old, new = change.old, change.new
        if any(old[name] != new[name] for name in NAMES):
            try:
                _checked({name: new[name] for name in NAMES})
            except InputError as fault:  # of a hand, which cannot catch it
                self.setting, self.fault = old, str(fault)
                return
            self._compute()
        if new["final"]:
            self._draw_soon()

    def _compute(self) -> None:
        self._check_open()
        self.fault = ""
        settings = self.settings
        self._worker.submit(lambda stop: self._simulate(settings, stop))

    def _simulate(self, settings: Settings, stop: Stop) -> None:
        """Compute a film and send it, unless something newer is wanted meanwhile; then go on where it was left."""
        if self._simulation is None or self._simulation.settings != settings:
            if self._path is None or self._path[0].settings != settings:
                simulation = Simulation(settings)
                self._path = simulation, simulation.run()
            (simulation, path), self._path = self._path, None
            if not self._is_through(path, stop):
                self._path = simulation, path
                return
            self._simulation, self._film = simulation, simulation.trajectory
            self._run += 1
            self._send_film(self._film)

    def _is_through(self, path: Iterator[float], stop: Stop) -> bool:
        """Whether a simulation came to its end before somebody wanted something else."""
        begun = told = time.monotonic()
        for share in path:
            if stop():
                return False
            now = time.monotonic()
            if now - begun > BUDGET_S and now - told > TELL_S:
                self.progress, told = share, now
        self.progress = 1.0
        return True

    def _send_film(self, film: Trajectory) -> None:
        simulation = self._simulation
        assert simulation is not None
        arrays = {"steps": film.steps.astype(np.float64), "target": simulation.target.astype(np.float32)}
        arrays |= {name: v.astype(np.float32 if name in PAINTED else np.float64) for name, v in film.arrays.items()}
        shapes = {name: list(values.shape) for name, values in arrays.items()}
        facts = {name: value if value != np.inf else None for name, value in film.facts.items()}
        words = {"kind": "film", "run": self._run, "facts": facts, "shapes": shapes}
        self.send(*packed(words, {name: values.ravel() for name, values in arrays.items()}))

    def _failed(self, fault: Exception) -> None:
        super()._failed(fault)
        self.progress = 1.0

    def _draw_soon(self) -> None:
        if not self._worker.is_closed:
            self._worker.chore(self._drawn_in_peace())

    def _drawn_in_peace(self) -> Iterator[None]:
        """A picture takes longer than a film: it is drawn where a hand has rested for a while."""
        begun = time.monotonic()
        while time.monotonic() - begun < REST_S:
            time.sleep(0.01)
            yield
        self._draw()

    def _draw(self) -> None:
        """A picture stands for the player on pages without a kernel."""
        from lowrank_kit.plots.dynamics import plot_dynamics

        if self._film is not None:
            self._still.show(plot_dynamics(self._film, self._at(), language=self.language))


def _checked(settings: Mapping[str, Any]) -> Settings:
    for name in settings:
        check_name(name, NAMES, name="setting")
    return Settings(**settings)
