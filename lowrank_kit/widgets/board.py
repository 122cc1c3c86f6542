"""What every board has: a setting, a language, a thread that measures, and a picture for pages without a kernel."""

import anywidget
import traitlets

from lowrank_kit.checks import InputError, check_name
from lowrank_kit.i18n import LANGUAGES, default_language
from lowrank_kit.widgets.still import Still
from lowrank_kit.widgets.worker import Worker

__all__ = ["Board"]


class Board(anywidget.AnyWidget):
    """A subclass begins with `_begin`, makes itself whole, and only then becomes a widget."""

    setting = traitlets.Dict().tag(sync=True)
    fault = traitlets.Unicode().tag(sync=True)
    still_id = traitlets.Unicode().tag(sync=True)
    language = traitlets.Enum(LANGUAGES).tag(sync=True)

    def _begin(self, language: str | None) -> str:
        """The thread and the picture, and the language to speak. A widget that was not made whole is closed too."""
        self._worker, self._still = Worker(self._failed), Still()
        language = language or default_language()
        check_name(language, LANGUAGES, name="language")
        return language

    def wait(self, timeout: float | None = None) -> bool:
        """Until what is shown is measured; False on a timeout in seconds. Raises what went wrong."""
        return self._worker.wait(timeout)

    def close(self) -> None:
        self._worker.close()
        super().close()

    def _check_open(self) -> None:
        if self._worker.is_closed:
            raise InputError("the board is closed and measures nothing any more; make a new one.")

    def _failed(self, fault: Exception) -> None:
        """Tell the views; only what a person can mend is told in full."""
        self.fault = str(fault) if isinstance(fault, InputError) else f"{type(fault).__name__}: see the kernel's log."
