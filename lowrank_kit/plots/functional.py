"""What the weights keep beside what the network still does."""

from collections.abc import Mapping

import numpy as np
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, NullLocator, PercentFormatter, StrMethodFormatter

from lowrank_kit.checks import InputError
from lowrank_kit.plots.figure import Picture, canvas
from lowrank_kit.records import Measurement, Spectrum

__all__ = ["plot_energy_and_accuracy"]

# Curves are labelled where this fraction of the logarithmic axis has passed.
LABELLED = 0.6


def plot_energy_and_accuracy(
    spectrum: Spectrum,
    measured: Mapping[int, Measurement],
    *,
    ax: Axes | None = None,
    language: str | None = None,
    theme: str = "light",
) -> Picture:
    """Energy kept at every rank as a line; accuracy measured at some of them as dots with their 95 % intervals.

    Parameters
    ----------
    spectrum : of the one layer that was cut
    measured : {rank: Measurement of the whole network with this layer at that rank}
    """
    if not measured:
        raise InputError("`measured` must hold at least one rank and its Measurement; got none.")
    ranks = sorted(measured)
    accuracy = np.array([measured[r].accuracy for r in ranks])
    low, high = np.array([measured[r].interval for r in ranks]).T
    figure, ax = canvas(
        ax, (6.2, 3.3), "energy_description",
        language=language, theme=theme, layer=spectrum.layer, low=ranks[0], high=ranks[-1],
    )  # fmt: skip
    words, colours = figure.words, figure.theme
    with figure.styled():
        every_rank = np.arange(1, len(spectrum.values) + 1)
        sns.lineplot(x=every_rank, y=spectrum.energy, ax=ax, color=colours.before, estimator=None)
        ax.vlines(ranks, low, high, color=colours.after, lw=1.2, zorder=2)
        sns.lineplot(
            x=ranks, y=accuracy, ax=ax, color=colours.after, lw=1.0, marker="o", markersize=6,
            markeredgecolor=colours.paper, zorder=3, estimator=None,
        )  # fmt: skip
        ax.set(xscale="log", xlim=(0.93, len(spectrum.values)), ylim=(0, 1.04), xlabel=words["rank"], ylabel="")
        ticks = [t for t in (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000) if t <= len(spectrum.values)]
        ax.xaxis.set_major_locator(FixedLocator(ticks))
        ax.xaxis.set_minor_locator(NullLocator())
        ax.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
        ax.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
        ax.set_title(f"{spectrum.layer}  {spectrum.shape[0]} × {spectrum.shape[1]}")
        for x, y, text, colour in (
            (ranks, accuracy, words["measured_accuracy"], colours.after),
            (every_rank, spectrum.energy, words["energy"], colours.muted),
        ):
            at = float(every_rank[-1]) ** LABELLED
            ax.annotate(
                text, (at, np.interp(at, x, y)), (0, -8), textcoords="offset points",
                ha="left", va="top", fontsize=9, color=colour,
            )  # fmt: skip
    return figure
