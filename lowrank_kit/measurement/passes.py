"""One forward pass as it is repeated for the clock: eager, replayed as a CUDA graph, or compiled."""

import time
from collections.abc import Callable
from functools import partial

import torch
from torch import nn

from lowrank_kit.checks import InputError, check_name
from lowrank_kit.records import MODES

__all__ = ["Pass", "prepared"]

Pass = Callable[[], object]
WARM_UP = 3
# Networks of one class, each in other ranks, are versions of one code to the compiler, which gives up after eight.
MOST_VERSIONS = 256


def prepared(model: nn.Module, inputs: torch.Tensor, mode: str) -> tuple[Pass, float]:
    """A warmed-up pass of the model on its inputs, and the seconds that capturing or compiling it took.

    Raises InputError for a mode there is not, a graph without a CUDA device, a compiler that fails, and inputs that do
    not fit into the device's memory.
    """
    check_name(mode, MODES, name="mode")
    start = time.perf_counter()
    try:
        ready = PREPARATIONS[mode](model, inputs)
        if inputs.device.type != "cpu" and mode != "eager":
            torch.accelerator.synchronize(inputs.device)
        setup_s = 0.0 if mode == "eager" else time.perf_counter() - start
        for _ in range(WARM_UP):
            ready()
    except torch.OutOfMemoryError:
        raise InputError(
            f"a batch of {len(inputs)} does not fit into the memory of {inputs.device}; give a smaller `batch`."
        ) from None
    return ready, setup_s


def _eager(model: nn.Module, inputs: torch.Tensor) -> Pass:
    return partial(model, inputs)


def _captured(model: nn.Module, inputs: torch.Tensor) -> Pass:
    """The kernels of a pass, launched by one call."""
    if inputs.device.type != "cuda":
        raise InputError(f'`mode="graph"` needs a CUDA device; the model is on {inputs.device}.')
    side = torch.cuda.Stream(inputs.device)
    side.wait_stream(torch.cuda.current_stream(inputs.device))
    with torch.cuda.stream(side):  # what libraries set up at their first call can't be captured
        for _ in range(WARM_UP):
            model(inputs)
    torch.cuda.current_stream(inputs.device).wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        model(inputs)
    return graph.replay


def _compiled(model: nn.Module, inputs: torch.Tensor) -> Pass:
    """The pass by torch.compile, for these inputs alone."""
    compiled = torch.compile(model, dynamic=False)
    try:
        with torch._dynamo.config.patch(recompile_limit=MOST_VERSIONS):
            compiled(inputs)
    except torch.OutOfMemoryError:
        raise
    except Exception as fault:  # whatever the compiler, or the compiler below it, may raise
        reason = next(iter(str(fault).splitlines()), type(fault).__name__)
        raise InputError(f'`mode="compiled"` failed on this machine: {reason}') from None
    return partial(compiled, inputs)


PREPARATIONS: dict[str, Callable[[nn.Module, torch.Tensor], Pass]] = {
    "eager": _eager,
    "graph": _captured,
    "compiled": _compiled,
}
