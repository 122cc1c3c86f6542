"""Where a model runs."""

import platform
import re
from functools import cache
from pathlib import Path

import torch

__all__ = ["device_name", "precision_of"]


@cache
def device_name(device: torch.device) -> str:
    """The name that belongs beside a time."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    if device.type != "cpu":
        return device.type
    cpuinfo = Path("/proc/cpuinfo")
    found = re.search(r"model name\s*:\s*(.+)", cpuinfo.read_text()) if cpuinfo.exists() else None
    return found[1].strip() if found else platform.processor() or platform.machine()


def precision_of(device: torch.device, dtype: torch.dtype) -> str:
    """How products are taken: "tf32" for float32 on tensor cores, otherwise "ieee"."""
    fast = torch.backends.cuda.matmul.allow_tf32 and torch.backends.cudnn.allow_tf32
    return "tf32" if device.type == "cuda" and dtype == torch.float32 and fast else "ieee"
