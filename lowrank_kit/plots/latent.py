"""The inputs of layers in two directions at a time."""

from collections.abc import Mapping

import numpy as np
import seaborn as sns
from matplotlib.axes import Axes

from lowrank_kit.checks import InputError
from lowrank_kit.plots.figure import Picture, picture
from lowrank_kit.records import LatentView

__all__ = ["plot_latent"]

ROWS = ("kept", "cut", "principal")


def plot_latent(
    views: Mapping[str, LatentView],
    picked: int | None = None,
    *,
    language: str | None = None,
    theme: str = "light",
) -> Picture:
    """One column a layer: its inputs in the strongest directions kept and cut, and in their own principal directions.

    A digit stands at the middle of its class; `picked` is the number of an example that is marked in every panel.
    """
    if not views:
        raise InputError("`views` must hold at least one layer; got none.")
    figure = picture(max(1.9 * len(views), 3.8), 6.1, language=language, theme=theme)
    figure.description = figure.words["latent_description"].format(layers=", ".join(views))
    with figure.styled():
        axes = figure.subplots(len(ROWS), len(views), squeeze=False)
        for column, view in enumerate(views.values()):
            for row, plane in enumerate(ROWS):
                _scatter(axes[row, column], figure, getattr(view, plane), view, picked)
                axes[row, column].set_title(
                    figure.words["between"].format(share=view.separation[row]), fontsize=8, color=figure.theme.muted
                )
            axes[0, column].annotate(
                figure.words["latent_layer"].format(layer=view.layer, rank=view.rank, dimension=view.dimension),
                (0, 1), xycoords="axes fraction", xytext=(0, 20), textcoords="offset points", fontsize=9.5,
                va="bottom", color=figure.theme.ink,
            )  # fmt: skip
        for row, plane in enumerate(ROWS):
            axes[row, 0].set_ylabel(figure.words[f"latent_{plane}"])
    return figure


def _scatter(ax: Axes, figure: Picture, points: np.ndarray, view: LatentView, picked: int | None) -> None:
    classes = np.unique(view.labels)
    palette = dict(zip(classes, _palette(figure, len(classes)), strict=True))
    sns.scatterplot(
        x=points[:, 0], y=points[:, 1], hue=view.labels, palette=palette, ax=ax, s=5, linewidth=0, alpha=0.55,
        legend=False, rasterized=True,
    )  # fmt: skip
    for c in classes:
        x, y = points[view.labels == c].mean(axis=0)
        ax.text(
            x, y, str(c), ha="center", va="center", fontsize=9, color=figure.theme.ink, zorder=3,
            bbox={"boxstyle": "circle,pad=0.12", "fc": figure.theme.paper, "ec": palette[c], "lw": 1.1, "alpha": 0.85},
        )  # fmt: skip
    if picked is not None:
        ax.plot(*points[picked], "*", ms=13, color=figure.theme.ink, mec=figure.theme.paper, mew=1, zorder=4)
    ax.set(xlabel="", ylabel="", xticks=[], yticks=[])
    ax.margins(0.06)
    for side in ax.spines.values():
        side.set(visible=True, color=figure.theme.grid)


def _palette(figure: Picture, n: int) -> list[tuple[float, float, float]]:
    return list(sns.husl_palette(n, l=0.55 if figure.theme.paper == "#ffffff" else 0.72, s=0.85))
