"""Where a model runs and in which layout, and how arrays reach it."""

import platform
import re
from functools import cache
from pathlib import Path

import numpy as np
import torch
from torch import nn

from lowrank_kit.models.layers import is_channels_last

__all__ = ["device_name", "inputs_for", "layout_of", "weight_of"]


def weight_of(model: nn.Module) -> torch.Tensor:
    """Any one weight of the model: it tells device and dtype. An empty float32 tensor where there is none."""
    return next(model.parameters(), torch.empty(0))


def layout_of(model: nn.Module) -> str:
    """`channels_last` where a convolution's weight is laid out so, else `contiguous`."""
    convolutions = (m for m in model.modules() if isinstance(m, nn.Conv2d))
    return "channels_last" if any(map(is_channels_last, convolutions)) else "contiguous"


def inputs_for(model: nn.Module, x: np.ndarray) -> torch.Tensor:
    """Inputs (n, ...) on the model's device, in its layout and, if they are floating, its dtype.

    Always a copy: a network that works in place must not change the data.
    """
    weight = weight_of(model)
    inputs = torch.from_numpy(np.array(x, order="C"))
    inputs = inputs.to(weight.device, weight.dtype if inputs.is_floating_point() else None)
    if inputs.ndim == 4 and layout_of(model) == "channels_last":
        return inputs.contiguous(memory_format=torch.channels_last)
    return inputs


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
