"""The browser's side of the boards: hand-written ES modules, no bundler, nothing from a network."""

from functools import cache
from pathlib import Path

__all__ = ["module", "style"]

STATIC = Path(__file__).parent / "static"


@cache
def module(name: str) -> str:
    """One board's ES module. A widget's module loads as a blob and cannot import a neighbour, so the shared parts
    stand in front of it."""
    parts = [(STATIC / file).read_text(encoding="utf-8") for file in ("shared.js", f"{name}.js")]
    return "\n".join(parts)


@cache
def style(name: str) -> str:
    return (STATIC / f"{name}.css").read_text(encoding="utf-8")
