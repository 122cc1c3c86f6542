"""A layer as matrices, one for each group, and a layer of low rank in its place.

Three methods, each with one rank (a fourth has two: :mod:`lowrank_kit.models.tucker`):

svd      the best approximation of the weight, outputs x inputs; a convolution becomes k x k at its own stride and
         then 1 x 1, so that behind a stride the second one has few positions to work on
spatial  a two-dimensional convolution as k x 1 and then 1 x k (Jaderberg et al. 2014; closed form: Tai et al. 2016)
aware    the shape of svd, with directions ordered by how much of the layer's outputs on data lies there
"""

import math
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any, TypeVar

import numpy as np
import torch
from torch import nn

from lowrank_kit.models.layers import (
    WALK,
    Factorable,
    RowsLinear,
    channels_last,
    is_channels_last,
    plain_type,
    with_hooks_of,
)
from lowrank_kit.records import Factors

__all__ = [
    "LowRank",
    "as_matrices",
    "as_weight",
    "filled",
    "groups_of",
    "has_modes",
    "low_rank",
    "matrix_shape",
    "methods_for",
    "on_the_side",
    "suited",
    "without_values",
]

Block = TypeVar("Block", bound="LowRank")


class LowRank(nn.Sequential):
    """`reduce` (inputs -> rank) and `expand` (rank -> outputs, with the bias), in place of one layer.

    `weight`, `bias` and the sizes are there for networks that read those of their layers: what they compute stays
    right, though a weight put together anew for every pass saves no time.
    """

    reduce: Any
    expand: Any

    def __init__(self, reduce: nn.Module, expand: nn.Module):
        super().__init__(OrderedDict(reduce=reduce, expand=expand))

    @property
    def weight(self) -> torch.Tensor:
        """The weight that the two factors stand for, in the shape of the layer they replace."""
        groups = getattr(self.reduce, "groups", 1)
        first, second = (factor.weight.unflatten(0, (groups, -1)) for factor in (self.reduce, self.expand))
        return torch.einsum("gor...,grc...->goc...", second, first).flatten(0, 1)

    @property
    def bias(self) -> torch.Tensor | None:
        return self.expand.bias

    @property
    def in_features(self) -> int:
        return self.reduce.in_features

    @property
    def out_features(self) -> int:
        return self.expand.out_features

    @property
    def in_channels(self) -> int:
        return self.reduce.in_channels

    @property
    def out_channels(self) -> int:
        return self.expand.out_channels


def groups_of(layer: Factorable) -> int:
    """How many matrices a layer is: a convolution in groups has one for each."""
    return getattr(layer, "groups", 1)


def methods_for(layer: Factorable) -> tuple[str, ...]:
    """The methods that a layer can be factorised by."""
    more = ("spatial",) if isinstance(layer, nn.Conv2d) else ()
    return ("svd", "aware", *more, *(("tucker",) if has_modes(layer) else ()))


def suited(layer: Factorable, method: str) -> str:
    """The method, or "svd" where it has nothing to work on.

    A kernel with one side has no two to take apart, and without a kernel or with groups there are no modes besides
    those of a matrix.
    """
    sides = layer.kernel_size if isinstance(layer, nn.Conv2d) else ()
    fits = {"spatial": sum(side > 1 for side in sides) > 1, "tucker": has_modes(layer)}
    return method if fits.get(method, True) else "svd"


def has_modes(layer: Factorable) -> bool:
    """Whether the weight is a tensor at heart: a convolution without groups, with a kernel larger than one."""
    return not isinstance(layer, nn.Linear) and layer.groups == 1 and math.prod(layer.kernel_size) > 1


def matrix_shape(layer: Factorable, method: str = "svd") -> tuple[int, int]:
    """(m, n) of one group: C_out x C_in k_h k_w, or for the spatial method C_out k_w x C_in k_h."""
    outputs, (inputs, *kernel) = layer.weight.shape[0] // groups_of(layer), layer.weight.shape[1:]
    if method == "spatial":
        return outputs * kernel[1], inputs * kernel[0]
    return outputs, inputs * math.prod(kernel)


def as_matrices(layer: Factorable, method: str = "svd") -> np.ndarray:
    """The weight as a stack (groups, m, n), float32 or float64."""
    weight = layer.weight.detach().cpu()
    if weight.dtype not in (torch.float32, torch.float64):
        weight = weight.float()
    parts = weight.unflatten(0, (groups_of(layer), -1))
    if method == "spatial":
        parts = parts.permute(0, 1, 4, 2, 3)
    return parts.reshape(groups_of(layer), *matrix_shape(layer, method)).numpy()


def as_weight(matrices: np.ndarray, layer: Factorable, method: str = "svd") -> torch.Tensor:
    """A stack (groups, m, n) in the shape, dtype and device of the layer's weight."""
    values = torch.from_numpy(np.ascontiguousarray(matrices)).to(layer.weight)
    if method == "spatial":
        inputs, height, width = layer.weight.shape[1:]
        values = values.unflatten(2, (inputs, height)).unflatten(1, (-1, width)).permute(0, 1, 3, 4, 2)
    return values.reshape(layer.weight.shape)


def low_rank(layer: Factorable, method: str, rank: int) -> LowRank:
    """The block of this rank in the layer's dtype, device, layout and mode, with the layer's hooks and zero factors."""
    return on_the_side(layer, LowRank(*(_spatial_pair if method == "spatial" else _pair)(layer, rank)))


def on_the_side(layer: Factorable, block: Block) -> Block:
    """A block made `without_values`, now with zero factors, the layer's bias, and all that goes along with a layer."""
    block.to_empty(device=layer.weight.device)
    with torch.no_grad():
        factor: Any
        for factor in block:
            factor.weight.zero_().requires_grad_(layer.weight.requires_grad)
        if layer.bias is not None:
            block.expand.bias.copy_(layer.bias).requires_grad_(layer.bias.requires_grad)
    if is_channels_last(layer):
        channels_last(block)
    return with_hooks_of(layer, block).train(layer.training)


def without_values(layer: Factorable) -> dict[str, Any]:
    """Where a block is made: initial values would be overwritten, and would draw from the caller's random numbers."""
    return {"device": "meta", "dtype": layer.weight.dtype}


def filled(block: LowRank, factors: Sequence[Factors]) -> LowRank:
    """The block with its factors, one for each group, of the block's rank.

    Each takes the square root of the singular values, so that both are of one scale when trained on.
    """
    scales = [np.sqrt(part.S) for part in factors]
    reduce = np.stack([scale[:, None] * part.Vh for scale, part in zip(scales, factors, strict=True)])
    expand = np.stack([part.U * scale for scale, part in zip(scales, factors, strict=True)])
    width = block.expand.weight.shape[-1] if block.expand.weight.ndim == 4 else 1
    if width > 1:  # rows of U are outputs x k_w
        expand = expand.reshape(len(factors), -1, width, expand.shape[2]).swapaxes(2, 3)
    with torch.no_grad():
        for weight, values in ((block.reduce.weight, reduce), (block.expand.weight, expand)):
            weight.copy_(torch.from_numpy(np.ascontiguousarray(values)).reshape(weight.shape))
    return block


def _pair(layer: Any, rank: int) -> tuple[nn.Module, nn.Module]:
    place, bias = without_values(layer), layer.bias is not None
    if isinstance(layer, nn.Linear):
        expand = RowsLinear if isinstance(layer, RowsLinear) else nn.Linear
        first = nn.Linear(layer.in_features, rank, bias=False, **place)
        return first, expand(rank, layer.out_features, bias=bias, **place)
    kind, middle, grouped = plain_type(layer), rank * layer.groups, {"groups": layer.groups, **place}
    walk = {name: getattr(layer, name) for name in WALK}
    return (
        kind(layer.in_channels, middle, bias=False, **walk, **grouped),
        kind(middle, layer.out_channels, 1, bias=bias, **grouped),
    )


def _spatial_pair(layer: Any, rank: int) -> tuple[nn.Conv2d, nn.Conv2d]:
    """Each of the two goes over one axis as the layer does, and leaves the other alone."""
    middle, shared = (
        rank * layer.groups,
        {"groups": layer.groups, "padding_mode": layer.padding_mode, **without_values(layer)},
    )
    down, across = _along(layer, 0), _along(layer, 1)
    return (
        nn.Conv2d(layer.in_channels, middle, bias=False, **down, **shared),
        nn.Conv2d(middle, layer.out_channels, bias=layer.bias is not None, **across, **shared),
    )


def _along(layer: nn.Conv2d, axis: int) -> dict[str, Any]:
    still = {"kernel_size": 1, "stride": 1, "padding": 0, "dilation": 1}
    return {name: _on_axis(getattr(layer, name), axis, other) for name, other in still.items()}


def _on_axis(value: Any, axis: int, other: int) -> Any:
    if isinstance(value, str):  # padding "same" or "valid" suits a kernel of 1 too
        return value
    return (value[0], other) if axis == 0 else (other, value[1])
