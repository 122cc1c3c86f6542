"""One weight in several formats of equal size: how far off each is, and what the network still reads with it."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FixedFormatter, FixedLocator, NullLocator, PercentFormatter

from lowrank_kit.checks import InputError
from lowrank_kit.plots.figure import Picture, picture
from lowrank_kit.records import FormatFit

__all__ = ["plot_formats"]

MARKERS = {"tucker": "o", "cp": "D", "tensor train": "s", "svd": "^", "spatial": "v"}
# Okabe and Ito's, for the formats that the theme has no colour of its own for.
FURTHER = ("#009e73", "#cc79a7")


def plot_formats(fits: Sequence[FormatFit], *, language: str | None = None, theme: str = "light") -> Picture:
    """Relative error, and accuracy with its 95 % interval, against the share of the weight's numbers that is stored."""
    tried = [fit.correct for fit in fits if fit.correct is not None]
    if not fits or len(tried) < len(fits):
        raise InputError("`fits` must hold at least one format, each tried on examples; compare_formats gives those.")
    n = len(tried[0])
    figure = picture(7.6, 3.3, language=language, theme=theme)
    names = [name for name in MARKERS if any(fit.format == name for fit in fits)]
    figure.description = figure.words["formats_description"].format(formats=", ".join(names), n=n)
    with figure.styled():
        left, right = figure.subplots(1, 2)
        for name, colour in zip(names, _colours(figure), strict=False):
            own = sorted((fit for fit in fits if fit.format == name), key=lambda fit: fit.n_params)
            stored = [fit.n_params / fit.tensor.size for fit in own]
            look = {
                "marker": MARKERS[name], "color": colour, "lw": 1.3, "ms": 6, "mec": figure.theme.paper, "mew": 0.7,
                "label": figure.words[f"format_{name.replace(' ', '_')}"], "clip_on": False, "zorder": 3,
            }  # fmt: skip
            left.plot(stored, [fit.error for fit in own], **look)
            low, high = np.array([fit.interval for fit in own]).T
            right.vlines(stored, low, high, color=colour, lw=1.1, alpha=0.6, zorder=2)
            right.plot(stored, [fit.accuracy for fit in own], **look)
        left.set_title(figure.words["relative_error"])
        right.set_title(figure.words["accuracy_n"].format(n=f"{n:,}"))
        for ax in (left, right):
            ax.set_ylim(0, 1.02)
            ax.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
            _share_axis(ax, [fit.n_params / fit.tensor.size for fit in fits])
        figure.supxlabel(figure.words["share_stored"], fontsize=9, color=figure.theme.muted)
        figure.legend(*left.get_legend_handles_labels(), loc="outside upper left", ncols=len(names), handlelength=1.4)
    return figure


def _colours(figure: Picture) -> tuple[str, ...]:
    return figure.theme.after, figure.theme.accent, *FURTHER, figure.theme.before


def _share_axis(ax: Axes, shares: Sequence[float]) -> None:
    ax.set_xscale("log")
    low, high = 0.8 * min(shares), 1.2 * max(shares)
    ticks = [t for t in (0.01, 0.02, 0.03, 0.05, 0.1, 0.2, 0.3, 0.5, 1.0) if low <= t <= high]
    ax.xaxis.set_major_locator(FixedLocator(ticks))
    ax.xaxis.set_major_formatter(FixedFormatter([f"{t:.0%}" for t in ticks]))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.grid(visible=False, axis="x")
