"""The picture that stands where a board can't: in exported HTML, without a kernel, with the network off."""

import uuid
from base64 import b64encode
from collections.abc import Mapping
from html import escape
from typing import Any

from IPython.display import display, update_display

from lowrank_kit.i18n import strings
from lowrank_kit.records import Measurement, RankTables

__all__ = ["Still"]


class Still:
    """A second output beside a board's live view, which hides it: a list of ranks, and once measured, a picture."""

    def __init__(self) -> None:
        self.id = f"lrk-still-{uuid.uuid4().hex}"
        self._html = ""
        self._shown = False

    def display(self, text: str, bundle: Any, tables: RankTables, ranks: Mapping[str, int], language: str) -> None:
        """Show the live view and, behind it, what stands for it."""
        data, metadata = bundle if isinstance(bundle, tuple) else (bundle, {})
        self._html = self._html or self._figure(_list(tables, ranks, strings("board", language)))
        display({**data, "text/plain": text}, metadata=metadata, raw=True)
        display({"text/html": self._html, "text/plain": ""}, raw=True, display_id=self.id)
        self._shown = True

    def draw(
        self, tables: RankTables, ranks: Mapping[str, int], measured: Measurement, dense: Measurement, language: str
    ) -> None:
        """The board as it is now; matplotlib is imported here, after everything a hand waits for."""
        from lowrank_kit.plots.board import plot_board

        picture = plot_board(tables, ranks, measured, dense, language=language)
        png, size = picture._repr_png_()
        picture.clear()  # a figure is full of cycles: without this each one stays, 8 MB of it, until much later
        source = f"data:image/png;base64,{b64encode(png).decode()}"
        self._html = self._figure(f'<img src="{source}" width="{size["width"]}" alt="{escape(size["alt"])}">')
        if self._shown:
            update_display({"text/html": self._html, "text/plain": ""}, raw=True, display_id=self.id)

    def _figure(self, content: str) -> str:
        return f'<figure id="{self.id}" class="lrk-still" style="margin:0">{content}</figure>'


def _list(tables: RankTables, ranks: Mapping[str, int], text: Mapping[str, str]) -> str:
    """The ranks in words, for a board that has not been measured yet."""
    lines = (
        f"<li>{escape(t.name)}: {text['rank_of'].format(rank=ranks[t.name], full=t.full_rank)}</li>"
        for t in tables.layers
    )
    return f"<figcaption>{escape(tables.name)}</figcaption><ul>{''.join(lines)}</ul>"
