"""The browser's side of the boards: hand-written ES modules, no bundler, nothing from a network."""

from functools import cache
from pathlib import Path

__all__ = ["module", "style"]

STATIC = Path(__file__).parent / "static"


# A widget's module loads as a blob and cannot import a neighbour, so its parts stand one behind the other.
PARTS = {
    "rank_board": ("shared", "rank_tables", "charts", "rank_board"),
    "latent_board": ("shared", "latent_board"),
}


@cache
def module(name: str) -> str:
    """One board's ES module."""
    return "\n".join((STATIC / f"{part}.js").read_text(encoding="utf-8") for part in PARTS[name])


@cache
def style(name: str) -> str:
    """One board's style sheet."""
    return "\n".join((STATIC / f"{part}.css").read_text(encoding="utf-8") for part in ("shared", name))
