"""A table of numbers as a heat map: what is lost, what is gained, what is left."""

import numpy as np
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.colors import Colormap, LinearSegmentedColormap, to_rgb

from lowrank_kit.plots.figure import Picture, canvas
from lowrank_kit.plots.theme import Theme
from lowrank_kit.records import Grid

__all__ = ["plot_grid"]

# Changes of this size, in either direction, are drawn at full strength.
FULL_STRENGTH = 0.3


def plot_grid(grid: Grid, *, ax: Axes | None = None, language: str | None = None, theme: str = "light") -> Picture:
    """A heat map with its numbers written in it: changes in points, accuracies in percent.

    Grey is nothing lost. A loss, of accuracy what is missing to 100 %, is orange, a gain is blue.
    """
    rows, columns = grid.values.shape
    width, height = (0.5, 0.34) if grid.notes is None else (0.66, 0.45)
    figure, ax = canvas(
        ax, (max(width * columns + 1.3, 4.2), height * rows + 1.15), f"grid_{grid.measure}_description",
        language=language, theme=theme, rows=", ".join(grid.rows), n=grid.trials,
    )  # fmt: skip
    words = figure.words
    strength = _strength(grid)
    with figure.styled():
        sns.heatmap(
            strength, mask=np.isnan(strength), ax=ax, cbar=False, cmap=_colours(figure.theme), vmin=-1, vmax=1,
            linewidths=1.5, linecolor=figure.theme.paper, xticklabels=grid.columns, yticklabels=grid.rows,
        )  # fmt: skip
        for row, column in zip(*np.nonzero(~np.isnan(strength)), strict=True):
            _write(ax, figure, grid, strength, int(row), int(column))
        ax.set_title(words[f"grid_{grid.measure}"].format(n=f"{grid.trials:,}"), pad=8)
        ax.set(xlabel=words[f"axis_{grid.column_axis}"], ylabel=words[f"axis_{grid.row_axis}"])
        for label in (*ax.get_xticklabels(), *ax.get_yticklabels()):
            label.set(rotation=0)
        for label in ax.get_yticklabels():
            label.set_verticalalignment("center")
        ax.grid(visible=False)
    return figure


def _strength(grid: Grid) -> np.ndarray:
    """From -1, all lost, over 0, nothing, to 1, much gained."""
    values = grid.values.astype(np.float64)
    return values - 1 if grid.measure == "accuracy" else np.clip(values / FULL_STRENGTH, -1, 1)


def _write(ax: Axes, figure: Picture, grid: Grid, strength: np.ndarray, row: int, column: int) -> None:
    ink = _readable(_colours(figure.theme)((strength[row, column] + 1) / 2), figure.theme)
    text = _percent(grid.values[row, column]) if grid.measure == "accuracy" else _points(grid.values[row, column])
    note = "" if grid.notes is None else str(grid.notes[row, column])
    ax.text(column + 0.5, row + (0.4 if note else 0.5), text, ha="center", va="center", fontsize=9, color=ink)
    ax.text(column + 0.5, row + 0.77, note, ha="center", va="center", fontsize=6.5, color=ink, alpha=0.85)


def _readable(background: tuple[float, float, float, float], theme: Theme) -> str:
    """The one of ink and paper that stands out more from the background."""
    ground = _luminance(background)
    return max(theme.ink, theme.paper, key=lambda colour: abs(np.log((_luminance(colour) + 0.05) / (ground + 0.05))))


def _luminance(colour: str | tuple[float, float, float, float]) -> float:
    """Relative luminance as the Web Content Accessibility Guidelines define it."""
    channels = np.asarray(to_rgb(colour), dtype=np.float64)
    linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


def _percent(value: float) -> str:
    return f"{100 * value:.0f}"


def _points(value: float) -> str:
    """With one digit behind the point where there is room for it, and a true minus sign."""
    if value == 0:
        return "0"
    return f"{100 * value:+.{0 if abs(value) >= 0.0995 else 1}f}".replace("-", "\N{MINUS SIGN}")


def _colours(theme: Theme) -> Colormap:
    return LinearSegmentedColormap.from_list("loss and gain", [theme.accent, theme.band, theme.after])
