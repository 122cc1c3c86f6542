"""Tasks run wherever joblib is told to, and what they give comes as it is done."""

import os

import psutil
import pytest
from joblib import delayed, parallel_config

from lowrank_kit.checks import InputError
from lowrank_kit.studies.parallel import check_jobs, in_parallel, jobs_for

TASKS = [delayed(divmod)(n, 7) for n in range(30)]
EXPECTED = {divmod(n, 7) for n in range(30)}


def workers():
    found = psutil.Process().children()
    return [p for p in found if p.is_running() and "popen_loky" in " ".join(p.cmdline())]


@pytest.mark.parametrize("last", [True, False])
@pytest.mark.parametrize("jobs", [1, 3, -1, None])
@pytest.mark.parametrize("backend", ["threading", "sequential", "ours", "lists only"])
def test_every_task_is_done_once_on_any_backend(backend, jobs, last, backends):
    with parallel_config(backend=backend):
        found = [*in_parallel(TASKS, jobs, last=last)]
    assert len(found) == len(TASKS)
    assert set(found) == EXPECTED
    if jobs == 3:
        assert backends.used == {backend} & {"ours", "lists only"}


def test_a_backend_that_hands_over_lists_gives_them_before_all_is_done(backends):
    done = []
    tasks = [delayed(done.append)(n) for n in range(30)]
    with parallel_config(backend="lists only"):
        results = in_parallel(tasks, 2, last=True)
        next(results)
        assert 0 < len(done) < 30
        results.close()


def test_closing_gives_up_the_rest_without_a_word(recwarn):
    started = []
    tasks = [delayed(started.append)(n) for n in range(10_000)]
    with parallel_config(backend="threading"):
        results = in_parallel(tasks, 2, last=True)
        next(results)
        results.close()
    assert len(started) < 10_000
    assert not recwarn.list


def test_processes_last_between_tasks_and_end_with_the_last_ones():
    pids = [delayed(os.getpid)() for _ in range(8)]
    first = {*in_parallel(pids, 2, last=False)}
    assert {p.pid for p in workers()} >= first
    assert os.getpid() not in first
    assert {*in_parallel(pids, 2, last=True)} & first
    assert workers() == []


def test_no_more_jobs_than_tasks():
    with parallel_config(backend="threading", n_jobs=3):
        assert [jobs_for(n, 2) for n in (1, 2, 3)] == [1, 2, 2]
        assert [jobs_for(n, None) for n in (2, 3, 4)] == [2, None, None]
        assert jobs_for(10**6, -1) == -1


def test_a_fault_of_a_task_is_raised():
    with parallel_config(backend="threading"), pytest.raises(ZeroDivisionError):
        [*in_parallel([delayed(divmod)(1, n) for n in (2, 1, 0, 3)], 2, last=True)]


def test_no_tasks_give_nothing():
    assert [*in_parallel([], -1, last=True)] == []


@pytest.mark.parametrize("jobs", [0, -2, 1.5, True, "2"])
def test_a_number_of_jobs_that_cannot_be_gets_one_sentence(jobs):
    with pytest.raises(InputError, match="`jobs` must be a whole number of at least 1, or -1 for all processors; got"):
        check_jobs(jobs)
