"""Parameters, bytes and multiply-adds, from closed formulas."""

from collections import Counter
from collections.abc import Callable
from math import prod
from typing import Any

import numpy as np
import torch
from torch import nn

from lowrank_kit.measurement.placement import inputs_for
from lowrank_kit.measurement.quality import evaluating

__all__ = ["macs", "n_params", "positions", "size_bytes"]

CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)


def n_params(model: nn.Module) -> int:
    """Parameters, a shared one counted once."""
    return sum(p.numel() for p in model.parameters())


def size_bytes(model: nn.Module) -> int:
    """Bytes of parameters and buffers."""
    return sum(t.numel() * t.element_size() for t in (*model.parameters(), *model.buffers()))


def positions(model: nn.Module, x: np.ndarray) -> dict[str, int]:
    """{layer: how often its kernel or matrix is applied to one example} for the linear and convolution layers.

    x (n, ...) holds example inputs, of which the first is run. A layer used twice counts both uses; one that is
    never reached is left out.
    """
    counts: Counter[str] = Counter()

    def count(name: str) -> Callable[[nn.Module, Any, torch.Tensor], None]:
        def hook(layer: nn.Module, _: Any, output: torch.Tensor) -> None:
            # Channels are the second axis of a convolution's output and the last of a linear layer's.
            space = output.shape[2:] if isinstance(layer, CONVOLUTIONS) else output.shape[1:-1]
            counts[name] += prod(space)

        return hook

    layers = {name: m for name, m in model.named_modules() if isinstance(m, (nn.Linear, *CONVOLUTIONS))}
    hooks = [layer.register_forward_hook(count(name)) for name, layer in layers.items()]
    try:
        with evaluating(model):
            model(inputs_for(model, x[:1]))
    finally:
        for hook in hooks:
            hook.remove()
    return dict(counts)


def macs(model: nn.Module, x: np.ndarray) -> int:
    """Multiply-adds of the linear and convolution layers for one example: sum of positions x weights.

    A convolution applies its C_out x C_in/groups x k_h x k_w numbers at every output position, a linear layer
    its m x n numbers at every position before the last axis; biases, norms and pooling are not counted.
    """
    modules = dict(model.named_modules())
    return sum(count * modules[name].weight.numel() for name, count in positions(model, x).items())
