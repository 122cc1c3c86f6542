"""Time of one forward pass: warmed up, networks interleaved, raw times kept."""

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Any

import numpy as np
import psutil
import torch
from torch import nn

from lowrank_kit.checks import InputError
from lowrank_kit.measurement.placement import device_name
from lowrank_kit.models.running import evaluating, inputs_for, layout_of, weight_of
from lowrank_kit.records import Timing

__all__ = ["latency"]

Clock = Callable[[], float]
WARM_UP = 3
FEWEST = 5


def latency(
    models: Sequence[nn.Module],
    x: np.ndarray,
    *,
    batch: int = 1,
    budget_s: float = 1.0,
    clock: Clock = time.perf_counter,
    stop: Callable[[], bool] = lambda: False,
) -> list[Timing]:
    """One Timing for each model, measured in turn so that a passing disturbance strikes all alike.

    Parameters
    ----------
    models : networks on one device
    x : inputs (n, ...); the first `batch` of them are run, repeated where n is smaller
    budget_s : wall time to spend in seconds; at least five rounds are measured
    clock : seconds, for tests; on a CUDA device events are used instead
    stop : asked between rounds; when true, what is measured so far is returned, which may be nothing

    Raises InputError for a batch below 1 or models on different devices.
    """
    if batch < 1:
        raise InputError(f"`batch` must be at least 1; got {batch}.")
    devices = {weight_of(model).device for model in models}
    if len(devices) != 1:
        raise InputError(f"models can be timed together on one device only; got {', '.join(map(str, devices))}.")
    device = devices.pop()
    inputs = [inputs_for(model, x[np.arange(batch) % len(x)]) for model in models]
    elapsed = _cuda_elapsed if device.type == "cuda" else _elapsed(clock, device)
    runs: list[list[float]] = [[] for _ in models]
    with ExitStack() as stack:
        for model, batch_inputs in zip(models, inputs, strict=True):
            stack.enter_context(evaluating(model))
            for _ in range(WARM_UP if not stop() else 0):
                model(batch_inputs)
        load = _Load()
        end = clock() + budget_s
        while not stop() and (len(runs[0]) < FEWEST or clock() < end):
            for model, batch_inputs, times in zip(models, inputs, runs, strict=True):
                times.append(elapsed(model, batch_inputs))
        busy = load.others()
    return [
        Timing(
            np.array(times),
            batch,
            device_name(device),
            str(weight_of(model).dtype).removeprefix("torch."),
            layout_of(model),
            torch.get_num_threads(),
            busy,
        )
        for model, times in zip(models, runs, strict=True)
    ]


def _elapsed(clock: Clock, device: torch.device) -> Callable[[nn.Module, torch.Tensor], float]:
    def finish() -> None:
        # An accelerator answers before it is done; a CPU does not.
        if device.type != "cpu":
            torch.accelerator.synchronize(device)

    def elapsed(model: nn.Module, inputs: torch.Tensor) -> float:
        finish()
        start = clock()
        model(inputs)
        finish()
        return clock() - start

    return elapsed


def _cuda_elapsed(model: nn.Module, inputs: torch.Tensor) -> float:
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    with torch.cuda.device(inputs.device):
        start.record()
        model(inputs)
        end.record()
    end.synchronize()
    return start.elapsed_time(end) / 1e3


class _Load:
    """The share of the machine's processor time that other work takes between two looks."""

    def __init__(self) -> None:
        self.machine, self.own = psutil.cpu_times(), _own_seconds()

    def others(self) -> float:
        machine = psutil.cpu_times()
        total = sum(machine) - sum(self.machine)
        busy = total - (_idle(machine) - _idle(self.machine))
        return float(np.clip((busy - _own_seconds() + self.own) / total, 0, 1)) if total > 0 else 0.0


def _own_seconds() -> float:
    """Processor time of this thread, or, where torch uses several, of this process."""
    return time.thread_time() if torch.get_num_threads() == 1 else time.process_time()


def _idle(machine: Any) -> float:
    """Waiting for a disk takes no processor time either; not every system counts it."""
    return machine.idle + getattr(machine, "iowait", 0.0)
