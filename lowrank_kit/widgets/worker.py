"""One background thread a board: the newest request first, chores when there is none."""

import logging
import sys
import threading
from collections.abc import Callable, Iterator

__all__ = ["Stop", "Worker"]

Stop = Callable[[], bool]

log = logging.getLogger(__name__)

# Held during every step, so that boards of one kernel never run - or time anything - beside each other.
TURN = threading.Lock()


class Worker:
    """Runs requests and chores one at a time.

    A newer request stops the running one, which asks its `stop` between steps; a chore is an iterator that is
    advanced one step at a time while there is no request. An exception is logged, given to `on_fault`, and raised by
    the next :meth:`wait`.
    """

    def __init__(self, on_fault: Callable[[Exception], None] = lambda fault: None) -> None:
        self._wake = threading.Condition()
        self._on_fault = on_fault
        self._request: Callable[[Stop], None] | None = None
        self._chore: Iterator[object] | None = None
        self._advanced: Iterator[object] | None = None
        self._generation = 0
        self._running: str | None = None
        self._closed = False
        self._fault: Exception | None = None
        self._thread: threading.Thread | None = None

    @property
    def is_closed(self) -> bool:
        return self._closed

    @property
    def is_called_away(self) -> bool:
        """Whether a chore should end its step soon: a request waits, or the worker is closed."""
        return self._closed or self._request is not None

    def submit(self, request: Callable[[Stop], None]) -> None:
        """Run `request(stop)` soon; an older one that has not begun is dropped, and a fault before it forgotten."""
        with self._wake:
            self._request, self._fault = request, None
            self._generation += 1
            self._start()

    def chore(self, steps: Iterator[object]) -> None:
        """Advance `steps` whenever there is nothing else to do."""
        with self._wake:
            self._chore = steps
            self._start()

    def wait(self, timeout: float | None = None, *, chores: bool = False) -> bool:
        """Until requests (and chores) are done; False on a timeout in seconds. Raises what went wrong meanwhile."""
        with self._wake:
            done = self._wake.wait_for(lambda: self._is_idle(chores), timeout)
            fault, self._fault = self._fault, None
        if fault is not None:
            raise fault
        return done

    def close(self) -> None:
        """Stop after the present step; nothing that is submitted later runs."""
        with self._wake:
            self._closed = True
            self._generation += 1
            self._request = self._chore = None
            self._wake.notify_all()

    def _is_idle(self, chores: bool) -> bool:
        pending = self._request or self._running == "request" or (chores and self._chore)
        return self._closed or self._fault is not None or not pending

    def _start(self) -> None:
        if self._thread is None or not self._thread.is_alive():
            self._thread = threading.Thread(target=self._loop, name="lowrank_kit board", daemon=True)
            self._thread.start()
        self._wake.notify_all()

    def _loop(self) -> None:
        while (step := self._next()) is not None:
            try:
                with TURN:
                    _take_threads()
                    step()
            except StopIteration:
                self._finish_chore()
            except Exception as fault:
                self._fail(fault)

    def _next(self) -> Callable[[], object] | None:
        with self._wake:
            self._running = None
            self._wake.notify_all()
            self._wake.wait_for(lambda: self._closed or self._request or self._chore)
            if self._closed:
                return None
            if self._request is not None:
                self._running, request, generation = "request", self._request, self._generation
                self._request = None
                return lambda: request(lambda: self._generation != generation)
            self._running, self._advanced = "chore", self._chore
            steps = self._chore or iter(())
            return lambda: next(steps)

    def _fail(self, fault: Exception) -> None:
        log.error("a board's background work failed", exc_info=fault)
        try:
            self._on_fault(fault)
        finally:  # only now, so that who waits finds everything told
            self._fault = fault
            if self._running == "chore":
                self._finish_chore()

    def _finish_chore(self) -> None:
        """Unless another chore has taken its place meanwhile."""
        with self._wake:
            if self._chore is self._advanced:
                self._chore = None


def _take_threads() -> None:
    """What torch was told about threads holds in a new Python thread only once torch is asked there.

    Until then its matrix products use every core, which on a busy machine takes a hundred times as long.
    """
    if ask := getattr(sys.modules.get("torch"), "get_num_threads", None):
        ask()
