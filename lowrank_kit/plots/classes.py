"""Who pays for the cut: one row a class."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import PercentFormatter

from lowrank_kit.plots.figure import Picture, canvas
from lowrank_kit.records import Measurement

__all__ = ["plot_classes"]

# A class that moved by at least this fraction is drawn in colour and its value is written beside it.
NOTICED = 0.05


def plot_classes(
    before: Measurement,
    after: Measurement,
    *,
    ax: Axes | None = None,
    language: str | None = None,
    theme: str = "light",
) -> Picture:
    """Accuracy on each class in two measurements: a grey dot before, a coloured one after, a line between them."""
    was, now = before.per_class, after.per_class
    figure, ax = canvas(
        ax, (5.6, 0.27 * len(was) + 0.9), "classes_description",
        language=language, theme=theme, before=before.label, after=after.label,
    )  # fmt: skip
    words, colours = figure.words, figure.theme
    with figure.styled():
        for row, c in enumerate(was):
            noticed = abs(now[c] - was[c]) >= NOTICED
            colour = colours.accent if noticed else colours.after
            ax.plot([was[c], now[c]], [row, row], color=colour if noticed else colours.before, lw=1.4, zorder=2)
            ax.plot(was[c], row, "o", ms=5, color=colours.before, zorder=3, clip_on=False)
            ax.plot(now[c], row, "o", ms=6.5, color=colour, mec=colours.paper, mew=0.8, zorder=4, clip_on=False)
            if noticed:
                ax.annotate(
                    f"{now[c]:.0%}", (now[c], row), (-8, 0) if now[c] > 0.08 else (8, 5), textcoords="offset points",
                    ha="right" if now[c] > 0.08 else "left", va="center", fontsize=8.5, color=colour,
                )  # fmt: skip
        ax.set_yticks(np.arange(len(was)), [str(c) for c in was])
        ax.set(xlim=(0, 1), ylim=(len(was) - 0.5, -0.5), xlabel=words["accuracy_per_class"], ylabel=words["class"])
        ax.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
        ax.grid(visible=False, axis="y")
        ax.spines["left"].set_visible(False)
        handles = [
            ax.plot([], [], "o", ms=5, color=colours.before, label=before.label)[0],
            ax.plot([], [], "o", ms=6.5, color=colours.after, label=after.label)[0],
        ]
        ax.legend(handles=handles, loc="lower left", bbox_to_anchor=(-0.02, 1.0), ncols=2, handletextpad=0.1)
    return figure
