"""Singular values, and what cutting them off costs."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.ticker import LogLocator, NullFormatter, NullLocator, PercentFormatter, StrMethodFormatter

from lowrank_kit.checks import InputError, check_name
from lowrank_kit.plots.figure import Picture, canvas, picture
from lowrank_kit.records import Spectrum

__all__ = ["plot_spectra", "plot_spectrum", "plot_truncation"]

Edges = tuple[float, float]
# Smaller singular values than this share of the largest are left outside: they only stretch the axis.
SHOWN = 0.02


def plot_spectra(
    before: Mapping[str, Spectrum],
    after: Mapping[str, Spectrum],
    *,
    edges: Mapping[str, Edges] | None = None,
    layers: Iterable[str] | None = None,
    language: str | None = None,
    theme: str = "light",
) -> Picture:
    """One panel a layer: the singular values after training in front of those before it.

    Parameters
    ----------
    before, after : {layer: Spectrum}, as `lowrank_kit.spectra` returns them
    edges : {layer: (low, high)} where the singular values of pure noise lie, drawn as a band
    layers : which layers, in this order; all of `after` by default
    """
    names = list(after if layers is None else layers)
    if not names:
        raise InputError("`layers` must name at least one layer; got none.")
    for name in names:
        check_name(name, after, name="layers")
        check_name(name, before, name="layers")
    columns = min(len(names), 5)
    rows = -(-len(names) // columns)
    figure = picture(max(1.95 * columns, 3.2), 2.35 * rows + 0.5, language=language, theme=theme)
    figure.description = figure.words["spectra_description"].format(layers=", ".join(names))
    with figure.styled():
        axes = figure.subplots(rows, columns, sharey=True, squeeze=False).ravel()
        for ax, name in zip(axes, names, strict=False):
            plot_spectrum(after[name], before[name], edges=(edges or {}).get(name), ax=ax)
            ax.label_outer()
        for ax in axes[len(names) :]:
            ax.set_axis_off()
        tops = [max(s.values[0] for s in (before[name], after[name])) for name in names]
        # The room above the curves is for the counts.
        axes[0].set_ylim(SHOWN * max(tops), 2.4 * max(tops))
        figure.supxlabel(figure.words["index"], fontsize=9, color=figure.theme.muted)
        figure.legend(*axes[0].get_legend_handles_labels(), loc="outside upper left", ncols=3, handlelength=1.4)
    return figure


def plot_spectrum(
    after: Spectrum, before: Spectrum | None = None, *, edges: Edges | None = None, ax: Axes | None = None
) -> Picture:
    """One layer's singular values on logarithmic axes; those above the band of noise are marked and counted."""
    figure, ax = canvas(ax, (4.2, 3.0), "spectra_description", layers=after.layer)
    words, theme = figure.words, figure.theme
    with figure.styled():
        if edges is not None:
            ax.axhspan(*edges, color=theme.band, lw=0, zorder=0, label=words["band"])
        if before is not None:
            _line(before.values, ax, color=theme.before, lw=1.3, label=words["before"])
        _line(after.values, ax, color=theme.after, label=words["after"])
        if edges is not None:
            _mark_above(after.values, edges[1], ax, figure)
        ax.set(xscale="log", yscale="log", ylabel=words["singular_value"])
        ax.set_title(f"{after.layer}  {after.shape[0]} × {after.shape[1]}")
        for axis, subs in ((ax.xaxis, (1.0,)), (ax.yaxis, (1.0, 2.0, 5.0))):
            axis.set_major_locator(LogLocator(subs=subs))
            axis.set_minor_locator(NullLocator())
            axis.set_major_formatter(StrMethodFormatter("{x:g}"))
            axis.set_minor_formatter(NullFormatter())
        ax.grid(visible=False, axis="x")
    return figure


def plot_truncation(
    spectrum: Spectrum,
    ranks: Iterable[int] = (),
    errors: Iterable[float] = (),
    *,
    ax: Axes | None = None,
    language: str | None = None,
    theme: str = "light",
) -> Picture:
    """Relative error against rank: a line from the spectrum (Eckart and Young 1936), dots where it was measured.

    Parameters
    ----------
    ranks, errors : whole numbers and ||W - W_r|| / ||W|| (Frobenius) of matrices that were really cut, equally many
    """
    figure, ax = canvas(ax, (5.6, 3.1), "truncation_description", language=language, theme=theme, layer=spectrum.layer)
    words, colours = figure.words, figure.theme
    every_rank = np.arange(len(spectrum.values) + 1)
    tail = np.append(1.0, spectrum.errors)
    with figure.styled():
        sns.lineplot(
            x=every_rank, y=tail, ax=ax, color=colours.after, label=words["eckart_young"], legend=False, estimator=None
        )
        ranks, errors = list(ranks), list(errors)
        if ranks:
            sns.scatterplot(
                x=ranks, y=errors, ax=ax, s=34, color=colours.accent, edgecolor=colours.paper, linewidth=0.8,
                label=words["measured"], legend=False, zorder=3, clip_on=False,
            )  # fmt: skip
        limit = spectrum.break_even_rank
        ax.axvline(limit, color=colours.muted, lw=0.8, ls=(0, (4, 3)))
        ax.annotate(
            words["break_even"].format(rank=limit), (limit, 1), xycoords=("data", "axes fraction"),
            xytext=(-5, -3), textcoords="offset points", ha="right", va="top", fontsize=8.5, color=colours.muted,
        )  # fmt: skip
        ax.set(xlim=(0, every_rank[-1]), ylim=(0, 1), xlabel=words["rank"], ylabel=words["relative_error"])
        ax.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
        ax.set_title(f"{spectrum.layer}  {spectrum.shape[0]} × {spectrum.shape[1]}", pad=22)
        ax.legend(loc="lower left", bbox_to_anchor=(-0.02, 1.0), ncols=2, handlelength=1.4, borderaxespad=0.2)
    return figure


def _line(values: np.ndarray, ax: Axes, **options: Any) -> None:
    sns.lineplot(x=np.arange(1, len(values) + 1), y=values, ax=ax, legend=False, estimator=None, **options)


def _mark_above(values: np.ndarray, edge: float, ax: Axes, figure: Picture) -> None:
    count = int(np.count_nonzero(values > edge))
    sns.scatterplot(
        x=np.arange(1, count + 1), y=values[:count], ax=ax, s=15, color=figure.theme.accent, linewidth=0, legend=False,
        zorder=3,
    )  # fmt: skip
    ax.text(
        0.98, 0.97, figure.words["above"].format(count=count, total=len(values)), transform=ax.transAxes,
        ha="right", va="top", fontsize=8.5, color=figure.theme.accent if count else figure.theme.muted,
    )  # fmt: skip
