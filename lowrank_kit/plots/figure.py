"""A matplotlib Figure that shows itself in a notebook and keeps its theme, without pyplot."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

from lowrank_kit.checks import InputError
from lowrank_kit.i18n import default_language, strings
from lowrank_kit.plots.theme import Theme, rc, theme_named

__all__ = ["Picture", "canvas", "picture"]

# Pictures are drawn at twice the size they are shown at, for sharp screens.
SHOWN_DPI = 96
DRAWN_DPI = 2 * SHOWN_DPI
# Matplotlib has one set of settings for all threads, and boards draw in the background: one picture at a time.
TURN = threading.RLock()


class Picture(Figure):
    """A Figure with its theme and language; `description` is its text form, for nbval and for screen readers."""

    def __init__(self, *, theme: Theme, language: str, description: str = "", **options: Any):
        self.theme = theme
        self.language = language
        self.words = strings("plots", language)
        self.description = description

        with TURN:
            self._settings = rc(theme, language)
            with mpl.rc_context(self._settings):
                super().__init__(layout="constrained", **options)

    @contextmanager
    def styled(self) -> Iterator["Picture"]:
        """The picture's settings while something is added to it; another thread's picture waits."""
        with TURN, mpl.rc_context(self._settings):
            yield self

    def draw(self, renderer: Any) -> None:
        # Ticks are made while drawing and read the settings then.
        with self.styled():
            super().draw(renderer)

    def _repr_png_(self) -> tuple[bytes, dict[str, Any]]:
        buffer = BytesIO()
        with self.styled():
            self.savefig(buffer, format="png", dpi=DRAWN_DPI, pil_kwargs={"compress_level": 0})
        width, height = (round(side * SHOWN_DPI) for side in self.get_size_inches())
        return _in_few_colours(buffer), {"width": width, "height": height, "alt": self.description}

    def __repr__(self) -> str:
        return f"Picture({self.description})"

    __str__ = __repr__


def picture(
    width: float = 6.0, height: float = 3.4, *, language: str | None = None, theme: str = "light", description: str = ""
) -> Picture:
    """An empty picture of width x height inches; `language` is "en" or "ja", `theme` "light" or "dark"."""
    return Picture(
        figsize=(width, height),
        theme=theme_named(theme),
        language=language or default_language(),
        description=description,
    )


def canvas(
    ax: Axes | None,
    size: tuple[float, float],
    description: str,
    *,
    language: str | None = None,
    theme: str = "light",
    **values: object,
) -> tuple[Picture, Axes]:
    """The axes a plot draws on and the picture they belong to: the given ones, or new ones of this size in inches.

    `description` is a key of the words, filled with `values`.
    """
    if ax is None:
        figure = picture(*size, language=language, theme=theme)
        figure.description = figure.words[description].format(**values)
        with figure.styled():
            return figure, figure.subplots()
    if not isinstance(ax.figure, Picture):
        raise InputError("`ax` must come from a picture of the kit, picture().subplots(): its theme is there.")
    return ax.figure, ax


def _in_few_colours(drawn: BytesIO) -> bytes:
    """The same picture as a PNG of 256 colours, which nobody can tell from it, in a third of the bytes.

    Without metadata, which would change with matplotlib's version alone.
    """
    small = BytesIO()
    with Image.open(drawn) as image:
        full = image.convert("RGB")
    few = full.quantize(256, method=Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)
    colours = np.array(few.getpalette(), dtype=np.uint8).reshape(-1, 3)
    colours[np.asarray(few)[0, 0]] = np.asarray(full)[0, 0]  # the paper's own, not the mean of what is near it
    few.putpalette(colours.tobytes())
    few.save(small, format="png")
    return small.getvalue()
