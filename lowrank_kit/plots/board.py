"""A rank board's last picture, for pages where nothing can be dragged."""

from collections.abc import Mapping

import numpy as np
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.ticker import LogLocator, NullFormatter, NullLocator, StrMethodFormatter

from lowrank_kit.i18n import strings
from lowrank_kit.plots.figure import Picture, picture
from lowrank_kit.records import LayerTable, Measurement, RankTables

__all__ = ["WIDTH", "numbers", "plot_board"]

# Inches that the line of numbers takes.
WIDTH = 9.6


def plot_board(
    tables: RankTables,
    ranks: Mapping[str, int],
    measured: Measurement,
    dense: Measurement,
    *,
    language: str | None = None,
    theme: str = "light",
) -> Picture:
    """One panel a layer with its singular values, kept and cut, under the numbers of the whole network."""
    columns = min(len(tables.layers), 5)
    rows = -(-len(tables.layers) // columns)
    figure = picture(max(2.1 * columns, WIDTH), 2.2 * rows + 1.0, language=language, theme=theme)
    figure.description = f"{tables.name}: {', '.join(f'{name} {rank}' for name, rank in ranks.items())}"
    with figure.styled():
        axes = figure.subplots(rows, columns, squeeze=False).ravel()
        for ax, table in zip(axes, tables.layers, strict=False):
            _layer(ax, figure, table, ranks[table.name])
        for ax in axes[len(tables.layers) :]:
            ax.set_axis_off()
        told = numbers(measured, dense, strings("board", figure.language))
        figure.suptitle(f"{tables.name}\n{told}", x=0.01, ha="left", fontsize=10)
    return figure


def _layer(ax: Axes, figure: Picture, table: LayerTable, rank: int) -> None:
    number = np.arange(1, table.full_rank + 1)
    kept = (number <= rank) | (not table.saves(rank))
    for part, colour in ((kept, figure.theme.after), (~kept, figure.theme.band)):
        sns.scatterplot(x=number[part], y=table.values[part], ax=ax, s=9, color=colour, linewidth=0, legend=False)
    ax.set_yscale("log")
    ax.set(xlabel="", ylabel="")
    ax.yaxis.set_major_locator(LogLocator(subs=(1.0, 3.0)))
    ax.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    ax.yaxis.set_minor_locator(NullLocator())
    ax.yaxis.set_minor_formatter(NullFormatter())
    text = strings("board", figure.language)
    state = text["rank_of"].format(rank=rank, full=table.full_rank) if table.saves(rank) else text["dense"]
    ax.set_title(f"{table.name}  {state}")


def numbers(measured: Measurement, dense: Measurement, text: Mapping[str, str]) -> str:
    """The whole network in one line: what remains of it, how well it does, and by how much that changed."""
    change, (low, high) = measured.change(dense), measured.interval
    interval = text["interval"].format(low=f"{low:.1%}", high=f"{high:.1%}", n=f"{measured.n_examples:,}")
    points = (f"{100 * part:+.1f}".replace("-", "\N{MINUS SIGN}") for part in (change.value, change.low, change.high))
    parts = [
        f"{text['params']} {measured.n_params / dense.n_params:.1%}",
        f"{text['macs']} {measured.macs / dense.macs:.1%}",
        f"{text['accuracy']} ({text['measured']}) {measured.accuracy:.1%} {interval}",
        text["change"].format(**dict(zip(("delta", "low", "high"), points, strict=True))),
    ]
    return "  ·  ".join(parts)
