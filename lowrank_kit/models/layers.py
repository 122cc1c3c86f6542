"""One layer as a matrix, and a matrix in two factors as layers."""

from collections import OrderedDict
from typing import TypeGuard

import numpy as np
import torch
from torch import nn

from lowrank_kit.records import Factors

__all__ = ["Factorable", "as_matrix", "factorised", "is_factorable", "matrix_shape"]

Factorable = nn.Linear | nn.Conv2d


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
    pair = _linear_pair(layer, factors.rank) if type(layer) is nn.Linear else _conv_pair(layer, factors.rank)
    with torch.no_grad():
        for part, matrix in zip(pair, (reduce_matrix, expand_matrix), strict=True):
            part.weight.copy_(torch.from_numpy(np.ascontiguousarray(matrix)).reshape(part.weight.shape))
        if layer.bias is not None:
            pair[1].bias.copy_(layer.bias)
    block = nn.Sequential(OrderedDict(reduce=pair[0], expand=pair[1]))
    return block.train(layer.training)


def _linear_pair(layer, rank: int):
    place = {"device": layer.weight.device, "dtype": layer.weight.dtype}
    return (
        nn.Linear(layer.in_features, rank, bias=False, **place),
        nn.Linear(rank, layer.out_features, bias=layer.bias is not None, **place),
    )


def _conv_pair(layer, rank: int):
    place = {"device": layer.weight.device, "dtype": layer.weight.dtype}
    reduce = nn.Conv2d(
        layer.in_channels,
        rank,
        layer.kernel_size,
        stride=layer.stride,
        padding=layer.padding,
        dilation=layer.dilation,
        padding_mode=layer.padding_mode,
        bias=False,
        **place,
    )
    expand = nn.Conv2d(rank, layer.out_channels, 1, bias=layer.bias is not None, **place)
    if is_channels_last(layer):
        return tuple(part.to(memory_format=torch.channels_last) for part in (reduce, expand))
    return reduce, expand


def is_channels_last(layer: nn.Module) -> bool:
    """Whether a convolution's weight is laid out channels last (and not also contiguous, as 1 x 1 kernels are)."""
    weight = layer.weight
    if not isinstance(weight, torch.Tensor) or weight.ndim != 4:
        return False
    return weight.is_contiguous(memory_format=torch.channels_last) and not weight.is_contiguous()
