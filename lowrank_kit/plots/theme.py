"""One look for every picture: a colour-blind palette, light or dark, English or Japanese."""

from dataclasses import dataclass
from functools import cache
from typing import Any

import matplotlib as mpl
import seaborn as sns

from lowrank_kit.checks import check_name

__all__ = ["THEMES", "Theme", "rc", "theme_named"]


@dataclass(frozen=True)
class Theme:
    """Colours by what they mean; the three that carry data are from Okabe and Ito's colour-blind palette."""

    paper: str
    ink: str
    muted: str
    grid: str
    band: str
    before: str
    after: str
    accent: str


THEMES = {
    "light": Theme(
        paper="#ffffff",
        ink="#24292f",
        muted="#656d76",
        grid="#e7e9ec",
        band="#e4e7eb",
        before="#8c959f",
        after="#0072b2",
        accent="#d55e00",
    ),
    "dark": Theme(
        paper="#14171b",
        ink="#e6e8eb",
        muted="#9aa2ab",
        grid="#272c33",
        band="#2c323a",
        before="#8b949e",
        after="#56b4e9",
        accent="#e69f00",
    ),
}


def theme_named(name: str) -> Theme:
    check_name(name, THEMES, name="theme")
    return THEMES[name]


def rc(theme: Theme, language: str) -> Any:
    """Settings for `matplotlib.rc_context`: nothing global is changed by importing or drawing."""
    return {
        **sns.axes_style("ticks"),
        **sns.plotting_context("notebook", font_scale=0.8),
        "figure.facecolor": theme.paper,
        "savefig.facecolor": theme.paper,
        "axes.facecolor": "none",
        "axes.edgecolor": theme.muted,
        "axes.labelcolor": theme.muted,
        "axes.titlecolor": theme.ink,
        "axes.titlelocation": "left",
        "axes.titlesize": 10,
        "axes.titleweight": "normal",
        "axes.labelsize": 9,
        "axes.linewidth": 0.7,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": True,
        "axes.axisbelow": True,
        "axes.unicode_minus": True,
        "grid.color": theme.grid,
        "grid.linewidth": 0.6,
        "xtick.color": theme.muted,
        "ytick.color": theme.muted,
        "xtick.labelsize": 8.5,
        "ytick.labelsize": 8.5,
        **{
            f"{axis}tick.{kind}.{part}": 0.0
            for axis in "xy"
            for kind in ("major", "minor")
            for part in ("size", "width")
        },
        "lines.linewidth": 1.6,
        "lines.solid_capstyle": "round",
        "legend.frameon": False,
        "legend.fontsize": 9,
        "legend.labelcolor": theme.ink,
        "text.color": theme.ink,
        "font.size": 9,
        "font.family": _fonts(language),
    }


def _fonts(language: str) -> list[str]:
    # The second font stands in for what the first lacks, so that a layer may have a Japanese name in English too.
    japanese = _japanese_font()
    return [japanese, "DejaVu Sans"] if language == "ja" else ["DejaVu Sans", japanese]


@cache
def _japanese_font() -> str:
    """The name of matplotlib-fontja's font. Importing it sets the global font, which is put back at once."""
    with mpl.rc_context():
        from matplotlib_fontja.matplotlib_fontja import FONT_NAME
    return FONT_NAME
