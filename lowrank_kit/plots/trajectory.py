"""A training as it was recorded: ranks, loss and accuracy over the steps, and the spectra at one of them."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter, NullLocator, StrMethodFormatter

from lowrank_kit.checks import InputError, check_name
from lowrank_kit.i18n import strings
from lowrank_kit.plots.figure import Picture, canvas, picture
from lowrank_kit.records import Trajectory

__all__ = ["entry_of", "plot_accuracy", "plot_loss", "plot_mode_spectra", "plot_ranks", "plot_trajectory"]

MODES = ("outputs", "inputs", "height", "width")
# Okabe and Ito's, as the first two of every theme are.
FURTHER = ("#009e73", "#cc79a7")
DASHES = ("-", (0, (4, 1.5)), (0, (1, 1.5)), "-.")
COLUMNS = 4
# What round numbers begin with.
ROUND = (1, 2, 5, 10)
# Smaller singular values than this share of the largest are left outside.
SHOWN = 1e-3
# Accuracies that are written beside an axis on which the last points are the widest.
ACCURACIES = (0.0, 0.5, 0.75, 0.9, 0.95, 0.99, 1.0)


def plot_trajectory(
    trajectory: Trajectory,
    at: int | None = None,
    layer: str | None = None,
    *,
    language: str | None = None,
    theme: str = "light",
) -> Picture:
    """One panel a layer with its ranks, over loss, accuracy and the spectra of one layer.

    Parameters
    ----------
    at : number of the entry whose step is marked and whose spectra are shown; the last one where not given
    layer : the one whose spectra are shown; the first where not given
    """
    at, names = entry_of(trajectory, at), trajectory.layers if "ranks" in trajectory.arrays else ()
    rows = -(-len(names) // COLUMNS)
    figure = picture(8.4, 2.0 * rows + 3.2, language=language, theme=theme)
    figure.description = figure.words["trajectory_description"].format(
        name=trajectory.name, step=trajectory.steps[at], ranks=", ".join(_said(trajectory, name, at) for name in names)
    )
    with figure.styled():
        grid = figure.add_gridspec(2 if names else 1, 1, height_ratios=[rows, 1.25] if names else None)
        if names:
            above = grid[0].subgridspec(rows, -(-len(names) // rows))
            for place, name in enumerate(names):
                plot_ranks(trajectory, name, at, ax=figure.add_subplot(above[place]))
        spectra = bool(names) and "values" in trajectory.arrays
        under = grid[-1].subgridspec(1, 3 if spectra else 2)
        below = [figure.add_subplot(under[place]) for place in range(under.ncols)]
        plot_loss(trajectory, at, ax=below[0])
        plot_accuracy(trajectory, at, ax=below[1])
        if spectra:
            plot_mode_spectra(trajectory, layer or names[0], at, ax=below[2])
        figure.suptitle(
            f"{trajectory.name}  ·  {_numbers(trajectory, at, strings('player', figure.language))}",
            x=0.01, ha="left", fontsize=10,
        )  # fmt: skip
    return figure


def plot_ranks(
    trajectory: Trajectory,
    layer: str,
    at: int | None = None,
    *,
    ax: Axes | None = None,
    language: str | None = None,
    theme: str = "light",
) -> Picture:
    """A layer's rank in each of its modes over the steps; the entry `at` is marked where it is given."""
    ranks = _of_layer(trajectory, "ranks", layer)
    figure, ax = canvas(ax, (4.6, 2.8), "ranks_description", layer=layer, language=language, theme=theme)
    with figure.styled():
        for mode, colour, dash in _modes(figure, ranks):
            _line(trajectory.steps, ranks[:, mode], ax, color=colour, ls=dash, drawstyle="steps-post")
            known = ranks[~np.isnan(ranks[:, mode]), mode]
            ax.annotate(
                f"{known[-1]:.0f}", (1, known[-1]), xycoords=("axes fraction", "data"), xytext=(3, -2),
                textcoords="offset points", va="top" if mode % 2 else "bottom", fontsize=8.5, color=colour,
            )  # fmt: skip
        ax.set(ylim=(0, None), ylabel="", xlabel="")
        ax.yaxis.set_major_locator(MaxNLocator(5, integer=True, steps=ROUND))
        ax.set_title(layer if at is None else _said(trajectory, layer, at))
        _over_steps(ax, figure, trajectory, at)
    return figure


def plot_loss(
    trajectory: Trajectory,
    at: int | None = None,
    *,
    ax: Axes | None = None,
    language: str | None = None,
    theme: str = "light",
) -> Picture:
    """The mean loss between two entries, over the steps."""
    figure, ax = canvas(ax, (4.6, 2.8), "loss_description", name=trajectory.name, language=language, theme=theme)
    with figure.styled():
        _line(trajectory.steps, _array(trajectory, "loss"), ax, color=figure.theme.after)
        ax.set(ylim=(0, None), ylabel="", xlabel=figure.words["step"])
        ax.set_title(figure.words["loss"])
        _over_steps(ax, figure, trajectory, at)
    return figure


def plot_accuracy(
    trajectory: Trajectory,
    at: int | None = None,
    *,
    ax: Axes | None = None,
    language: str | None = None,
    theme: str = "light",
) -> Picture:
    """The accuracy that was measured on the way, with its 95 % intervals where they were recorded."""
    figure, ax = canvas(ax, (4.6, 2.8), "way_description", name=trajectory.name, language=language, theme=theme)
    found = _array(trajectory, "accuracy")
    low, high = (trajectory.arrays.get(f"accuracy_{end}", found) for end in ("low", "high"))
    known, n = ~np.isnan(found), trajectory.facts.get("n_looked_at")
    with figure.styled():
        ax.set_yscale("function", functions=(_wide_at_the_top, _narrow_at_the_top))
        ax.vlines(trajectory.steps[known], low[known], high[known], color=figure.theme.after, alpha=0.35, lw=1.4)
        _line(trajectory.steps, found, ax, color=figure.theme.after, marker="o", ms=3, mew=0, clip_on=False)
        lowest = np.nanmin(low) if known.any() else 0.0
        ax.set(ylim=(min(lowest, 0.9), 1), ylabel="", xlabel=figure.words["step"])
        ax.set_yticks(ACCURACIES, [f"{part:.0%}" for part in ACCURACIES])
        ax.set_ylim(min(lowest, 0.9), 1)
        ax.set_title(figure.words["way_n"].format(n=n) if n else figure.words["way"])
        _over_steps(ax, figure, trajectory, at)
    return figure


def plot_mode_spectra(
    trajectory: Trajectory,
    layer: str,
    at: int | None = None,
    *,
    ax: Axes | None = None,
    language: str | None = None,
    theme: str = "light",
) -> Picture:
    """The singular values of each of a layer's modes before the truncation at an entry: kept in colour, cut in grey."""
    at, ranks = entry_of(trajectory, at), _of_layer(trajectory, "ranks", layer)
    values = _of_layer(trajectory, "values", layer)[at]
    figure, ax = canvas(ax, (4.6, 2.8), "modes_description", layer=layer, language=language, theme=theme)
    words, largest = figure.words, float(np.nan_to_num(values).max())
    top = largest or 1.0
    with figure.styled():
        for mode, colour, dash in _modes(figure, ranks):
            part = values[mode][values[mode] > SHOWN * top]
            kept = int(np.nan_to_num(ranks[at, mode]))
            number = np.arange(1, len(part) + 1)
            _line(number, part, ax, color=figure.theme.before, ls=dash, lw=1.2)
            _line(number[:kept], part[:kept], ax, color=colour, ls=dash, label=words[f"mode_{_named(mode, ranks)}"])
        ax.set(yscale="log", ylim=(SHOWN * top, 1.5 * top), xlabel=words["index"], ylabel="")
        ax.yaxis.set_major_locator(LogLocator(subs=(1.0,)))
        ax.yaxis.set_minor_locator(NullLocator())
        ax.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
        ax.yaxis.set_minor_formatter(NullFormatter())
        ax.set_title(words["modes_at"].format(layer=layer))
        if largest:
            ax.legend(loc="lower left", handlelength=1.6, borderaxespad=0.2)
    return figure


def _line(x: np.ndarray, y: np.ndarray, ax: Axes, **options: object) -> None:
    known = ~np.isnan(y)
    sns.lineplot(x=x[known], y=y[known], ax=ax, legend=False, estimator=None, **options)


def _over_steps(ax: Axes, figure: Picture, trajectory: Trajectory, at: int | None) -> None:
    """The axis of steps, the same for every panel, and the one that is looked at."""
    ax.set_xlim(0, max(int(trajectory.steps[-1]), 1))
    ax.xaxis.set_major_locator(MaxNLocator(4, integer=True, steps=ROUND))
    ax.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    ax.grid(visible=False, axis="x")
    for step in _changes(trajectory):
        ax.axvline(step, color=figure.theme.muted, lw=0.8, ls=(0, (1, 2)))
    if at is not None:
        ax.axvline(trajectory.steps[entry_of(trajectory, at)], color=figure.theme.ink, lw=0.9, alpha=0.7)


def _modes(figure: Picture, ranks: np.ndarray) -> list[tuple[int, str, object]]:
    """(mode, colour, dashes) of ranks (T, d): one for a matrix, whose modes have the same rank, and none it lacks."""
    colours = (figure.theme.after, figure.theme.accent, *FURTHER)
    there = [mode for mode in range(ranks.shape[1]) if not np.isnan(ranks[:, mode]).all()]
    return [(mode, colours[mode], DASHES[mode]) for mode in (there[:1] if _is_matrix(ranks) else there)]


def _named(mode: int, ranks: np.ndarray) -> str:
    return "matrix" if _is_matrix(ranks) else MODES[mode]


def _is_matrix(ranks: np.ndarray) -> bool:
    both = ranks.shape[1] > 1 and np.isnan(ranks[:, 2:]).all()
    return bool(both and np.array_equal(ranks[:, 0], ranks[:, 1], equal_nan=True))


def _said(trajectory: Trajectory, layer: str, at: int) -> str:
    """A layer and its ranks at an entry."""
    ranks = _of_layer(trajectory, "ranks", layer)
    found = [f"{rank:.0f}" for rank in ranks[at] if not np.isnan(rank)]
    return f"{layer}  {' × '.join(found[:1] if _is_matrix(ranks) else found)}"


def _changes(trajectory: Trajectory) -> np.ndarray:
    """The steps from which another tolerance or ceiling held."""
    settings = np.stack([_array(trajectory, name) for name in ("tolerance", "ceiling")], axis=1)
    cut = ~np.isnan(settings[:, 0])
    now = np.nan_to_num(settings[cut], nan=0.0)
    return trajectory.steps[cut][1:][(now[1:] != now[:-1]).any(axis=1)]


def _numbers(trajectory: Trajectory, at: int, text: Mapping[str, str]) -> str:
    """What stands over the panels: how large, how right, and what kind of number that is."""
    facts, size = trajectory.facts, _array(trajectory, "size")[at]
    total = max(facts.get("total", 0), trajectory.steps[-1])
    parts = [text["step_of"].format(step=f"{trajectory.steps[at]:,}", total=f"{total:,}")]
    if size > 0 and "n_dense" in facts:
        share = text["params_of"].format(share=f"{size / facts['n_dense']:.1%}", total=f"{facts['n_dense']:,}")
        parts.append(f"{text['params']} {size:,.0f}  ·  {share}")
    if test := facts.get("test"):
        low, high = test["interval"]
        interval = text["interval"].format(low=f"{low:.1%}", high=f"{high:.1%}", n=f"{test['n']:,}")
        parts.append(f"{text['test']} ({_kind(facts, text)}) {test['accuracy']:.1%} {interval}")
    return "\n".join(parts)


def _kind(facts: Mapping[str, Any], text: Mapping[str, str]) -> str:
    return f"{text['recorded']} {facts['recorded']}" if "recorded" in facts else text["measured"]


def _wide_at_the_top(accuracy: np.ndarray) -> np.ndarray:
    return 1 - np.sqrt(np.clip(1 - accuracy, 0, None))


def _narrow_at_the_top(height: np.ndarray) -> np.ndarray:
    return 1 - np.square(1 - height)


def entry_of(trajectory: Trajectory, at: int | None) -> int:
    """The number of an entry, the last one where none is given. Raises InputError where there is no such entry."""
    if at is None:
        at = len(trajectory) - 1
    if not 0 <= at < len(trajectory):
        raise InputError(f"`at` must be the number of an entry, 0 to {len(trajectory) - 1}; got {at}.")
    return at


def _array(trajectory: Trajectory, name: str) -> np.ndarray:
    """NaN throughout where it was not recorded."""
    return np.asarray(trajectory.arrays.get(name, np.full(len(trajectory), np.nan)), dtype=np.float64)


def _of_layer(trajectory: Trajectory, name: str, layer: str) -> np.ndarray:
    if name not in trajectory.arrays:
        raise InputError(f"`trajectory` must hold {name!r}; it holds {', '.join(trajectory.arrays) or 'nothing'}.")
    check_name(layer, trajectory.layers, name="layer")
    return np.asarray(trajectory[name][:, trajectory.layers.index(layer)], dtype=np.float64)
