"""One background thread for a board: the newest request first, chores when there is none."""

import logging
import threading
from collections.abc import Callable, Iterator

__all__ = ["Stop", "Worker"]

Stop = Callable[[], bool]

log = logging.getLogger(__name__)


class Worker:
    """Runs requests and chores one at a time, so that nothing is ever timed beside other work of its own.

    A newer request stops the running one, which asks its `stop` between steps; a chore is an iterator that is
    advanced one step at a time while there is no request. An exception is kept for :meth:`wait`, so that a bug in
    the background is not lost.
    """

    def __init__(self) -> None:
        self._wake = threading.Condition()
        self._request: Callable[[Stop], None] | None = None
        self._chore: Iterator[object] | None = None
        self._generation = 0
        self._running: str | None = None
        self._closed = False
        self._fault: BaseException | None = None
        self._thread: threading.Thread | None = None

    def submit(self, request: Callable[[Stop], None]) -> None:
        """Run `request(stop)` soon; an older one that has not begun is dropped."""
        with self._wake:
            self._request = request
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
                step()
            except StopIteration:
                self._finish_chore()
            except Exception as fault:
                log.exception("a board's background work failed")
                self._fault = fault
                self._finish_chore()

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
            self._running, steps = "chore", self._chore or iter(())
            return lambda: next(steps)

    def _finish_chore(self) -> None:
        with self._wake:
            self._chore = None
