"""A layer's time over its ranks - bound, foretold, measured - and where it stands under the roof of its machine."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from lowrank_kit.plots.figure import Picture, canvas, picture
from lowrank_kit.records import Ceilings, LayerOutlook

__all__ = ["plot_outlook", "plot_roofline", "plot_staircase", "unit_of"]

UNITS = ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs"))


def plot_outlook(
    outlook: LayerOutlook, roof: Ceilings, *, language: str | None = None, theme: str = "light"
) -> Picture:
    """The roofline and the staircase of a layer side by side."""
    figure = picture(9.2, 3.6, language=language, theme=theme)
    figure.description = figure.words["outlook_description"].format(layer=outlook.layer.name, method=outlook.method)
    with figure.styled():
        left, right = figure.subplots(1, 2, width_ratios=(4, 5))
    plot_roofline(outlook, roof, ax=left)
    plot_staircase(outlook, ax=right)
    return figure


def plot_staircase(
    outlook: LayerOutlook,
    *,
    ax: Axes | None = None,
    at: float | None = None,
    language: str | None = None,
    theme: str = "light",
) -> Axes:
    """Time against rank: recorded with the middle 90 %, foretold, and the bare roofline, beside the dense layer's.

    The dense layer's time stands there as recorded, and dotted as foretold.

    `at` marks the rank nearest to a share of the full one. Rivals stand where they do as many multiply-adds: dense
    layers of fewer channels as squares, other dtypes as lines at the edge.
    """
    figure, ax = canvas(
        ax, (6.0, 3.6), "staircase_description", language=language, theme=theme, layer=outlook.layer.name
    )  # fmt: skip
    words, colours = figure.words, figure.theme
    ranks, scale, unit = outlook.ranks[:, 0], *unit_of(float(outlook.dense_costs.sum()))
    with figure.styled():
        ax.plot(ranks, outlook.foretold_s / scale, color=colours.after, label=words["foretold"])
        ax.plot(ranks, outlook.bound_s / scale, color=colours.before, lw=1.1, ls=(0, (4, 2)), label=words["bound"])
        if len(outlook.timed):
            x, middle = ranks[outlook.timed], outlook.medians / scale
            spread = np.abs(np.stack([outlook.lows, outlook.highs]) / scale - middle)
            ax.errorbar(
                x, middle, spread, fmt="o", ms=3.6, lw=0.9, color=colours.accent, label=words["timed"], zorder=3
            )  # fmt: skip
        dense = outlook.dense_costs.sum() if outlook.dense_timed is None else outlook.dense_timed[0]
        ax.axhline(dense / scale, color=colours.ink, lw=0.9)
        if outlook.dense_timed is not None:  # what was foretold of it, beside which the foretold ranks stand
            ax.axhline(outlook.dense_s / scale, color=colours.after, lw=1.1, ls=":")
        ax.annotate(
            words["dense_layer"], (1, dense / scale), (-2, 3), xycoords=("axes fraction", "data"),
            textcoords="offset points", ha="right", fontsize=8.5, color=colours.ink,
        )  # fmt: skip
        _rivals(ax, outlook, figure, scale)
        if at is not None:
            _mark(ax, figure, ranks[outlook.at(at)], outlook.foretold_s[outlook.at(at)] / scale)
        ax.set_title(words["staircase_title"].format(layer=outlook.layer.name, method=outlook.method))
        ax.set_xlabel(words["rank_outputs"] if outlook.ranks.shape[1] == 2 else words["rank"])
        ax.set_ylabel(unit)
        ax.set_xlim(0, ranks[-1] + 1)
        highest = max(
            dense, outlook.dense_s, outlook.foretold_s.max(), *(rival.median_s for rival in outlook.rivals), 0.0
        )
        ax.set_ylim(0, 1.25 * highest / scale)
        ax.legend(loc="upper left", ncols=3, handlelength=1.4, borderaxespad=0.2)
    return ax


def plot_roofline(
    outlook: LayerOutlook,
    roof: Ceilings,
    *,
    ax: Axes | None = None,
    at: float | None = None,
    language: str | None = None,
    theme: str = "light",
) -> Axes:
    """Rate of arithmetic against multiply-adds a byte, under the device's roof: the dense layer, and every rank.

    A layer in factors does fewer multiply-adds for each byte it moves: it slides down the slope. `at` marks the rank
    nearest to a share of the full one.
    """
    figure, ax = canvas(
        ax, (5.0, 3.6), "roofline_description", language=language, theme=theme, layer=outlook.layer.name
    )  # fmt: skip
    words, colours = figure.words, figure.theme
    path = outlook.macs / (roof.itemsize * outlook.moved), outlook.macs / outlook.foretold_s
    dense_x, dense_s = outlook.dense_macs / (roof.itemsize * outlook.dense_moved), float(outlook.dense_costs.sum())
    with figure.styled():
        x = np.geomspace(min(path[0].min(), dense_x) / 3, 3 * max(path[0].max(), dense_x), 200)
        slope = roof.bytes_per_s(roof.itemsize * outlook.dense_moved)
        ax.plot(x, np.minimum(roof.macs_per_s, slope * x) / 1e9, color=colours.muted, lw=1.1)
        look: dict[str, Any] = {"zorder": 3, "clip_on": False}
        ax.plot(path[0], path[1] / 1e9, color=colours.after, lw=1.1, label=words["foretold"], **look)
        measured = outlook.timed
        if len(measured):
            rates = outlook.macs[measured] / outlook.medians / 1e9
            ax.plot(path[0][measured], rates, "o", ms=3.6, color=colours.accent, label=words["timed"], **look)
        dense_s = dense_s if outlook.dense_timed is None else outlook.dense_timed[0]
        ax.plot([dense_x], [outlook.dense_macs / dense_s / 1e9], "D", ms=6, color=colours.ink, **look)
        ax.annotate(
            words["dense_layer"], (dense_x, outlook.dense_macs / dense_s / 1e9), (8, 0),
            textcoords="offset points", va="center", fontsize=8.5, color=colours.ink,
        )  # fmt: skip
        if at is not None:
            _mark(ax, figure, path[0][outlook.at(at)], path[1][outlook.at(at)] / 1e9)
        ax.set_xscale("log")
        ax.set_yscale("log")
        for axis in (ax.xaxis, ax.yaxis):
            axis.set_major_locator(LogLocator(10, subs=(1, 2, 5) if axis is ax.yaxis else (1,)))
            axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
            axis.set_minor_formatter(NullFormatter())
        ax.set_title(words["roofline_title"].format(device=roof.device))
        ax.set_xlabel(words["intensity"])
        ax.set_ylabel(words["rate_of_macs"])
    return ax


def _mark(ax: Axes, figure: Picture, x: float, y: float) -> None:
    colours = figure.theme
    ax.plot([x], [y], "o", ms=7.5, mfc=colours.paper, mec=colours.accent, mew=1.8, zorder=5, clip_on=False)


def _rivals(ax: Axes, outlook: LayerOutlook, figure: Picture, scale: float) -> None:
    colours, words = figure.theme, figure.words
    narrow = [rival for rival in outlook.rivals if rival.name == "narrow"]
    if narrow:
        x, y = [outlook.rank_of(rival.share) for rival in narrow], [rival.median_s / scale for rival in narrow]
        ax.plot(x, y, "s", ms=5.5, mfc="none", mec=colours.ink, label=words["narrow"])
    for rival in outlook.rivals:
        if rival.name != "narrow":
            ax.plot(
                [0.93, 1], [rival.median_s / scale] * 2, color=colours.muted, lw=1.6, transform=ax.get_yaxis_transform()
            )
            ax.annotate(
                rival.name, (1, rival.median_s / scale), (-2, 2), xycoords=("axes fraction", "data"),
                textcoords="offset points", ha="right", fontsize=8, color=colours.muted,
            )  # fmt: skip


def unit_of(seconds: float) -> tuple[float, str]:
    """The largest unit that so many seconds are one of, in seconds, and its name."""
    return next((unit for unit in UNITS if seconds >= unit[0]), UNITS[-1])
