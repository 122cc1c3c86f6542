"""How much a linear memory holds."""

from collections.abc import Sequence

import numpy as np
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.ticker import PercentFormatter

from lowrank_kit.checks import InputError
from lowrank_kit.plots.figure import Picture, canvas

__all__ = ["plot_memory"]


def plot_memory(
    n_pairs: Sequence[int],
    errors: Sequence[float],
    expected: Sequence[float],
    capacity: int,
    *,
    ax: Axes | None = None,
    language: str | None = None,
    theme: str = "light",
) -> Picture:
    """Error of recall against the number of stored pairs: dots as measured, a line as expected.

    Parameters
    ----------
    n_pairs, errors, expected : equally many, n_pairs rising
    capacity : as many pairs as the memory has inputs, drawn as a limit
    """
    if not len(n_pairs) == len(errors) == len(expected) > 0:
        raise InputError(
            "`n_pairs`, `errors` and `expected` must be equally long, at least one each; "
            f"got {len(n_pairs)}, {len(errors)} and {len(expected)}."
        )
    figure, ax = canvas(
        ax, (5.6, 3.0), "memory_description", language=language, theme=theme, low=n_pairs[0], high=n_pairs[-1]
    )
    words, colours = figure.words, figure.theme
    with figure.styled():
        ax.axvspan(0, capacity, color=colours.band, lw=0, zorder=0)
        sns.lineplot(
            x=n_pairs, y=expected, ax=ax, color=colours.before, label=words["memory_expected"], legend=False,
            estimator=None,
        )  # fmt: skip
        sns.scatterplot(
            x=n_pairs, y=errors, ax=ax, s=34, color=colours.accent, edgecolor=colours.paper, linewidth=0.8,
            label=words["measured"], legend=False, zorder=3, clip_on=False,
        )  # fmt: skip
        ax.annotate(
            words["memory_capacity"].format(capacity=capacity), (capacity, 1), xycoords=("data", "axes fraction"),
            xytext=(-5, -4), textcoords="offset points", ha="right", va="top", fontsize=8.5, color=colours.muted,
        )  # fmt: skip
        top = max(np.max(errors), np.max(expected), 0.5)
        ax.set(xlim=(0, n_pairs[-1]), ylim=(0, 1.08 * top), xlabel=words["pairs"], ylabel=words["recall_error"])
        ax.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
        ax.legend(loc="lower left", bbox_to_anchor=(-0.02, 1.0), ncols=2, handlelength=1.4, borderaxespad=0.2)
    return figure
