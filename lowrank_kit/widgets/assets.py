"""The browser's side of the boards: hand-written ES modules, no bundler, nothing from a network."""

import re
from functools import cache
from pathlib import Path

__all__ = ["module", "style"]

STATIC = Path(__file__).parent / "static"


# A widget's module loads as a blob and cannot import a neighbour, so its parts stand one behind the other.
PARTS = {
    "rank_board": (
        "shared",
        "tables",
        "rank_tables",
        "axes",
        "controls",
        "sliders",
        "charts",
        "measured",
        "rank_board",
    ),
    "tucker_board": (
        "shared",
        "tables",
        "tucker_tables",
        "axes",
        "controls",
        "sliders",
        "charts",
        "measured",
        "tucker_board",
    ),
    "latent_board": ("shared", "latent_board"),
    "latency_board": ("shared", "axes", "controls", "sliders", "latency_charts", "latency_board"),
    "dynamics_player": (
        "shared",
        "controls",
        "transport",
        "time_charts",
        "spectrum_charts",
        "dynamics_charts",
        "dynamics_player",
    ),
    "live_player": ("shared", "controls", "transport", "time_charts", "spectrum_charts", "live_player"),
    "training_player": ("shared", "controls", "transport", "time_charts", "training_charts", "training_player"),
}


# A comment that begins a line, and what indents one: a browser needs neither.
ASIDE = re.compile(r"^\s*/\*.*?\*/\n|^[ \n]+", re.MULTILINE | re.DOTALL)
# What is kept as it is: texts, and templates with templates in them.
TEXT = r'"[^"\n]*"|`(?:[^`$]|\$(?!\{)|\$\{(?:[^`}]|`[^`]*`)*\})*`'
# Spaces that part no words, elsewhere: around operators, inside brackets, and in a style sheet.
LOOSE = re.compile(rf"({TEXT})| (=>|===|!==|&&|\|\||\?\?|=) |(?<=[,;:{{(\[]) +| +(?=[}})\]])")
LOOSE_STYLE = re.compile(r"(?<=[:;,{}])[ \n]+| (?=[{}])")


@cache
def module(name: str) -> str:
    """One board's ES module."""
    return LOOSE.sub(r"\1\2", "".join(_lean(STATIC / f"{part}.js") for part in PARTS[name]))


@cache
def style(name: str) -> str:
    """One board's style sheet: that of each of its parts which has one."""
    paths = (STATIC / f"{part}.css" for part in PARTS[name])
    return LOOSE_STYLE.sub("", "".join(_lean(path) for path in paths if path.exists()))


def _lean(path: Path) -> str:
    return ASIDE.sub("", path.read_text(encoding="utf-8"))
