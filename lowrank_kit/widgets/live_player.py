"""The live player: a real network learns beside its deep linear twin, their spectra drawn while they do."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, fields
from typing import Any

import numpy as np
import torch
from torch import nn

from lowrank_kit.checks import InputError, check_name
from lowrank_kit.i18n import strings
from lowrank_kit.methods.watching import Watch, WatchSettings
from lowrank_kit.models.zoo import load
from lowrank_kit.records import Data, Trajectory
from lowrank_kit.widgets.assets import module, style
from lowrank_kit.widgets.player import Player
from lowrank_kit.widgets.still import listed
from lowrank_kit.widgets.wire import packed

__all__ = ["LivePlayer"]

NAMES = tuple(field.name for field in fields(WatchSettings))


class Pair:
    """Both trainings with the face that a player plays."""

    def __init__(self, network: nn.Sequential, data: Data, settings: WatchSettings):
        self.watch, self._done = Watch(network, data, settings), 0
        self._path: Iterator[int] = self.watch.run()

    @property
    def rows(self) -> list[dict[str, Any]]:
        return self.watch.rows

    @property
    def expected_rows(self) -> int:
        return self.watch.expected_rows

    @property
    def trajectory(self) -> Trajectory:
        return self.watch.trajectory

    @property
    def outcome(self) -> dict[str, Any]:
        return {}

    @property
    def progress(self) -> dict[str, int]:
        return {"done": self._done, "total": self.watch.settings.steps}

    def advance(self) -> bool:
        """Take a step; False where none is left, or where one of the trainings has diverged."""
        self._done = next(self._path, 0) or self._done
        return self._done < self.watch.settings.steps and not self.watch.fault


class LivePlayer(Player):
    """A network of linear layers and activations and its deep linear twin, trained in step and watched.

    Parameters
    ----------
    source : "digits-mlp", or an nn.Sequential of linear layers and activations; it begins with new weights
    data : for a module, Data with training examples
    language : "en" or "ja"; LOWRANK_KIT_LANG or English where not given
    settings : what :class:`lowrank_kit.methods.watching.WatchSettings` has, such as start, scale, learning_rate,
        optimiser, batch, whitened, steps and seed

    `set` changes settings before a training or for the next one; `restart` begins it. A training that diverges is kept
    as far as it went.
    """

    _esm = module("live_player")
    _css = style("live_player")

    room = "live"
    _shown: Pair

    def __init__(
        self, source: Any = "digits-mlp", data: Data | None = None, *, language: str | None = None, **settings: Any
    ):
        language = self._begin(language)
        self._source = _given(source, data)
        first = _checked(settings)
        self._shown = Pair(*self._source, first)
        super().__init__(
            language=language, still_id=self._still.id, setting={**asdict(first), "at": None, "final": True}
        )
        self.observe(self._moved, "setting")
        self.on_msg(self._hear)

    @property
    def settings(self) -> WatchSettings:
        """Those of the next training."""
        return WatchSettings(**{name: self.setting[name] for name in NAMES})

    def set(self, **settings: Any) -> None:
        """Other settings, the rest as they are: for a training that has not begun, or for the next.

        Raises InputError for what cannot be trained.
        """
        found = _checked({**asdict(self.settings), **settings})
        self.setting = {**self.setting, **asdict(found), "final": True}

    def __repr__(self) -> str:
        trajectory = self.trajectory
        return f"LivePlayer({trajectory.name} and its linear twin: {self.state}, to step {trajectory.steps[-1]})"

    def _hear(self, _: Any, content: Mapping[str, Any], buffers: Any) -> None:
        """A button brings the settings along: a change that was made just before it may still be on its way."""
        if "setting" in content:
            self.setting = {**self.setting, **{name: content["setting"][name] for name in NAMES}}
        super()._hear(_, content, buffers)

    def _moved(self, change: Any) -> None:
        old, new = change.old, change.new
        if any(old[name] != new[name] for name in NAMES):
            try:
                _checked({name: new[name] for name in NAMES})
            except InputError as fault:  # of a hand, which cannot catch it
                self.setting, self.fault = old, str(fault)
                return
            if self.state == "ready":
                self._renew()
        if new["final"]:
            self._draw_soon()

    def _renew(self) -> None:
        """A training that has not begun begins with the settings as they are now."""
        with self._lock:
            self._shown, self._run, self._told = self._anew(), self._run + 1, (0, 0)
        self._send_all()

    def _anew(self) -> Pair:
        return Pair(*self._source, self.settings)

    def _finish(self, played: Any) -> None:
        super()._finish(played)
        self.fault = played.watch.fault

    def _described(self) -> dict[str, Any]:
        trajectory = self.trajectory
        return {"name": trajectory.name, "layers": list(self._shown.watch.layers), **trajectory.facts}

    def _send_rows(self, kind: str, rows: Sequence[Mapping[str, Any]], start: int, **words: Any) -> None:
        sent = rows[start:]
        arrays = {name: np.array([row[name] for row in sent], dtype=np.float64) for name in rows[0]}
        shapes = {name: list(values.shape[1:]) for name, values in arrays.items()}
        message = {"kind": kind, "run": self._run, "start": start, "count": len(sent), "shapes": shapes, **words}
        self.send(*packed(message, {name: values.ravel() for name, values in arrays.items()}))

    def _words(self) -> str:
        text, last = strings("live", self.language), self._shown.rows[-1]
        right = zip(("network", "twin"), last["accuracy"], strict=True)
        lines = [f"{text[name]}: {accuracy:.1%}" for name, accuracy in right]
        return listed(f"{self.trajectory.name}: {text[self.state]}", lines)

    def _draw(self) -> None:
        from lowrank_kit.plots.watching import plot_watch

        trajectory, at = self.trajectory, self.setting["at"]
        at = None if at is None else min(at, len(trajectory) - 1)
        self._still.show(plot_watch(trajectory, at, language=self.language))


def _given(source: Any, data: Data | None) -> tuple[Any, Data]:
    if isinstance(source, str):
        check_name(source, ("digits-mlp",), name="source")
        with torch.random.fork_rng(devices=[]):
            return load(source, data)
    if not isinstance(source, nn.Module):
        raise InputError(f'`source` must be "digits-mlp" or an nn.Sequential; got {type(source).__name__}.')
    if not isinstance(data, Data):
        raise InputError(
            "`data` must come with a module: Data(name, validation, test, train) of Examples; "
            f"got {type(data).__name__}."
        )
    return source, data


def _checked(settings: Mapping[str, Any]) -> WatchSettings:
    for name in settings:
        check_name(name, NAMES, name="setting")
    return WatchSettings(**settings)
