"""A table of numbers as a heat map: what is lost, what is gained, what is left."""

from collections.abc import Mapping

import numpy as np
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.colors import Colormap, LinearSegmentedColormap, to_rgb

from lowrank_kit.checks import InputError
from lowrank_kit.plots.figure import Picture, canvas, picture
from lowrank_kit.plots.theme import Theme
from lowrank_kit.records import Grid

__all__ = ["plot_grid", "plot_grids", "points"]

ACCURACIES = ("accuracy", "learned")
# Changes of this size, in either direction, are drawn at full strength.
FULL_STRENGTH = 0.3
# This share of added directions kept is much.
FULLY_KEPT = 0.1


def plot_grid(grid: Grid, *, ax: Axes | None = None, language: str | None = None, theme: str = "light") -> Picture:
    """A heat map with its numbers written in it: changes in points, all else in percent.

    Grey is nothing lost, or nothing kept. A loss, of accuracy what is missing to 100 %, is orange; a gain, and what is
    kept, is blue.
    """
    figure, ax = canvas(
        ax, _size(grid), f"grid_{grid.measure}_description",
        language=language, theme=theme, rows=", ".join(grid.rows), n=grid.trials,
    )  # fmt: skip
    words = figure.words
    strength = _strength(grid)
    with figure.styled():
        sns.heatmap(
            strength, mask=np.isnan(strength), ax=ax, cbar=False, cmap=_colours(figure.theme), vmin=-1, vmax=1,
            linewidths=1.5, linecolor=figure.theme.paper, xticklabels=grid.columns, yticklabels=_rows(grid, words),
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


def plot_grids(starts: Mapping[str, Grid], *, language: str | None = None, theme: str = "light") -> Picture:
    """Heat maps of the same rows side by side, each under the share of every mode that its ranks started at."""
    if not starts or len({(grid.measure, grid.rows) for grid in starts.values()}) != 1:
        raise InputError("`starts` must hold at least one grid, all of the same measure and rows.")
    sizes, first = [_size(grid) for grid in starts.values()], next(iter(starts.values()))
    figure = picture(sum(width for width, _ in sizes), sizes[0][1] + 0.3, language=language, theme=theme)
    words = {"rows": ", ".join(first.rows), "n": f"{first.trials:,}"}
    figure.description = figure.words[f"grid_{first.measure}_description"].format(**words)
    with figure.styled():
        axes = figure.subplots(1, len(starts), squeeze=False)[0]
        for ax, (start, grid) in zip(axes, starts.items(), strict=True):
            plot_grid(grid, ax=ax)
            ax.set_title(figure.words["ranks_start"].format(start=start), pad=8)
            if ax is not axes[0]:
                ax.set_ylabel("")
        title = figure.words[f"grid_{first.measure}"].format(**words)
        figure.suptitle(title, x=0.01, ha="left", fontsize=10, color=figure.theme.ink)
    return figure


def _rows(grid: Grid, words: Mapping[str, str]) -> list[str]:
    """The dense network among trainings is no setting of theirs and has a name in every language."""
    return [words["method_dense"] if grid.measure == "learned" and row == "dense" else row for row in grid.rows]


def _size(grid: Grid) -> tuple[float, float]:
    """Inches that a heat map takes with its labels."""
    rows, columns = grid.values.shape
    width, height = (0.5, 0.34) if grid.notes is None else (0.66, 0.45)
    return max(width * columns + 1.3, 4.2), height * rows + 1.15


def _strength(grid: Grid) -> np.ndarray:
    """From -1, all lost, over 0, nothing, to 1, much gained."""
    values = grid.values.astype(np.float64)
    if grid.measure == "kept":
        return np.clip(values / FULLY_KEPT, 0, 1)
    return values - 1 if grid.measure in ACCURACIES else np.clip(values / FULL_STRENGTH, -1, 1)


def _write(ax: Axes, figure: Picture, grid: Grid, strength: np.ndarray, row: int, column: int) -> None:
    ink = _readable(_colours(figure.theme)((strength[row, column] + 1) / 2), figure.theme)
    value = grid.values[row, column]
    text = {"change": points, "advantage": points, "kept": _share}.get(grid.measure, _percent)(value)
    note = "" if grid.notes is None else str(grid.notes[row, column])
    ax.text(column + 0.5, row + (0.4 if note else 0.5), text, ha="center", va="center", fontsize=9, color=ink)
    ax.text(column + 0.5, row + 0.77, note, ha="center", va="center", fontsize=7.5, color=ink)


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


def _share(value: float) -> str:
    """Nothing, but for what directions turn within themselves, is told from next to nothing."""
    return "<1" if 0.0005 <= value < 0.005 else f"{100 * value:.0f}"


def points(value: float) -> str:
    """With one digit behind the point where there is room for it, and a true minus sign."""
    if value == 0:
        return "0"
    return f"{100 * value:+.{0 if abs(value) >= 0.0995 else 1}f}".replace("-", "\N{MINUS SIGN}")


def _colours(theme: Theme) -> Colormap:
    return LinearSegmentedColormap.from_list("loss and gain", [theme.accent, theme.band, theme.after])
