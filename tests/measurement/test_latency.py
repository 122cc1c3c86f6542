"""Timing under a clock that the test winds: every number is exact."""

from functools import partial
from types import SimpleNamespace
from typing import NamedTuple

import numpy as np
import pytest
import torch
from torch import nn

from lowrank_kit.checks import InputError
from lowrank_kit.measurement import load
from lowrank_kit.measurement.latency import BLOCK_S, FEWEST, latency
from lowrank_kit.measurement.passes import WARM_UP

X = np.arange(6, dtype=np.float32).reshape(3, 2)


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


class Timed(nn.Module):
    """Takes `cost` seconds of the clock, the warm-up ten times as many, and writes down who ran on what."""

    def __init__(self, name, clock, cost, log):
        super().__init__()
        self.name, self.clock, self.cost, self.log = name, clock, cost, log
        self.weight = nn.Parameter(torch.ones(1))

    def forward(self, x):
        assert not self.training
        runs = sum(name == self.name for name, _ in self.log)
        self.clock.now += self.cost * (10 if runs < WARM_UP else 1)
        self.log.append((self.name, x.clone()))
        return x


@pytest.fixture
def bench():
    """A clock, a log, and two networks of 1/8 and 1/4 second."""
    clock, log = Clock(), []
    return clock, log, [Timed("a", clock, 1 / 8, log), Timed("b", clock, 1 / 4, log)]


def test_networks_take_turns_after_the_warm_up(bench):
    clock, log, models = bench
    latency(models, X, budget_s=9.0, clock=clock)
    order = "".join(name for name, _ in log)
    # A look at how long a pass takes, then rounds; the timer runs a network twice before each look at the clock.
    assert order == "a" * WARM_UP + "b" * WARM_UP + "aaabbb" + "aaabbb" * 8


def test_raw_times_are_each_networks_own_without_the_warm_up(bench):
    clock, _, models = bench
    a, b = latency(models, X, budget_s=9.0, clock=clock)
    assert a.raw_s.tolist() == [1 / 8] * 8
    assert b.raw_s.tolist() == [1 / 4] * 8
    assert a.speedup(b) == 2
    assert a.speedup_interval(b) == (2, 2)


@pytest.mark.parametrize(("cost", "passes"), [(BLOCK_S / 4, 4), (BLOCK_S / 512, 512), (2 * BLOCK_S, 1)])
def test_short_passes_are_timed_in_blocks(cost, passes):
    clock, log = Clock(), []
    timing = latency([Timed("a", clock, cost, log)], X, budget_s=0, clock=clock)[0]
    warm = max(passes // 100, 2)
    assert len(log) == WARM_UP + 3 + FEWEST * (warm + passes)
    assert timing.raw_s == pytest.approx(np.full(FEWEST, cost))


@pytest.mark.parametrize("budget", [0.0, 0.01, -1.0])
def test_at_least_five_rounds_whatever_the_budget(bench, budget):
    clock, _, models = bench
    assert [len(t.raw_s) for t in latency(models, X, budget_s=budget, clock=clock)] == [FEWEST, FEWEST] == [5, 5]


@pytest.mark.parametrize("rounds", [0, 1, 7])
def test_stop_ends_it_between_rounds(bench, rounds):
    clock, _, models = bench
    answers = iter([False, *[False] * rounds, True])  # asked before the warm-up and before every round
    timings = latency(models, X, budget_s=1e9, clock=clock, stop=lambda: next(answers))
    assert [t.raw_s.tolist() for t in timings] == [[1 / 8] * rounds, [1 / 4] * rounds]


def test_what_is_stopped_at_once_runs_nothing(bench):
    clock, log, models = bench
    timings = latency(models, X, budget_s=1e9, clock=clock, stop=lambda: True)
    assert [len(t.raw_s) for t in timings] == [0, 0]
    assert log == []
    assert all(model.training for model in models)


@pytest.mark.parametrize(("batch", "rows"), [(1, [0]), (3, [0, 1, 2]), (7, [0, 1, 2, 0, 1, 2, 0])])
def test_the_batch_is_the_first_examples_repeated_where_they_are_few(bench, batch, rows):
    clock, log, models = bench
    timing = latency(models[:1], X, batch=batch, budget_s=0, clock=clock)[0]
    assert timing.batch == batch
    assert all(np.array_equal(x.numpy(), X[rows]) for _, x in log)


def test_each_network_may_have_inputs_of_its_own(bench):
    clock, log, models = bench
    latency(models, [X, 2 * X], batch=2, budget_s=0, clock=clock)
    for name, x in log:
        assert np.array_equal(x.numpy(), X[:2] if name == "a" else 2 * X[:2])


def test_conditions_are_recorded(residual, images):
    a, b = latency([residual, residual], images.x, batch=2, budget_s=0)
    assert a.conditions == b.conditions
    assert (a.batch, a.dtype, a.layout, a.threads, a.mode) == (
        2,
        "float32",
        "contiguous",
        torch.get_num_threads(),
        "eager",
    )
    assert a.device
    assert 0 <= a.busy <= 1
    assert (a.raw_s > 0).all()


@pytest.mark.parametrize(
    ("change", "field", "value"),
    [
        (lambda m: m.double(), "dtype", "float64"),
        (lambda m: m.to(memory_format=torch.channels_last), "layout", "channels_last"),
    ],
)
def test_times_of_other_conditions_refuse_a_speedup(residual, images, change, field, value):
    before = latency([residual], images.x, budget_s=0)[0]
    after = latency([change(residual)], images.x, budget_s=0)[0]
    assert getattr(after, field) == value
    with pytest.raises(InputError, match=rf"same conditions; got unlike {field} \('{value}'"):
        after.speedup(before)


def test_modes_are_put_back(mlp, vectors):
    mlp.train()[0].eval()
    latency([mlp], vectors.x, budget_s=0)
    assert [m.training for m in mlp.modules()] == [True, False, True, True, True, True]


class Times(NamedTuple):
    user: float
    system: float
    idle: float
    iowait: float = 0.0


@pytest.mark.parametrize(
    ("machine", "own", "busy"),
    [
        (Times(5, 0, 5), 5, 0.0),
        (Times(5, 1, 4), 2, 0.4),
        (Times(10, 0, 0), 1, 0.9),
        (Times(1, 0, 2, 7), 1, 0.0),  # waiting for a disk takes no processor
        (Times(5, 0, 5), 6, 0.0),
        (Times(0, 0, 0), 0, 0.0),
    ],
)
@pytest.mark.parametrize(("threads", "counter"), [(1, "thread_time"), (4, "process_time")])
def test_what_other_work_took_is_told(bench, monkeypatch, machine, own, busy, threads, counter):
    clock, _, models = bench
    machines, owns = iter([Times(0, 0, 0), machine]), iter([100.0, 100.0 + own])
    other = {"thread_time": "process_time", "process_time": "thread_time"}[counter]
    monkeypatch.setattr(load.psutil, "cpu_times", lambda: next(machines))
    # Not of torch itself, whose timer would believe it and set as many.
    monkeypatch.setattr(load, "torch", SimpleNamespace(get_num_threads=lambda: threads))
    # A lone thread's own time is all that is not other work: other threads of this process disturb it too.
    monkeypatch.setattr(load.time, counter, lambda: next(owns))
    monkeypatch.setattr(load.time, other, None)
    timing = latency(models[:1], X, budget_s=0, clock=clock)[0]
    assert timing.busy == pytest.approx(busy)
    assert timing.is_disturbed is (busy > 0.2)


@pytest.mark.parametrize("batch", [0, -4])
def test_a_batch_of_nothing(mlp, vectors, batch):
    with pytest.raises(InputError, match=f"`batch` must be at least 1; got {batch}"):
        latency([mlp], vectors.x, batch=batch)


def test_networks_on_two_devices_are_not_timed_together(mlp, vectors):
    with pytest.raises(InputError, match=r"on one device only; got .*(cpu.*meta|meta.*cpu)"):
        latency([mlp, nn.Linear(12, 4, device="meta")], vectors.x)


def test_a_device_that_answers_before_it_is_done_is_waited_for(bench, monkeypatch):
    clock, log, models = bench
    pending = []

    def finish(device):
        assert device == torch.device("meta")
        # Every run has been waited for when the next begins, and what is waited for takes a second of its own.
        clock.now += len(log) - len(pending)
        pending[:] = log

    monkeypatch.setattr(torch.accelerator, "synchronize", finish)
    a, b = latency([model.to("meta") for model in models], X, budget_s=0, clock=clock)
    assert (a.raw_s.tolist(), b.raw_s.tolist()) == ([1 + 1 / 8] * FEWEST, [1 + 1 / 4] * FEWEST)
    assert a.device == "meta"


def test_a_processor_is_not_waited_for(mlp, vectors, monkeypatch):
    monkeypatch.setattr(torch.accelerator, "synchronize", None)
    assert len(latency([mlp], vectors.x, budget_s=0)[0].raw_s) == FEWEST


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_cuda_device_is_timed_by_its_own_events(residual, images):
    timing = latency([residual.cuda()], images.x, batch=4, budget_s=0, clock=lambda: 0.0)[0]
    assert timing.device == torch.cuda.get_device_name()
    assert (timing.raw_s > 0).all()


def test_many_networks_of_one_class_are_each_compiled_once(monkeypatch):
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="eager"))
    torch._dynamo.utils.counters.clear()
    latency([nn.Linear(2, width) for width in range(1, 13)], X, budget_s=0, mode="compiled")
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] == 12
    assert not torch._dynamo.utils.counters["unimplemented"]
