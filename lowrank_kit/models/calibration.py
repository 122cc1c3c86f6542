"""What a network's layers put out on data, for the method that looks at it."""

from collections.abc import Callable, Collection
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from lowrank_kit.models.inventory import factorable_layers
from lowrank_kit.models.low_rank import groups_of
from lowrank_kit.models.replacement import replaced
from lowrank_kit.models.running import batches, evaluating, inputs_for

__all__ = ["output_moments"]


def output_moments(model: nn.Module, names: Collection[str], x: np.ndarray) -> dict[str, np.ndarray]:
    """{layer: sum of y y^T over all examples and positions (groups, m, m)}, y = W h the outputs less the bias, float64.

    x (n, ...) are inputs of the network. With M the moment of the outputs, the mean square error of a rank-k map on
    these data is least for U_k U_k^T W, U the leading eigenvectors of M: the same as truncating W R, where R R^T is
    the moment of the inputs h, without ever forming R or its inverse. A layer that is never run has moment zero.
    """
    layers = {name: layer for name, layer in factorable_layers(model).items() if name in names}
    opened = replaced(model, layers, shared=True)
    sums = {name: np.zeros((groups_of(layer), *_square(layer))) for name, layer in layers.items()}

    def add(name: str) -> Callable[[Any, Any, Any, torch.Tensor], None]:
        def hook(layer: Any, args: Any, kwargs: Any, output: torch.Tensor) -> None:
            y = _outputs(layer, next(iter((*args, *kwargs.values()))), output)
            sums[name] += (y @ y.mT).double().cpu().numpy()

        return hook

    for name in layers:
        opened.get_submodule(name).register_forward_hook(add(name), with_kwargs=True)
    for batch in batches(x):
        with evaluating(opened):
            opened(inputs_for(opened, batch))
    return sums


def _square(layer: Any) -> tuple[int, int]:
    size = layer.weight.shape[0] // groups_of(layer)
    return size, size


def _outputs(layer: Any, given: torch.Tensor, output: torch.Tensor) -> torch.Tensor:
    """y (groups, m, positions) in float32 or float64: channels lie in the second axis or, if linear, in the last."""
    if isinstance(layer, nn.Linear):
        rows = F.linear(given, layer.weight)  # all of them, also where attention asked for some
        return _precise(rows).reshape(-1, rows.shape[-1]).T[None]
    if output.ndim < layer.weight.ndim:  # one example without a batch
        output = output[None]
    y = output if layer.bias is None else output - layer.bias.reshape(-1, *[1] * (output.ndim - 2))
    return _precise(y).transpose(0, 1).flatten(1).unflatten(0, (groups_of(layer), -1))


def _precise(y: torch.Tensor) -> torch.Tensor:
    return y if y.dtype in (torch.float32, torch.float64) else y.float()
