"""The picture that stands where a board can't: in exported HTML, without a kernel, with the network off."""

import uuid
from base64 import b64encode
from collections.abc import Mapping
from html import escape
from typing import Any

from IPython.display import display, update_display

from lowrank_kit.records import Measurement, RankTables

__all__ = ["Still"]


class Still:
    """A second output beside a board's live view, which hides it; it is redrawn when a measurement is complete."""

    def __init__(self) -> None:
        self._id = uuid.uuid4().hex
        self._html = '<figure class="lrk-still"></figure>'
        self._shown = False

    def display(self, text: str, bundle: Any) -> None:
        """Show the live view and, behind it, the picture."""
        data, metadata = bundle if isinstance(bundle, tuple) else (bundle, {})
        display({**data, "text/plain": text}, metadata=metadata, raw=True)
        display({"text/html": self._html, "text/plain": ""}, raw=True, display_id=self._id)
        self._shown = True

    def draw(
        self, tables: RankTables, ranks: Mapping[str, int], measured: Measurement, dense: Measurement, language: str
    ) -> None:
        """The board as it is now; matplotlib is imported here, after everything a hand waits for."""
        from lowrank_kit.plots.board import plot_board

        png, size = plot_board(tables, ranks, measured, dense, language=language)._repr_png_()
        source = f"data:image/png;base64,{b64encode(png).decode()}"
        image = f'<img src="{source}" width="{size["width"]}" alt="{escape(size["alt"])}">'
        self._html = f'<figure class="lrk-still" style="margin:0">{image}</figure>'
        if self._shown:
            update_display({"text/html": self._html, "text/plain": ""}, raw=True, display_id=self._id)
