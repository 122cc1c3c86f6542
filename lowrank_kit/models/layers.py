"""One layer as a matrix, and a matrix in two factors as layers."""

from collections import OrderedDict
from typing import Any, TypeGuard, TypeVar

import numpy as np
import torch
from torch import nn

from lowrank_kit.records import Factors

__all__ = ["Factorable", "as_matrix", "channels_last", "factorised", "is_factorable", "matrix_shape"]

Factorable = nn.Linear | nn.Conv2d
# How a convolution goes over its input.
WALK = ("kernel_size", "stride", "padding", "dilation", "padding_mode")

Module = TypeVar("Module", bound=nn.Module)


def is_factorable(layer: nn.Module) -> TypeGuard[Factorable]:
    """Exactly nn.Linear, or nn.Conv2d without groups: a subclass may mean something else by its weight."""
    return type(layer) is nn.Linear or (type(layer) is nn.Conv2d and layer.groups == 1)


def matrix_shape(layer: Factorable) -> tuple[int, int]:
    """(m, n) = outputs x inputs; a convolution is C_out x C_in k_h k_w."""
    return layer.weight.shape[0], layer.weight[0].numel()


def as_matrix(layer: Factorable) -> np.ndarray:
    """The weight as outputs x inputs, float32 or float64."""
    weight = layer.weight.detach().flatten(1).cpu()
    return weight.numpy() if weight.dtype in (torch.float32, torch.float64) else weight.float().numpy()


def factorised(layer: Factorable, factors: Factors) -> nn.Sequential:
    """`reduce` (inputs -> rank) and `expand` (rank -> outputs, with the bias) in the layer's dtype and device.

    A convolution keeps kernel, stride, padding and dilation in `reduce`; `expand` is 1 x 1. Each takes the
    square root of the singular values, so that both are of one scale when trained on.
    """
    scale = np.sqrt(factors.S)
    reduce_matrix, expand_matrix = scale[:, None] * factors.Vh, factors.U * scale
    pair: tuple[Factorable, Factorable]
    pair = _conv_pair(layer, factors.rank) if isinstance(layer, nn.Conv2d) else _linear_pair(layer, factors.rank)
    with torch.no_grad():
        for weight, matrix in ((pair[0].weight, reduce_matrix), (pair[1].weight, expand_matrix)):
            weight.copy_(torch.from_numpy(np.ascontiguousarray(matrix)).reshape(weight.shape))
            weight.requires_grad_(layer.weight.requires_grad)
        if layer.bias is not None and pair[1].bias is not None:
            pair[1].bias.copy_(layer.bias)
            pair[1].bias.requires_grad_(layer.bias.requires_grad)
    block = nn.Sequential(OrderedDict(reduce=pair[0], expand=pair[1]))
    return block.train(layer.training)


def _linear_pair(layer: nn.Linear, rank: int) -> tuple[nn.Linear, nn.Linear]:
    place = _place(layer)
    return (
        nn.Linear(layer.in_features, rank, bias=False, **place),
        nn.Linear(rank, layer.out_features, bias=layer.bias is not None, **place),
    )


def _conv_pair(layer: nn.Conv2d, rank: int) -> tuple[nn.Conv2d, nn.Conv2d]:
    place = _place(layer)
    walk: dict[str, Any] = {name: getattr(layer, name) for name in WALK}
    reduce = nn.Conv2d(layer.in_channels, rank, bias=False, **walk, **place)
    expand = nn.Conv2d(rank, layer.out_channels, 1, bias=layer.bias is not None, **place)
    if is_channels_last(layer):
        channels_last(reduce), channels_last(expand)
    return reduce, expand


def _place(layer: Factorable) -> dict[str, Any]:
    return {"device": layer.weight.device, "dtype": layer.weight.dtype}


def channels_last(module: Module) -> Module:
    """The module with its convolution weights laid out channels last, which CPUs and tensor cores are faster with."""
    # PyTorch's types lack this form of `to`.
    return module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def is_channels_last(layer: nn.Module) -> bool:
    """Whether a convolution's weight is laid out channels last (and not also contiguous, as 1 x 1 kernels are)."""
    weight = layer.weight
    if not isinstance(weight, torch.Tensor) or weight.ndim != 4:
        return False
    return weight.is_contiguous(memory_format=torch.channels_last) and not weight.is_contiguous()
