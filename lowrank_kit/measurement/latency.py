"""Time of one forward pass: warmed up, networks interleaved, raw times kept."""

import math
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack

import numpy as np
import torch
from torch import nn
from torch.utils.benchmark import Timer

from lowrank_kit.checks import InputError
from lowrank_kit.measurement.load import Load
from lowrank_kit.measurement.passes import Pass, prepared
from lowrank_kit.measurement.placement import device_name, precision_of
from lowrank_kit.models.running import evaluating, inputs_for, layout_of, weight_of
from lowrank_kit.records import Timing

__all__ = ["latency"]

Clock = Callable[[], float]
# Seconds a pass, over so many passes in a row.
Elapsed = Callable[[Pass, int], float]
FEWEST = 5
# Short passes are taken in blocks of about so many seconds, so that a clock's own time does not count.
BLOCK_S = 1e-3


def latency(
    models: Sequence[nn.Module],
    x: np.ndarray | Sequence[np.ndarray],
    *,
    batch: int = 1,
    budget_s: float = 1.0,
    mode: str = "eager",
    clock: Clock = time.perf_counter,
    stop: Callable[[], bool] = lambda: False,
) -> list[Timing]:
    """One Timing for each model, measured in turn so that a passing disturbance strikes all alike.

    Parameters
    ----------
    models : networks on one device, each in its own dtype and layout
    x : inputs (n, ...), or a list of such for each model its own; the first `batch` of them are run, repeated where n
        is smaller
    budget_s : wall time to spend in seconds; at least five rounds are measured
    mode : "eager"; "graph", the kernels of a pass replayed as one CUDA graph; or "compiled" by torch.compile
    clock : seconds, for tests; on a CUDA device events are used instead
    stop : asked between rounds; when true, what is measured so far is returned, which may be nothing

    Passes shorter than a millisecond are timed in blocks; a raw time is the mean of one. Raises InputError for a batch
    below 1 or too large for the device, models on different devices, or a mode that does not work here.
    """
    if batch < 1:
        raise InputError(f"`batch` must be at least 1; got {batch}.")
    devices = {weight_of(model).device for model in models}
    if len(devices) != 1:
        raise InputError(f"models can be timed together on one device only; got {', '.join(map(str, devices))}.")
    device = devices.pop()
    given = [x] * len(models) if isinstance(x, np.ndarray) else x
    rows = [part[np.arange(batch) % len(part)] for part in given]
    elapsed = _by_events(device) if device.type == "cuda" else _by_timer(clock, device)
    runs: list[list[float]] = [[] for _ in models]
    with ExitStack() as stack:
        for model in models:
            stack.enter_context(evaluating(model))
        if mode == "compiled":
            torch._dynamo.reset()  # once: what was compiled for others is in the way, what will be for these is not
        pairs = [] if stop() else zip(models, rows, strict=True)
        passes = [prepared(model, inputs_for(model, part), mode) for model, part in pairs]
        sizes = [_block(elapsed, run) for run, _ in passes]
        load = Load()
        end = clock() + budget_s
        while not stop() and (len(runs[0]) < FEWEST or clock() < end):
            for (run, _), size, times in zip(passes, sizes, runs, strict=True):
                times.append(elapsed(run, size))
        busy = load.others()
    setups = [setup_s for _, setup_s in passes] or [0.0] * len(models)
    return [
        Timing(
            np.array(times),
            batch,
            device_name(device),
            str(weight_of(model).dtype).removeprefix("torch."),
            layout_of(model),
            torch.get_num_threads(),
            busy,
            mode,
            precision_of(weight_of(model).device, weight_of(model).dtype),
            setup_s,
        )
        for model, times, setup_s in zip(models, runs, setups, strict=True)
    ]


def _block(elapsed: Elapsed, run: Pass) -> int:
    """How many passes fill a block."""
    return math.ceil(BLOCK_S / max(elapsed(run, 1), 1e-6))


def _by_timer(clock: Clock, device: torch.device) -> Elapsed:
    """By PyTorch's timer, which runs twice before it looks at the clock."""

    def elapsed(run: Pass, times: int) -> float:
        # An accelerator answers before it is done; a CPU does not.
        statement = "run()" if device.type == "cpu" else "run(); finish(device)"
        names = {"run": run, "finish": torch.accelerator.synchronize, "device": device}
        timer = Timer(statement, globals=names, timer=clock, num_threads=torch.get_num_threads())
        return timer.timeit(times).mean

    return elapsed


def _by_events(device: torch.device) -> Elapsed:
    """By the device's own events, all passes of a block queued at once."""

    def elapsed(run: Pass, times: int) -> float:
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        with torch.cuda.device(device):
            run()
            start.record()
            for _ in range(times):
                run()
            end.record()
        end.synchronize()
        return float(start.elapsed_time(end)) / 1e3 / times

    return elapsed
