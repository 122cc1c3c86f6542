"""Tasks on this machine's processors, or wherever `joblib.parallel_config` says, and their results as they come."""

import signal
import threading
import warnings
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from joblib import Parallel, effective_n_jobs
from joblib.externals.loky import get_reusable_executor
from joblib.parallel import LokyBackend, get_active_backend

from lowrank_kit.checks import InputError

__all__ = ["check_jobs", "in_parallel", "jobs_for"]

# What joblib.delayed makes: a function, its arguments and its named arguments.
Task = tuple[Any, tuple[Any, ...], dict[str, Any]]


def check_jobs(jobs: int | None) -> None:
    """Raise unless `jobs` says how many tasks run at once: a whole number, -1 for all processors, or None."""
    if jobs is not None and (isinstance(jobs, bool) or not isinstance(jobs, int) or jobs == 0 or jobs < -1):
        raise InputError(f"`jobs` must be a whole number of at least 1, or -1 for all processors; got {jobs!r}.")


def jobs_for(n: int, jobs: int | None) -> int | None:
    """`jobs`, or n where that is less: a process that gets no task is started for nothing."""
    return n if n < effective_n_jobs(jobs) else jobs


def in_parallel(tasks: Sequence[Task], jobs: int | None, *, last: bool) -> Generator[Any]:
    """The tasks' results, in the order they are done. Closing it gives up the rest.

    No backend is named, so that joblib's own way of choosing one is the user's. After the `last` tasks processes that
    joblib started are ended, which it would keep for minutes: none holds memory while times are taken, and the next
    run's read anew what may have changed.
    """
    try:
        parallel = Parallel(n_jobs=jobs, return_as="generator_unordered", batch_size=1)
    except ValueError:
        yield from _in_rounds(tasks, jobs)
        return
    with _no_interrupts():
        results = parallel(tasks)
    try:
        # Not `yield from`, which would close joblib's generator before the filter below is set.
        for result in results:  # noqa: UP028
            yield result
        if last:
            _end_processes(jobs)
    finally:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # how many tasks were given up
            results.close()


def _in_rounds(tasks: Sequence[Task], jobs: int | None) -> Generator[Any]:
    """For backends that hand over lists only, as Ray's: so many at a time that all workers have something to do."""
    size = 2 * effective_n_jobs(jobs)
    with Parallel(n_jobs=jobs, batch_size=1) as parallel:
        for start in range(0, len(tasks), size):
            yield from parallel(tasks[start : start + size])


@contextmanager
def _no_interrupts() -> Iterator[None]:
    """Processes that are started now never hear of Ctrl-C, which a terminal sends to all: this one ends them."""
    if threading.current_thread() is not threading.main_thread():  # no other may say what a signal does
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before or signal.SIG_DFL)


def _end_processes(jobs: int | None) -> None:
    if isinstance(get_active_backend()[0], LokyBackend) and effective_n_jobs(jobs) > 1:
        get_reusable_executor(reuse=True).shutdown(wait=True, kill_workers=True)
