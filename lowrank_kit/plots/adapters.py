"""What a network learns from few examples through adapters, and what they add to its weights."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FixedFormatter, FixedLocator, LogLocator, NullLocator, PercentFormatter

from lowrank_kit.checks import InputError
from lowrank_kit.plots.figure import Picture, canvas, picture
from lowrank_kit.records import AccuracyCurve, UpdateValues

__all__ = ["plot_adaptation", "plot_update_values"]

# The network as it was: a line without points.
BEFORE = "zero-shot"
# Curves stand side by side, so many octaves apart, for their intervals to be seen.
APART = 0.09
# Smaller singular values than this share of the largest are left outside.
SHOWN = 1e-4
COLUMNS = 4
# What is written beside an axis on which halving the errors is as far everywhere.
ACCURACIES = (0.0, 0.2, 0.4, 0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.93, 0.95, 0.97, 0.98, 0.99)
# Fewer errors are drawn as so many.
FEWEST = 0.002


def plot_adaptation(
    curves: Sequence[AccuracyCurve],
    *,
    ax: Axes | None = None,
    language: str | None = None,
    theme: str = "light",
) -> Picture:
    """Test accuracy against the number of examples or the rank, with 95 % intervals over seeds."""
    if len({curve.axis for curve in curves}) != 1:
        raise InputError("`curves` must hold at least one, all over the same axis, examples or rank.")
    axis = curves[0].axis
    figure, ax = canvas(
        ax, (5.0, 3.4), f"adaptation_{axis}_description", language=language, theme=theme,
        methods=", ".join(curve.method for curve in curves),
    )  # fmt: skip
    trained = [curve for curve in curves if curve.method != BEFORE]
    with figure.styled():
        for curve in curves:
            place = trained.index(curve) - (len(trained) - 1) / 2 if curve in trained else 0.0
            _curve(ax, figure, curve, 2 ** (APART * place))
        at = sorted({int(x) for curve in curves for x in curve.at})
        ax.set_xscale("log", base=2)
        ax.xaxis.set_major_locator(FixedLocator(at))
        ax.xaxis.set_minor_locator(NullLocator())
        ax.xaxis.set_major_formatter(FixedFormatter([f"{x:,}" for x in at]))
        ax.set_xlim(at[0] / 1.35, at[-1] * 1.35)
        low, high = min(float(c.low.min()) for c in curves), max(float(c.high.max()) for c in curves)
        ax.set_yscale("function", functions=(_wide_at_the_top, _narrow_at_the_top))
        ax.set_ylim(_narrow_at_the_top(_wide_at_the_top(low) - 0.05), _narrow_at_the_top(_wide_at_the_top(high) + 0.05))
        ax.yaxis.set_major_locator(FixedLocator(ACCURACIES))
        ax.yaxis.set_minor_locator(NullLocator())
        ax.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
        ax.grid(visible=False, axis="x")
        seeds = max(curve.seeds for curve in curves)
        ax.set(xlabel=figure.words[f"adaptation_{axis}"], ylabel="")
        ax.set_title(figure.words["adaptation_accuracy"].format(n=curves[0].n, seeds=seeds), pad=22)
        ax.legend(
            loc="lower left", bbox_to_anchor=(-0.02, 1.0), ncols=len(curves), handlelength=1.2, columnspacing=1.0,
            handletextpad=0.4, borderaxespad=0.2,
        )  # fmt: skip
    return figure


def plot_update_values(values: Sequence[UpdateValues], *, language: str | None = None, theme: str = "light") -> Picture:
    """One panel a layer: the singular values of each update, their median over seeds and the range of these."""
    layers = list(dict.fromkeys(part.layer for part in values))
    if not layers:
        raise InputError("`values` must hold those of one layer at least; got none.")
    rows, columns = -(-len(layers) // COLUMNS), min(len(layers), COLUMNS)
    figure = picture(max(2.2 * columns, 3.6), 2.3 * rows + 0.6, language=language, theme=theme)
    figure.description = figure.words["update_values_description"].format(
        methods=", ".join(dict.fromkeys(part.method for part in values)), layers=", ".join(layers)
    )
    top = max(float(part.values.max()) for part in values)
    with figure.styled():
        axes = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
        for ax in axes.flat[len(layers) :]:
            ax.set_axis_off()
        for ax, layer in zip(axes.flat, layers, strict=False):
            for part in values:
                if part.layer == layer:
                    _values(ax, figure, part)
            ax.set(yscale="log", ylim=(SHOWN * top, 2 * top))
            ax.xaxis.set_major_locator(FixedLocator([1, *range(4, max(p.values.shape[1] for p in values) + 1, 4)]))
            ax.yaxis.set_major_locator(LogLocator(subs=(1.0,)))
            ax.yaxis.set_minor_locator(NullLocator())
            ax.set_title(layer, fontsize=9)
            ax.grid(visible=False, axis="x")
        axes[0][0].set_ylabel(figure.words["update_value"])
        figure.supxlabel(figure.words["index"], fontsize=9, color=figure.theme.muted)
        figure.legend(*axes[0][0].get_legend_handles_labels(), loc="outside upper left", ncols=3, handlelength=1.4)
    return figure


def _curve(ax: Axes, figure: Picture, curve: AccuracyCurve, beside: float) -> None:
    label, colour = figure.words[f"adapter_{_key(curve.method)}"], _colour(figure, curve.method)
    if curve.method == BEFORE:
        ax.axhline(curve.mean[0], color=colour, lw=1.1, ls=(0, (4, 2)), label=label)
        return
    at = curve.at * beside
    ax.vlines(at, curve.low, curve.high, color=colour, lw=1.6, alpha=0.55)
    ax.plot(at, curve.mean, "-o", color=colour, lw=1.4, ms=5, mec=figure.theme.paper, mew=0.7, label=label, zorder=3)


def _values(ax: Axes, figure: Picture, part: UpdateValues) -> None:
    """As many values as the update's rank, beyond which there is only rounding; what is too small leaves the panel."""
    values = np.maximum(part.values[:, : part.rank], np.finfo(float).tiny)
    number, colour = np.arange(1, values.shape[1] + 1), _colour(figure, part.method)
    ax.fill_between(number, values.min(axis=0), values.max(axis=0), color=colour, alpha=0.15, lw=0)
    ax.plot(
        number, np.median(values, axis=0), "-o", color=colour, lw=1.3, ms=3.5, mec=figure.theme.paper, mew=0.5,
        label=figure.words[f"adapter_{_key(part.method)}"],
    )  # fmt: skip


def _wide_at_the_top(accuracy: Any) -> Any:
    return -np.log10(np.clip(1 - np.asarray(accuracy), FEWEST, None))


def _narrow_at_the_top(place: Any) -> Any:
    return 1 - 10.0 ** -np.asarray(place)


def _colour(figure: Picture, method: str) -> str:
    colours = {"deep-lora": figure.theme.after, "lora": figure.theme.accent, BEFORE: figure.theme.muted}
    return colours.get(method, figure.theme.before)


def _key(method: str) -> str:
    return method.replace("-", "_")
