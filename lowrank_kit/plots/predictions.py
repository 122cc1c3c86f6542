"""Predicted against measured: how far the instant numbers of a board may be trusted."""

import numpy as np
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.ticker import PercentFormatter

from lowrank_kit.checks import InputError
from lowrank_kit.plots.figure import Picture, canvas

__all__ = ["plot_predictions"]


def plot_predictions(
    predicted: np.ndarray,
    observed: np.ndarray,
    *,
    ax: Axes | None = None,
    language: str | None = None,
    theme: str = "light",
) -> Picture:
    """Accuracies (t,) of t plans, predicted and then measured; on the diagonal the prediction was right."""
    predicted, observed = np.asarray(predicted), np.asarray(observed)
    if predicted.shape != observed.shape or predicted.ndim != 1 or not len(predicted):
        raise InputError(
            "`predicted` and `observed` must be equally long and hold at least one accuracy each; "
            f"got shapes {predicted.shape} and {observed.shape}."
        )
    figure, ax = canvas(
        ax, (4.2, 3.9), "predictions_description", language=language, theme=theme, n=len(predicted)
    )  # fmt: skip
    words, colours = figure.words, figure.theme
    with figure.styled():
        ax.axline((0, 0), slope=1, color=colours.muted, lw=0.8, ls=(0, (4, 3)))
        sns.scatterplot(
            x=predicted, y=observed, ax=ax, s=26, color=colours.after, alpha=0.75, linewidth=0, clip_on=False
        )
        ax.set(xlim=(0, 1), ylim=(0, 1), aspect="equal", xlabel=words["predicted"], ylabel=words["observed"])
        for axis in (ax.xaxis, ax.yaxis):
            axis.set_major_formatter(PercentFormatter(1, decimals=0))
    return figure
