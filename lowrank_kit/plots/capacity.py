"""What the layers of a network need: recall rank by rank, ranks by several measures, and a search over all layers."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, NullLocator, PercentFormatter, StrMethodFormatter

from lowrank_kit.checks import InputError
from lowrank_kit.plots.figure import Picture, canvas, picture
from lowrank_kit.plots.ranks import rank_axis
from lowrank_kit.records import JointSearch, RankCurve, Spectrum

__all__ = ["plot_capacities", "plot_recall", "plot_search"]

# Losses below this fraction are drawn in proportion, larger ones by their logarithm.
FINEST = 0.005
# What the network needs is drawn this much above its row, so as not to hide what the weights say.
OFFSET = 0.14


def plot_recall(
    seen: Mapping[str, RankCurve],
    unseen: Mapping[str, RankCurve],
    capacities: Mapping[str, int],
    *,
    language: str | None = None,
    theme: str = "light",
) -> Picture:
    """One panel a layer, cut alone: the share of images still right against rank, seen in training and not.

    Parameters
    ----------
    seen, unseen : {layer: RankCurve} on training images and on others
    capacities : {layer: the rank that is marked}
    """
    if not seen or set(seen) != set(unseen) or set(seen) != set(capacities):
        raise InputError(
            "`seen`, `unseen` and `capacities` must speak of the same layers, at least one; "
            f"got {', '.join(seen) or 'none'}; {', '.join(unseen) or 'none'}; {', '.join(capacities) or 'none'}."
        )
    figure = picture(max(1.95 * len(seen), 3.6), 2.7, language=language, theme=theme)
    figure.description = figure.words["recall_description"].format(layers=", ".join(seen))
    with figure.styled():
        axes = figure.subplots(1, len(seen), sharey=True, squeeze=False)[0]
        for ax, name in zip(axes, seen, strict=True):
            _recall(ax, figure, seen[name], unseen[name], capacities[name])
            ax.label_outer()
        axes[0].set_yscale("function", functions=(_spread, _gathered))
        axes[0].set_ylim(0, 1.002)
        axes[0].yaxis.set_major_locator(FixedLocator([0, 0.5, 0.8, 0.9, 0.95, 0.98, 0.99, 1]))
        axes[0].yaxis.set_minor_locator(NullLocator())
        axes[0].yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
        figure.supxlabel(figure.words["rank"], fontsize=9, color=figure.theme.muted)
        figure.legend(*axes[0].get_legend_handles_labels(), loc="outside upper left", ncols=3, handlelength=1.4)
    return figure


def plot_capacities(
    spectra: Mapping[str, Spectrum],
    capacities: Mapping[str, int],
    *,
    ax: Axes | None = None,
    language: str | None = None,
    theme: str = "light",
) -> Picture:
    """One row a layer on a logarithmic axis of ranks: what the weight says, and what the network needs.

    Parameters
    ----------
    spectra : {layer: Spectrum}, for the full rank, 90 % of the energy, the effective rank and the stable rank
    capacities : {layer: the smallest rank the network can do with}
    """
    if not spectra or set(spectra) != set(capacities):
        raise InputError(
            "`spectra` and `capacities` must speak of the same layers, at least one; "
            f"got {', '.join(spectra) or 'none'} and {', '.join(capacities) or 'none'}."
        )
    figure, ax = canvas(
        ax, (6.6, 0.42 * len(spectra) + 1.25), "capacities_description",
        language=language, theme=theme, layers=", ".join(spectra),
    )  # fmt: skip
    words, colours = figure.words, figure.theme
    rows = np.arange(len(spectra))
    full = [min(s.shape) for s in spectra.values()]
    by_weight: dict[str, tuple[list[float], str, str, float]] = {
        "effective_rank": ([s.effective_rank for s in spectra.values()], "D", colours.before, 5.0),
        "energy_rank": ([s.rank_for_energy(0.9) for s in spectra.values()], "s", colours.before, 5.5),
        "stable_rank": ([s.stable_rank for s in spectra.values()], "^", colours.after, 7.0),
    }
    with figure.styled():
        ax.hlines(rows, 1, full, color=colours.grid, lw=5, zorder=1)
        ax.plot(full, rows, "|", ms=11, mew=1.8, color=colours.before, label=words["full_rank"], clip_on=False)
        look: dict[str, Any] = {"ls": "", "mec": colours.paper, "mew": 0.8, "zorder": 3, "clip_on": False}
        for key, (ranks, marker, colour, size) in by_weight.items():
            ax.plot(ranks, rows, marker=marker, ms=size, color=colour, label=words[key], **look)
        needed = [capacities[name] for name in spectra]
        ax.plot(needed, rows - OFFSET, marker="o", ms=8, color=colours.accent, label=words["functional_rank"], **look)
        for row, name in zip(rows, spectra, strict=True):
            ax.annotate(
                str(capacities[name]), (capacities[name], row - OFFSET), (0, 5), textcoords="offset points",
                ha="center", va="bottom", fontsize=8.5, color=colours.accent,
            )  # fmt: skip
        ax.set_yticks(rows, list(spectra))
        ax.set(xscale="log", xlim=(0.93, 1.05 * max(full)), ylim=(len(rows) - 0.5, -0.6))
        ax.set(xlabel=words["rank"], ylabel="")
        rank_axis(ax, max(full))
        ax.grid(visible=False, axis="y")
        ax.spines["left"].set_visible(False)
        ax.legend(
            loc="lower left", bbox_to_anchor=(-0.02, 1.0), ncols=3, handletextpad=0.1, columnspacing=1.2,
            borderaxespad=0.2,
        )  # fmt: skip
    return figure


def plot_search(
    search: JointSearch,
    expected: float,
    *,
    ax: Axes | None = None,
    language: str | None = None,
    theme: str = "light",
) -> Picture:
    """Recall against the numbers stored, step by step, on the way to the joint capacity.

    `expected` is the recall that the losses of the single layers, added up, would leave at the first step.
    """
    figure, ax = canvas(
        ax, (6.2, 3.5), "search_description", language=language, theme=theme, stored=f"{search.best.stored:,}"
    )
    words, colours = figure.words, figure.theme
    scaled = [step for step in search.steps if not step.changed]
    shrunk = [scaled[-1], *(step for step in search.steps if step.changed)]
    with figure.styled():
        ax.axhspan(search.dense_recall - search.tolerance, search.dense_recall, color=colours.band, lw=0, zorder=0)
        for steps, colour, label in (
            (scaled, colours.before, words["search_scaled"]),
            (shrunk, colours.after, words["search_shrunk"]),
        ):
            ax.plot(
                [s.stored for s in steps], [s.recall for s in steps], "-o", color=colour, lw=1.3, ms=5,
                mec=colours.paper, mew=0.7, label=label, zorder=3, clip_on=False,
            )  # fmt: skip
        first, best = search.alone, search.best
        ax.plot(first.stored, expected, "o", ms=7, mfc="none", mec=colours.muted, mew=1.2, zorder=3, clip_on=False)
        ax.plot(best.stored, best.recall, "o", ms=9, color=colours.accent, mec=colours.paper, mew=1, zorder=4)
        for x, y, text, colour, offset in (
            (first.stored, expected, words["search_expected"].format(recall=expected), colours.muted, (9, -5)),
            (first.stored, first.recall, words["search_alone"].format(recall=first.recall), colours.ink, (9, 0)),
            (best.stored, best.recall, words["search_best"].format(stored=best.stored), colours.accent, (12, -24)),
        ):
            ax.annotate(
                text, (x, y), offset, textcoords="offset points", ha="left", va="center", fontsize=8.5, color=colour,
                zorder=5,
            )  # fmt: skip
        ax.set(xlabel=words["stored"], ylabel=words["recall"], ylim=(min(0.9 * first.recall, 0.9), 1.01))
        ax.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
        ax.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
        ax.legend(loc="lower left", bbox_to_anchor=(-0.02, 1.0), ncols=2, handlelength=1.4, borderaxespad=0.2)
    return figure


def _spread(accuracy: np.ndarray) -> np.ndarray:
    """Stretched towards 100 %, as a logarithm of what is missing would, but down to nothing missing."""
    return -np.arcsinh((1 - np.asarray(accuracy)) / FINEST)


def _gathered(height: np.ndarray) -> np.ndarray:
    return 1 - FINEST * np.sinh(-np.asarray(height))


def _recall(ax: Axes, figure: Picture, seen: RankCurve, unseen: RankCurve, capacity: int) -> None:
    words, colours = figure.words, figure.theme
    ax.axvline(capacity, color=colours.accent, lw=0.9, ls=(0, (4, 3)), label=words["capacity"])
    ax.axhline(unseen.dense_accuracy, color=colours.before, lw=0.7, alpha=0.6, zorder=1)
    for curve, colour, label in ((unseen, colours.before, words["unseen"]), (seen, colours.after, words["seen"])):
        sns.lineplot(
            x=curve.ranks, y=curve.accuracy, ax=ax, color=colour, marker="o", markersize=5, lw=1.4, label=label,
            markeredgecolor=colours.paper, legend=False, estimator=None, clip_on=False,
        )  # fmt: skip
    ax.annotate(
        str(capacity), (capacity, 0.02), xycoords=("data", "axes fraction"), xytext=(4, 0),
        textcoords="offset points", ha="left", va="bottom", fontsize=9, color=colours.accent,
    )  # fmt: skip
    ax.set(xscale="log", xlabel="", ylabel="")
    rank_axis(ax, int(seen.ranks[-1]))
    ax.set_title(f"{seen.layer}  {seen.shape[0]} × {seen.shape[1]}")
    ax.grid(visible=False, axis="x")
