"""How many dimensions data have: their principal variances, and every measure of dimension side by side."""

import numpy as np
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter, NullLocator

from lowrank_kit.plots.figure import Picture, picture
from lowrank_kit.records import Diagnosis, Estimate

__all__ = ["plot_diagnosis"]

PERCENTS = (90, 95, 99)
# Variances below this share of the largest are left outside: they only stretch the axis.
SHOWN = 1e-5
# Where a measure of zero stands, left of all others.
NOTHING = 0.75


def plot_diagnosis(diagnosis: Diagnosis, *, language: str | None = None, theme: str = "light") -> Picture:
    """The spectrum of data with what noise may explain of it, and their dimension measured in several ways.

    Intrinsic dimensions stand with their 95 % intervals.
    """
    figure = picture(9.2, 3.5, language=language, theme=theme)
    figure.description = figure.words["diagnosis_description"].format(name=diagnosis.name)
    with figure.styled():
        left, right = figure.subplots(1, 2, width_ratios=(1, 1))
        _spectrum(left, diagnosis, figure)
        _dimensions(right, diagnosis, figure)
    return figure


def _spectrum(ax: Axes, diagnosis: Diagnosis, figure: Picture) -> None:
    words, colours, count = figure.words, figure.theme, diagnosis.above_noise
    values = diagnosis.variances[diagnosis.variances > SHOWN * diagnosis.variances[0]]
    index = np.arange(1, len(values) + 1)
    bottom = 0.5 * min(values[-1], max(diagnosis.noise, values[-1] / 2))
    if diagnosis.noise > bottom:
        ax.axhspan(bottom, diagnosis.noise, color=colours.band, lw=0, zorder=0)
        ax.annotate(
            words["diagnosis_noise"], (0, 0), (6, 6), xycoords="axes fraction", textcoords="offset points",
            fontsize=8.5, color=colours.muted,
        )  # fmt: skip
    sns.lineplot(x=index, y=values, ax=ax, color=colours.before, legend=False, estimator=None)
    sns.scatterplot(
        x=index[:count], y=values[:count], ax=ax, s=13, color=colours.accent, linewidth=0, legend=False, zorder=3
    )
    # The room above the curve is for the marks.
    ax.set(xscale="log", yscale="log", xlim=(0.9, 1.15 * len(diagnosis.variances)))
    ax.set_ylim(bottom, values[0] * (values[0] / bottom) ** 0.4)
    _marks(ax, diagnosis, figure)
    for axis, subs in ((ax.xaxis, (1.0, 3.0)), (ax.yaxis, (1.0,) if values[0] > 300 * bottom else (1.0, 2.0, 5.0))):
        axis.set_major_locator(LogLocator(subs=subs))
        axis.set_minor_locator(NullLocator())
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
    total = f"{len(diagnosis.variances):,}"
    ax.set_title(words["diagnosis_spectrum"].format(name=diagnosis.name, count=f"{count:,}", total=total))
    ax.set_xlabel(words["diagnosis_direction"])
    ax.set_ylabel(words["diagnosis_variance"])
    ax.grid(visible=False, axis="x")


def _marks(ax: Axes, diagnosis: Diagnosis, figure: Picture) -> None:
    """Where 90, 95 and 99 % of the variance are reached; each mark is higher than the last, so that none is crossed."""
    for step, percent in enumerate(PERCENTS):
        at, height = diagnosis.directions(percent / 100), 0.82 + 0.07 * step
        written = figure.words["diagnosis_spread"].format(percent=percent, directions=f"{at:,}")
        offset, side = (-3, "right") if at > 3 else (3, "left")
        ax.axvline(at, ymax=height, color=figure.theme.after, lw=0.9, ls=(0, (4, 3)))
        ax.annotate(
            written, (at, height), (offset, 0), xycoords=("data", "axes fraction"), textcoords="offset points",
            ha=side, va="center", fontsize=8.5, color=figure.theme.after,
        )  # fmt: skip


def _dimensions(ax: Axes, diagnosis: Diagnosis, figure: Picture) -> None:
    words, colours = figure.words, figure.theme
    measures: list[tuple[str, float | Estimate, str]] = [
        (words["measure_two_nn"], diagnosis.two_nn, colours.accent),
        (
            words["measure_maximum_likelihood"].format(k=diagnosis.neighbours),
            diagnosis.maximum_likelihood,
            colours.accent,
        ),
        (words["measure_flat"], diagnosis.flat, colours.before),
        (words["measure_participation"], diagnosis.participation_ratio, colours.after),
        (words["measure_above_noise"], diagnosis.above_noise, colours.after),
        *(
            (words["measure_variance"].format(percent=percent), diagnosis.directions(percent / 100), colours.after)
            for percent in PERCENTS
        ),
        (words["measure_ambient"], diagnosis.n_dims, colours.ink),
    ]
    for y, (_, found, colour) in enumerate(measures):
        _measure(ax, y, found, colour, figure)
    ax.set_yticks(range(len(measures)), [label for label, _, _ in measures])
    ax.tick_params(axis="y", labelcolor=colours.ink, pad=6)
    ax.set(xscale="log", xlim=(0.9 * NOTHING, 4 * diagnosis.n_dims), ylim=(len(measures) - 0.4, -0.6))
    ax.xaxis.set_major_locator(LogLocator(subs=(1.0,) if diagnosis.n_dims > 300 else (1.0, 3.0)))
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    ax.xaxis.set_minor_formatter(NullFormatter())
    ax.set_title(words["diagnosis_title"])
    ax.set_xlabel(words["diagnosis_dimension"])
    ax.spines["left"].set_visible(False)


def _measure(ax: Axes, y: int, found: float | Estimate, colour: str, figure: Picture) -> None:
    """A dot with its number, and its interval where it has one; a measure of zero is an open dot at the edge."""
    value, written = (found.value, str(found)) if isinstance(found, Estimate) else (found, _written(found))
    right, size = value, 5.0
    if isinstance(found, Estimate):
        ax.plot([found.low, found.high], [y, y], color=colour, lw=5, alpha=0.4, solid_capstyle="butt", zorder=2)
        right, size = found.high, 3.6
    face = colour if value else figure.theme.paper
    ax.plot([max(value, NOTHING)], [y], "o", ms=size, mfc=face, mec=colour, mew=1, clip_on=False, zorder=3)
    ax.annotate(
        written, (max(right, NOTHING), y), (7, 0), textcoords="offset points", va="center", fontsize=8.5,
        color=figure.theme.ink,
    )  # fmt: skip


def _written(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:,.1f}"
