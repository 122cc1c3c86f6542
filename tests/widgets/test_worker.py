import threading

import pytest
import torch
from threadpoolctl import threadpool_info

from lowrank_kit.widgets.worker import Worker


@pytest.fixture
def worker():
    worker = Worker()
    yield worker
    worker.close()


def test_a_request_runs_in_the_background(worker):
    names = []
    worker.submit(lambda stop: names.append(threading.current_thread().name))
    assert worker.wait(5)
    assert names == ["lowrank_kit board"]


def test_a_request_computes_with_no_more_threads_than_any_other_thread(worker):
    # OpenMP keeps a number for each thread, and a new one begins with all cores.
    found = []
    worker.submit(lambda stop: found.extend(threadpool_info()))
    assert worker.wait(5)
    kernels = [pool for pool in found if pool["user_api"] == "openmp" and "torch" in pool["filepath"]]
    assert kernels and {pool["num_threads"] for pool in kernels} == {torch.get_num_threads()}


def test_a_newer_request_stops_the_running_one_and_drops_those_between(worker):
    begun, done = threading.Event(), []

    def long(stop):
        begun.set()
        while not stop():
            pass
        done.append("stopped")

    worker.submit(long)
    assert begun.wait(5)
    begun.clear()
    # The first waits inside `long`; of the next two only the last must run.
    with worker._wake:
        worker.submit(lambda stop: done.append("between"))
        worker.submit(lambda stop: done.append("last"))
    assert worker.wait(5)
    assert done == ["stopped", "last"]


def test_chores_go_on_between_requests(worker):
    order, gate = [], threading.Event()

    def chores():
        for step in range(3):
            order.append(step)
            if step == 0:
                gate.set()
            yield

    worker.chore(chores())
    assert gate.wait(5)
    worker.submit(lambda stop: order.append("request"))
    assert worker.wait(5, chores=True)
    assert sorted(map(str, order)) == ["0", "1", "2", "request"]
    assert [step for step in order if step != "request"] == [0, 1, 2]


def test_a_chore_is_called_away_by_a_request_and_by_the_end(worker):
    seen, begun, go_on = [], threading.Event(), threading.Event()

    def chores():
        for _ in range(3):
            seen.append(worker.is_called_away)
            begun.set()
            go_on.wait(5)
            seen.append(worker.is_called_away)
            yield

    worker.chore(chores())
    assert begun.wait(5)
    worker.submit(lambda stop: None)
    go_on.set()
    assert worker.wait(5, chores=True)
    assert seen == [False, True, False, False, False, False]
    worker.close()
    assert worker.is_called_away


def test_wait_tells_a_timeout(worker):
    release = threading.Event()
    worker.submit(lambda stop: release.wait(5))
    assert not worker.wait(0.01)
    release.set()
    assert worker.wait(5)


def test_a_bug_in_the_background_is_raised_once_by_wait_and_the_worker_lives_on(worker):
    def broken(stop):
        raise ZeroDivisionError("a bug")

    worker.submit(broken)
    with pytest.raises(ZeroDivisionError):
        worker.wait(5)
    done = []
    worker.submit(lambda stop: done.append(True))
    assert worker.wait(5) and done


def test_two_workers_never_run_beside_each_other(worker):
    other, inside, most = Worker(), [], []

    def step(stop):
        inside.append(1)
        most.append(len(inside))
        threading.Event().wait(0.01)
        inside.pop()

    for _ in range(5):
        worker.submit(step)
        other.submit(step)
        assert worker.wait(5) and other.wait(5)
    other.close()
    assert set(most) == {1}


def test_a_fault_in_a_request_leaves_the_chore_running(worker):
    faults = []
    told = Worker(faults.append)
    go_on = threading.Event()

    def chores():
        for _ in range(3):
            go_on.wait(5)
            yield

    told.chore(chores())
    told.submit(lambda stop: 1 / 0)
    go_on.set()
    with pytest.raises(ZeroDivisionError):
        told.wait(5)
    assert told.wait(5, chores=True)
    assert [type(fault) for fault in faults] == [ZeroDivisionError]
    told.close()


def test_a_chore_that_ends_does_not_take_along_the_one_that_took_its_place(worker):
    inside, go_on, done = threading.Event(), threading.Event(), []

    def ending():
        inside.set()
        go_on.wait(5)
        return
        yield

    worker.chore(ending())
    assert inside.wait(5)
    worker.chore(iter(map(done.append, range(3))))
    go_on.set()
    assert worker.wait(5, chores=True)
    assert done == [0, 1, 2]


def test_nothing_runs_after_close(worker):
    worker.close()
    done = []
    worker.submit(lambda stop: done.append(True))
    assert worker.wait(5)
    assert not done
