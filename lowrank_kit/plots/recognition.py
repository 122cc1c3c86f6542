"""What a cut network still knows, beside what it still notices."""

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import PercentFormatter

from lowrank_kit.checks import InputError
from lowrank_kit.plots.figure import Picture, picture
from lowrank_kit.plots.ranks import rank_axis
from lowrank_kit.records import Recognition

__all__ = ["plot_recognition"]


def plot_recognition(
    by_rank: Mapping[str, Mapping[int, Recognition]],
    dense: Recognition,
    marked: Mapping[str, int] | None = None,
    *,
    language: str | None = None,
    theme: str = "light",
) -> Picture:
    """One panel a layer, cut alone: accuracy on what is known, AUROC, and how much of the unknown is rejected.

    Parameters
    ----------
    by_rank : {layer: {rank: Recognition}}
    dense : the whole network, drawn as thin lines
    marked : {layer: a rank that is pointed out}
    """
    if not by_rank:
        raise InputError("`by_rank` must hold at least one layer; got none.")
    figure = picture(max(2.3 * len(by_rank), 3.8), 3.1, language=language, theme=theme)
    figure.description = figure.words["recognition_description"].format(layers=", ".join(by_rank))
    with figure.styled():
        axes = figure.subplots(1, len(by_rank), sharey=True, squeeze=False)[0]
        for ax, (name, found) in zip(axes, by_rank.items(), strict=True):
            _panel(ax, figure, name, found, dense)
            if marked and name in marked:
                ax.axvline(marked[name], color=figure.theme.muted, lw=0.9, ls=(0, (4, 3)), zorder=1)
                ax.annotate(
                    str(marked[name]), (marked[name], 0.02), xycoords=("data", "axes fraction"), xytext=(4, 0),
                    textcoords="offset points", fontsize=9, color=figure.theme.muted,
                )  # fmt: skip
        axes[0].set_ylim(0, 1.04)
        axes[0].yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
        figure.supxlabel(figure.words["rank"], fontsize=9, color=figure.theme.muted)
        figure.legend(*axes[0].get_legend_handles_labels(), loc="outside upper left", ncols=3, handlelength=1.4)
    return figure


def _panel(ax: Axes, figure: Picture, name: str, found: Mapping[int, Recognition], dense: Recognition) -> None:
    words, colours = figure.words, figure.theme
    ranks = sorted(found)
    curves = {
        "known_accuracy": (np.array([found[r].accuracy for r in ranks]), dense.accuracy, colours.after, None),
        "auroc": (np.array([found[r].auroc for r in ranks]), dense.auroc, colours.before, "auroc"),
        "rejected": (np.array([found[r].rejected for r in ranks]), dense.rejected, colours.accent, "rejected"),
    }
    for key, (values, whole, colour, figure_of_merit) in curves.items():
        ax.axhline(whole, color=colour, lw=0.6, alpha=0.5, zorder=1)
        if figure_of_merit is not None:
            low, high = np.array([found[r].interval(figure_of_merit) for r in ranks]).T  # type: ignore[arg-type]
            ax.vlines(ranks, low, high, color=colour, lw=1.1, alpha=0.7, zorder=2)
        ax.plot(ranks, values, "-o", color=colour, lw=1.4, ms=5, mec=colours.paper, mew=0.7, label=words[key], zorder=3)
    ax.set(xscale="log")
    rank_axis(ax, ranks[-1])
    ax.set_title(name)
    ax.grid(visible=False, axis="x")
