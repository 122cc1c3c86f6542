"""The picture that stands where a board can't: in exported HTML, without a kernel, with the network off."""

import uuid
from base64 import b64encode
from collections.abc import Iterable
from html import escape
from typing import TYPE_CHECKING, Any

from IPython.display import display, update_display

if TYPE_CHECKING:  # matplotlib is loaded after everything a hand waits for
    from lowrank_kit.plots.figure import Picture

__all__ = ["Still", "listed"]


class Still:
    """A second output beside a board's live view, which hides it: a few words, and once there is one, a picture."""

    def __init__(self) -> None:
        self.id = f"lrk-still-{uuid.uuid4().hex}"
        self._html = ""
        self._shown = False

    def display(self, text: str, bundle: Any, words: str) -> None:
        """Show the live view and, behind it, what stands for it: the HTML in `words` until there is a picture."""
        data, metadata = bundle if isinstance(bundle, tuple) else (bundle, {})
        self._html = self._html or self._figure(words)
        display({**data, "text/plain": text}, metadata=metadata, raw=True)
        display({"text/html": self._html, "text/plain": ""}, raw=True, display_id=self.id)
        self._shown = True

    def show(self, picture: "Picture") -> None:
        """The board as it is now."""
        png, size = picture._repr_png_()
        picture.clear()  # a figure is full of cycles: without this each one stays, 8 MB of it, until much later
        source = f"data:image/png;base64,{b64encode(png).decode()}"
        self.tell(f'<img src="{source}" width="{size["width"]}" alt="{escape(size["alt"])}">')

    def tell(self, words: str) -> None:
        """HTML in the picture's place."""
        self._html = self._figure(words)
        if self._shown:
            update_display({"text/html": self._html, "text/plain": ""}, raw=True, display_id=self.id)

    def _figure(self, content: str) -> str:
        return f'<figure id="{self.id}" class="lrk-still" style="margin:0">{content}</figure>'


def listed(title: str, lines: Iterable[str]) -> str:
    """Words for a board without a picture yet, as HTML."""
    return f"<figcaption>{escape(title)}</figcaption><ul>{''.join(f'<li>{escape(line)}</li>' for line in lines)}</ul>"
