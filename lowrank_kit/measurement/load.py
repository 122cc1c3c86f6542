"""Whether the machine is busy with something else while a time is taken."""

import time
from typing import Any

import numpy as np
import psutil
import torch

__all__ = ["Load"]


class Load:
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
