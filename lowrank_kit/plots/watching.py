"""A real network and its deep linear twin, trained in step: the spectra of their layers over time."""

from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from lowrank_kit.plots.figure import Picture, picture
from lowrank_kit.plots.trajectory import entry_of
from lowrank_kit.records import Trajectory

__all__ = ["plot_watch"]


def plot_watch(
    trajectory: Trajectory, at: int | None = None, *, language: str | None = None, theme: str = "light"
) -> Picture:
    """One panel a layer with its singular values over the steps: the network above, its linear twin below.

    `at` is the number of the entry whose step is marked and whose numbers stand in the titles; the last one where not
    given.
    """
    at, n = entry_of(trajectory, at), len(trajectory.layers) // 2
    figure = picture(8.4, 4.6, language=language, theme=theme)
    words, accuracy = figure.words, trajectory["accuracy"][at]
    figure.description = words["watch_description"].format(
        name=trajectory.name, step=trajectory.steps[at], network=f"{accuracy[0]:.1%}", twin=f"{accuracy[1]:.1%}"
    )
    with figure.styled():
        panels = figure.subplots(2, n, squeeze=False, sharex=True)
        for index, name in enumerate(trajectory.layers):
            _values(trajectory, index, at, panels[index // n][index % n], figure)
            resting = f"{trajectory['resting'][at, index]:.0f}"
            panels[index // n][index % n].set_title(words["watch_layer"].format(layer=name, resting=resting))
        for ax in panels[1]:
            ax.set_xlabel(words["step"])
        figure.suptitle(figure.description, x=0.01, ha="left", fontsize=10)
    return figure


def _values(trajectory: Trajectory, index: int, at: int, ax: Axes, figure: Picture) -> None:
    colours = figure.theme
    ax.plot(trajectory.steps, trajectory["values"][:, index], color=colours.after, lw=0.7, alpha=0.6)
    ax.axvline(trajectory.steps[at], color=colours.ink, lw=0.9, alpha=0.7)
    ax.set(ylim=(0, None), xlim=(0, max(int(trajectory.steps[-1]), 1)))
    ax.xaxis.set_major_locator(MaxNLocator(4, integer=True))
