"""Ways to a small network side by side: what each costs in accuracy, and what it leaves."""

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.ticker import FixedFormatter, FixedLocator, NullLocator

from lowrank_kit.checks import InputError
from lowrank_kit.plots.figure import Picture, picture
from lowrank_kit.plots.grids import points

__all__ = ["plot_comparison"]

# Changes up to this many points are drawn in proportion, larger ones by their logarithm.
LINEAR = 1.0
TICKS = (-80, -40, -20, -10, -5, -2, -1, -0.5, 0, 0.5, 1)
REFERENCE = "dense"
# Where the columns of numbers end, as shares of their panel.
COLUMNS = {"change": 0.14, "left_convolutions": 0.42, "left_parameters": 0.69, "left_macs": 1.0}


def plot_comparison(
    lines: Sequence[Mapping[str, Any]], *, marked: str = "tdlrt", language: str | None = None, theme: str = "light"
) -> Picture:
    """A row for each method: its change in accuracy with the 95 % interval over seeds, and what is left of the network.

    Parameters
    ----------
    lines : those of a :class:`lowrank_kit.studies.comparison.Comparison`, the dense network among them
    marked : the method that is drawn in colour
    """
    whole = next((line for line in lines if line["method"] == REFERENCE), None)
    if whole is None or len(lines) < 2:
        raise InputError("`lines` must hold those of the dense network and of one other at least.")
    others = [line for line in lines if line is not whole]
    figure = picture(9.2, 0.31 * len(others) + 1.35, language=language, theme=theme)
    names = ", ".join(line["method"] for line in others)
    figure.description = figure.words["comparison_description"].format(methods=names, n=whole["seeds"])
    with figure.styled():
        ax, beside = figure.subplots(1, 2, sharey=True, width_ratios=(5, 3.2))
        for row, line in enumerate(others):
            _row(ax, beside, figure, row, line, whole, marked=line["method"] == marked)
        ax.axvline(0, color=figure.theme.muted, lw=0.8, zorder=1)
        _axis(ax, [100 * line["change_low"] for line in others], [100 * line["change_high"] for line in others])
        ax.set_yticks(range(len(others)), [figure.words[f"way_{_key(line['method'])}"] for line in others])
        ax.set_ylim(len(others) - 0.5, -0.5)
        ax.set_xlabel(figure.words["change_points"].format(n=whole["seeds"], dense=f"{whole['accuracy']:.2%}"))
        ax.grid(visible=False, axis="y")
        ax.spines["left"].set_visible(False)
        beside.set_axis_off()
        for name, end, up in [*((*column, 4) for column in COLUMNS.items()), ("left", 1.0, 17)]:
            beside.annotate(
                figure.words[name], (end, 1), (0, up), xycoords="axes fraction", textcoords="offset points",
                ha="right", va="bottom", fontsize=8, color=figure.theme.muted,
            )  # fmt: skip
    return figure


def _row(
    ax: Axes,
    beside: Axes,
    figure: Picture,
    row: int,
    line: Mapping[str, Any],
    whole: Mapping[str, Any],
    *,
    marked: bool,
) -> None:
    colour = figure.theme.after if marked else figure.theme.before
    ax.hlines(row, 100 * line["change_low"], 100 * line["change_high"], color=colour, lw=1.6, zorder=2)
    ax.plot(100 * line["change"], row, "o", ms=6, color=colour, mec=figure.theme.paper, mew=0.7, zorder=3)
    left = [f"{line[name] / whole[name]:.1%}" for name in ("convolutions", "params", "macs")]
    for end, text in zip(COLUMNS.values(), (_change(line["change"]), *left), strict=True):
        beside.text(end, row, text, ha="right", va="center", fontsize=8.5, color=figure.theme.ink)


def _change(value: float) -> str:
    """In points, with two digits where there is less than one."""
    return f"{100 * value:+.2f}".replace("-", "\N{MINUS SIGN}") if abs(value) < 0.00995 else points(value)


def _axis(ax: Axes, low: Sequence[float], high: Sequence[float]) -> None:
    ax.set_xscale("symlog", linthresh=LINEAR, linscale=1.0)
    least, most = min(low), max(*high, 0.0)
    ax.set_xlim(least * (1.25 if least < -LINEAR else 1.1) - 0.05, most + 0.15)
    ticks = [tick for tick in TICKS if ax.get_xlim()[0] <= tick <= ax.get_xlim()[1]]
    ax.xaxis.set_major_locator(FixedLocator(ticks))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.xaxis.set_major_formatter(FixedFormatter([f"{tick:g}".replace("-", "\N{MINUS SIGN}") for tick in ticks]))
    ax.tick_params(axis="y", length=0)


def _key(method: str) -> str:
    return method.replace("-", "_")
