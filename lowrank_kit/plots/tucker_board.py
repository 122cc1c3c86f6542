"""A Tucker board's last picture, for pages where nothing can be dragged."""

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.patches import Rectangle
from matplotlib.patheffects import withStroke
from matplotlib.ticker import MaxNLocator

from lowrank_kit.i18n import strings
from lowrank_kit.plots.board import WIDTH, numbers
from lowrank_kit.plots.figure import Picture, picture
from lowrank_kit.records import Measurement, TuckerLayer, TuckerTables

__all__ = ["plot_tucker_board"]

# Errors between which one colour stands.
LEVELS = (0.1, 0.3, 0.5, 0.7, 0.9)


def plot_tucker_board(
    tables: TuckerTables,
    ranks: Mapping[str, tuple[int, int]],
    measured: Measurement,
    dense: Measurement,
    *,
    language: str | None = None,
    theme: str = "light",
) -> Picture:
    """One panel a convolution with its error at every pair of ranks and the pair, under the network's numbers."""
    columns = min(len(tables.layers), 4)
    rows = -(-len(tables.layers) // columns)
    figure = picture(max(2.4 * columns, WIDTH), 2.6 * rows + 1.0, language=language, theme=theme)
    pairs = (f"{name} {outputs} x {inputs}" for name, (outputs, inputs) in ranks.items())
    figure.description = f"{tables.name}: {', '.join(pairs)}"
    with figure.styled():
        axes = figure.subplots(rows, columns, squeeze=False).ravel()
        for ax, table in zip(axes, tables.layers, strict=False):
            _layer(ax, figure, table, ranks[table.name])
        for ax in axes[len(tables.layers) :]:
            ax.set_axis_off()
        text = strings("tucker", figure.language)
        figure.supxlabel(text["axis_inputs"], fontsize=9, color=figure.theme.muted)
        figure.supylabel(text["axis_outputs"], fontsize=9, color=figure.theme.muted)
        told = numbers(measured, dense, strings("board", figure.language))
        figure.suptitle(f"{tables.name}\n{told}", x=0.01, ha="left", fontsize=10)
    return figure


def _layer(ax: Axes, figure: Picture, table: TuckerLayer, pair: tuple[int, int]) -> None:
    (m, n), theme = table.full_rank, figure.theme
    for level in LEVELS:
        ax.imshow(
            np.where(table.errors <= level, 1.0, np.nan),
            origin="lower", aspect="auto", extent=(0, n, 0, m), vmin=0, vmax=1, alpha=0.17, interpolation="nearest",
            cmap=ListedColormap([theme.after]),
        )  # fmt: skip
        _label(ax, figure, table.errors, level)
    text = strings("board", figure.language)
    outputs, inputs = pair
    state = text["dense"]
    if table.saves(pair):
        state = f"{outputs} × {inputs}  {text['error'].format(error=f'{table.error_at(pair):.0%}')}"
        ax.add_patch(Rectangle((0, 0), inputs, outputs, fill=False, ec=theme.ink, lw=1.2))
    ax.plot(inputs - 0.5, outputs - 0.5, "o", ms=6, mfc=theme.paper, mec=theme.accent, mew=1.6, clip_on=False)
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_locator(MaxNLocator(4, integer=True))
    ax.grid(visible=False)
    ax.set_title(f"{table.name}  {state}")


def _label(ax: Axes, figure: Picture, errors: np.ndarray, level: float) -> None:
    """The level, where its band begins on the way from the smallest pair to the largest."""
    places = np.linspace(0, 1, 200)[:, None] * (np.array(errors.shape) - 1)
    within = errors[tuple(np.round(places).astype(int).T)] <= level
    if within.any() and not within[0]:
        y, x = places[within.argmax()] + 0.5
        halo = [withStroke(linewidth=2, foreground=figure.theme.paper, alpha=0.75)]
        ax.text(
            x, y, f"{level:.0%}", fontsize=7.5, ha="right" if x > 0.95 * errors.shape[1] > 1 else "center", va="center",
            color=figure.theme.ink, path_effects=halo,
        )  # fmt: skip
