"""What a network's layers put out on data, for the method that looks at it."""

from collections.abc import Collection
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from lowrank_kit.models.inventory import inventory
from lowrank_kit.models.low_rank import groups_of
from lowrank_kit.models.replacement import replaced
from lowrank_kit.models.running import watch

__all__ = ["output_moments"]


def output_moments(model: nn.Module, names: Collection[str], x: np.ndarray) -> dict[str, np.ndarray]:
    """{layer: sum of y y^T over all examples and positions (groups, m, m)}, y = W h the outputs less the bias, float64.

    x (n, ...) are inputs of the network. With M the moment of the outputs, the mean square error of a rank-k map on
    these data is least for U_k U_k^T W, U the leading eigenvectors of M: the same as truncating W R, where R R^T is
    the moment of the inputs h, without ever forming R or its inverse. Layers that share a weight are summed; a layer
    that is never run has moment zero; attention on a second sequence counts as if it asked for all rows of a joint W.
    """
    users = {n: site for n, site in inventory(model).items() if (site.twin_of or n) in names}
    layers = {name: site.layer for name, site in users.items() if site.layer is not None}
    opened = replaced(model, layers, shared=True)
    sums = {name: np.zeros((groups_of(layer), *_square(layer))) for name, layer in layers.items() if name in names}

    def add(name: str, layer: Any, given: torch.Tensor, _: torch.Tensor) -> None:
        y = _outputs(layer, given)
        sums[name] += (y @ y.mT).cpu().numpy()

    watch(opened, {name: partial(add, users[name].twin_of or name) for name in layers}, x)
    return sums


def _square(layer: Any) -> tuple[int, int]:
    size = layer.weight.shape[0] // groups_of(layer)
    return size, size


def _outputs(layer: Any, given: torch.Tensor) -> torch.Tensor:
    """y = W h (groups, m, positions), computed anew, since a hook may have changed what was put out."""
    if isinstance(layer, nn.Linear):
        rows = F.linear(given, layer.weight)  # all of them, also where attention asked for some
        return _precise(rows).reshape(-1, rows.shape[-1]).T[None]
    maps = layer._conv_forward(given, layer.weight, None)
    if maps.ndim < layer.weight.ndim:  # one example without a batch
        maps = maps[None]
    return _precise(maps).transpose(0, 1).flatten(1).unflatten(0, (groups_of(layer), -1))


def _precise(y: torch.Tensor) -> torch.Tensor:
    """In float64, where the device has it: rounding would show directions that are not in the data."""
    return y.float() if y.device.type == "mps" else y.double()
