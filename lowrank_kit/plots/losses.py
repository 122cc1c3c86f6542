"""Losses that fall, or don't, each at its own best learning rate."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator

from lowrank_kit.checks import InputError
from lowrank_kit.plots.figure import Picture, picture
from lowrank_kit.records import LossCurve

__all__ = ["plot_losses"]

# What is smaller is rounding.
SMALLEST = 1e-9
# Labels keep at least this share of the axis between them.
APART = 0.07


def plot_losses(curves: Sequence[LossCurve], *, language: str | None = None, theme: str = "light") -> Picture:
    """One panel a decay: each method's mean loss over seeds and the range of these, its learning rate beside it."""
    if not curves:
        raise InputError("`curves` must hold at least one; got none.")
    decays = sorted({curve.decay for curve in curves})
    figure = picture(max(2.9 * len(decays), 3.8), 3.1, language=language, theme=theme)
    methods = ", ".join(dict.fromkeys(curve.method for curve in curves))
    figure.description = figure.words["losses_description"].format(
        methods=methods, decays=", ".join(f"{decay:g}" for decay in decays)
    )
    with figure.styled():
        axes = figure.subplots(1, len(decays), sharey=True, squeeze=False)[0]
        for ax, decay in zip(axes, decays, strict=True):
            own = [curve for curve in curves if curve.decay == decay]
            for curve in own:
                _draw(ax, figure, curve)
            ax.set(yscale="log", xlim=(0, max(int(c.steps[-1]) for c in curves)))
            ax.xaxis.set_major_locator(MaxNLocator(4, integer=True, steps=(1, 2, 5, 10)))
            ax.yaxis.set_major_locator(LogLocator(numticks=7))
            ax.yaxis.set_minor_locator(NullLocator())
            ax.set_title(figure.words["decay"].format(decay=f"{decay:g}"))
            ax.grid(visible=False, axis="x")
        for ax, decay in zip(axes, decays, strict=True):
            _label(ax, figure, [curve for curve in curves if curve.decay == decay])
        axes[0].set_ylabel(figure.words["loss"])
        figure.supxlabel(figure.words["step"], fontsize=9, color=figure.theme.muted)
        figure.legend(*axes[0].get_legend_handles_labels(), loc="outside upper left", ncols=3, handlelength=1.4)
    return figure


def _draw(ax: Axes, figure: Picture, curve: LossCurve) -> None:
    colour, losses = _colour(figure, curve), _shown(curve)
    if len(losses) > 1:
        ax.fill_between(curve.steps, losses.min(axis=0), losses.max(axis=0), color=colour, alpha=0.15, lw=0)
    ax.plot(curve.steps, losses.mean(axis=0), color=colour, lw=1.5, label=figure.words[f"method_{curve.method}"])


def _label(ax: Axes, figure: Picture, curves: Sequence[LossCurve]) -> None:
    """The rate of each curve to the right of where it ends, the lowest first and the others above it."""
    low, high = np.log10(ax.get_ylim())
    below = -np.inf
    for curve in sorted(curves, key=lambda curve: _end(curve)[1]):
        step, loss = _end(curve)
        height = below = max((np.log10(loss) - low) / (high - low), below + APART)
        ax.annotate(
            figure.words["rate"].format(rate=f"{curve.rate:g}"), (step, height), (3, 0),
            xycoords=ax.get_xaxis_transform(), textcoords="offset points", va="center", fontsize=8,
            color=figure.theme.muted if curve.method == "dense" else _colour(figure, curve), annotation_clip=False,
        )  # fmt: skip


def _end(curve: LossCurve) -> tuple[int, float]:
    """The last step at which there is a loss, and that loss."""
    mean = _shown(curve).mean(axis=0)
    last = int(np.flatnonzero(~np.isnan(mean))[-1])
    return int(curve.steps[last]), float(mean[last])


def _shown(curve: LossCurve) -> np.ndarray:
    return np.where(np.isfinite(curve.losses), np.maximum(curve.losses, SMALLEST), np.nan)


def _colour(figure: Picture, curve: LossCurve) -> str:
    return {"adaptive": figure.theme.after, "vanilla": figure.theme.accent}.get(curve.method, figure.theme.before)
