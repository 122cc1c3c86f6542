"""Parameters, bytes and multiply-adds, from closed formulas."""

from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import nn

from lowrank_kit.measurement.placement import inputs_for
from lowrank_kit.measurement.quality import evaluating

__all__ = ["layer_params", "macs", "n_params", "positions", "size_bytes"]

# The layers that parameters and multiply-adds are budgeted over.
COUNTED = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)


def n_params(model: nn.Module) -> int:
    """Parameters, a shared one counted once."""
    return sum(p.numel() for p in model.parameters())


def layer_params(model: nn.Module) -> int:
    """Parameters of the linear and convolution layers, biases included: what a budget is a share of."""
    parameters = {id(p): p.numel() for layer in _counted(model).values() for p in layer.parameters()}
    return sum(parameters.values())


def size_bytes(model: nn.Module) -> int:
    """Bytes of parameters and buffers."""
    return sum(t.numel() * t.element_size() for t in (*model.parameters(), *model.buffers()))


def positions(model: nn.Module, x: np.ndarray) -> dict[str, int]:
    """{layer: how often its kernel or matrix is applied to one example} for the linear and convolution layers.

    x (n, ...) holds example inputs, of which the first is run. A layer used twice counts both uses; one that is
    never reached is left out.
    """
    counts: Counter[str] = Counter()

    def count(name: str) -> Callable[[Any, Any, torch.Tensor], None]:
        def hook(layer: Any, _: Any, output: torch.Tensor) -> None:
            # One example is run, so that all of the output belongs to it, wherever a network puts its positions.
            counts[name] += output.numel() // layer.weight.shape[0]

        return hook

    layers = _counted(model)
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
    layers = _counted(model)
    return sum(count * layers[name].weight.numel() for name, count in positions(model, x).items())


def _counted(model: nn.Module) -> dict[str, Any]:
    return {name: module for name, module in model.named_modules() if isinstance(module, COUNTED)}
