"""How a deep linear network learns: singular values over time, with what theory says of them."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.ticker import MaxNLocator

from lowrank_kit.checks import check_name
from lowrank_kit.i18n import strings
from lowrank_kit.plots.figure import Picture, canvas, picture
from lowrank_kit.plots.theme import Theme
from lowrank_kit.plots.trajectory import entry_of
from lowrank_kit.records import Trajectory

__all__ = ["plot_block", "plot_dynamics", "plot_layer_values", "plot_scatter", "plot_twins"]

COLUMNS = 4
LAW = (0, (4, 2))


def plot_dynamics(
    trajectory: Trajectory, at: int | None = None, *, language: str | None = None, theme: str = "light"
) -> Picture:
    """The singular values of every layer over the steps, above the losses of the network and its twin.

    `at` is the number of the entry whose step is marked.
    """
    layers, facts = trajectory.layers, trajectory.facts
    rows = -(-len(layers) // COLUMNS)
    figure = picture(8.4, 2.1 * rows + 2.3, language=language, theme=theme)
    said = strings("dynamics", figure.language)
    named = {name: said[facts[name]] for name in ("start", "rule")}
    figure.description = figure.words["dynamics_description"].format(**{**facts, **named})
    with figure.styled():
        grid = figure.add_gridspec(2, 1, height_ratios=[rows, 1])
        above = grid[0].subgridspec(rows, -(-len(layers) // rows))
        for place, name in enumerate(layers):
            plot_layer_values(trajectory, name, at, ax=figure.add_subplot(above[place]))
        below = grid[1].subgridspec(1, 2)
        plot_twins(trajectory, at, ax=figure.add_subplot(below[0]))
        _product(trajectory, at, figure.add_subplot(below[1]), figure)
        figure.suptitle(figure.description, x=0.01, ha="left", fontsize=10)
    return figure


def plot_layer_values(
    trajectory: Trajectory,
    layer: str,
    at: int | None = None,
    *,
    ax: Axes | None = None,
    language: str | None = None,
    theme: str = "light",
) -> Picture:
    """All singular values of one layer over the steps; dashed, the recursion for those that rest."""
    check_name(layer, trajectory.layers, name="layer")
    index, rank = trajectory.layers.index(layer), trajectory.facts.get("rank", 0)
    figure, ax = canvas(ax, (4.6, 2.8), "layer_values_description", layer=layer, language=language, theme=theme)
    values, colours = trajectory["values"][:, index], figure.theme
    with figure.styled():
        ax.plot(trajectory.steps, values[:, rank:], color=colours.before, lw=0.9, alpha=0.7)
        ax.plot(trajectory.steps, values[:, :rank], color=colours.after, lw=1.3)
        if "resting" in trajectory.arrays:
            ax.plot(trajectory.steps, trajectory["resting"][:, index], color=colours.accent, ls=LAW)
        ax.set(ylim=(0, None), xlabel=figure.words["step"])
        ax.set_title(layer)
        _marked(ax, trajectory, at, figure)
    return figure


def plot_twins(
    trajectory: Trajectory,
    at: int | None = None,
    *,
    ax: Axes | None = None,
    language: str | None = None,
    theme: str = "light",
) -> Picture:
    """Relative error of the whole target over the steps: of the wide network, and dashed of its twin."""
    figure, ax = canvas(ax, (4.6, 2.8), "twins_description", language=language, theme=theme)
    words = figure.words
    with figure.styled():
        for name, colour, style in (("recovery", "after", "-"), ("twin_recovery", "accent", LAW)):
            known = np.isfinite(trajectory[name])
            if known.any():
                ax.plot(
                    trajectory.steps[known], trajectory[name][known], color=getattr(figure.theme, colour), ls=style,
                    label=words[name],
                )  # fmt: skip
        ax.set(yscale="log", xlabel=words["step"])
        ax.set_title(words["error_of_target"])
        ax.legend(loc="best", handlelength=1.8)
        _marked(ax, trajectory, at, figure)
    return figure


def plot_block(
    block: np.ndarray,
    n_moving: int,
    *,
    title: str = "",
    ax: Axes | None = None,
    language: str | None = None,
    theme: str = "light",
) -> Picture:
    """A weight in the bases of the law of parsimony (d, d): a block of any numbers, then one number on the diagonal."""
    figure, ax = canvas(ax, (3.2, 3.2), "block_description", n=n_moving, language=language, theme=theme)
    high = float(np.abs(block).max()) or 1.0
    with figure.styled():
        ax.imshow(block, cmap=_signed(figure.theme), vmin=-high, vmax=high, interpolation="nearest")
        ax.axhline(n_moving - 0.5, color=figure.theme.ink, lw=0.8)
        ax.axvline(n_moving - 0.5, color=figure.theme.ink, lw=0.8)
        ax.set(xticks=[], yticks=[])
        ax.grid(visible=False)
        ax.set_title(title)
    return figure


def plot_scatter(
    scatter: np.ndarray,
    factor: float,
    *,
    ax: Axes | None = None,
    language: str | None = None,
    theme: str = "light",
) -> Picture:
    """Scatter within classes over that between them at the input of every layer (L,); dashed, a constant factor."""
    figure, ax = canvas(ax, (5.0, 3.0), "scatter_description", n=len(scatter), language=language, theme=theme)
    layers = np.arange(len(scatter))
    with figure.styled():
        ax.plot(layers, scatter[0] * factor**layers, color=figure.theme.accent, ls=LAW, label=figure.words["by_theory"])
        ax.plot(layers, scatter, "o", color=figure.theme.after, ms=5, label=figure.words["by_simulation"])
        ax.set(yscale="log", xlabel=figure.words["layers_below"], ylabel="")
        ax.set_title(figure.words["scatter_title"])
        ax.xaxis.set_major_locator(MaxNLocator(integer=True))
        ax.legend(loc="lower left")
    return figure


def _signed(theme: Theme) -> LinearSegmentedColormap:
    """Blue below zero, orange above, the paper's colour in between."""
    return LinearSegmentedColormap.from_list("signed", [theme.after, theme.paper, theme.accent])


def _product(trajectory: Trajectory, at: int | None, ax: Axes, figure: Picture) -> None:
    colours, rank = figure.theme, trajectory.facts.get("rank", 0)
    ax.plot(trajectory.steps, trajectory["modes"][:, rank:], color=colours.before, lw=0.9)
    ax.plot(trajectory.steps, trajectory["modes"][:, :rank], color=colours.after, lw=1.3)
    if "modes_foretold" in trajectory.arrays:
        ax.plot(trajectory.steps, trajectory["modes_foretold"], color=colours.accent, ls=LAW)
    ax.set(ylim=(0, None), xlabel=figure.words["step"])
    ax.set_title(figure.words["product_modes"])
    _marked(ax, trajectory, at, figure)


def _marked(ax: Axes, trajectory: Trajectory, at: int | None, figure: Picture) -> None:
    ax.set_xlim(0, max(int(trajectory.steps[-1]), 1))
    ax.xaxis.set_major_locator(MaxNLocator(4, integer=True))
    if at is not None:
        ax.axvline(trajectory.steps[entry_of(trajectory, at)], color=figure.theme.ink, lw=0.9, alpha=0.7)
