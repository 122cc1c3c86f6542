"""A convolution in Tucker-2 form: 1 x 1, k x k and 1 x 1, three plain convolutions in its place.

Outputs and inputs each get a basis, the kernel is left whole (Kim et al. 2016). The first and last convolutions cost
their channels at every position, so a 1 x 1 convolution, which is a matrix, is never worth it, and groups have no
channels in common to find a basis for.
"""

from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

from lowrank_kit.models.layers import WALK, Convolution, Factorable, plain_type
from lowrank_kit.models.low_rank import LowRank, on_the_side, without_values
from lowrank_kit.records import TuckerFactors

__all__ = ["Tucker", "as_tensor", "filled_tucker", "tucker"]


class Tucker(LowRank):
    """`reduce` (inputs -> r_in, 1 x 1), `core` (r_in -> r_out, walking as the layer did) and `expand` (1 x 1)."""

    core: Any

    def __init__(self, reduce: nn.Module, core: nn.Module, expand: nn.Module):
        nn.Sequential.__init__(self, OrderedDict(reduce=reduce, core=core, expand=expand))

    @property
    def ranks(self) -> tuple[int, int]:
        return self.core.out_channels, self.core.in_channels

    @property
    def weight(self) -> torch.Tensor:
        outer, inner = (part.weight.flatten(1) for part in (self.expand, self.reduce))
        return torch.einsum("or,rs...,si->oi...", outer, self.core.weight, inner)


def tucker(layer: Convolution, ranks: Sequence[int]) -> Tucker:
    """The block of these ranks, outputs first, in the layer's dtype, device, layout and mode, with zero factors."""
    outputs, inputs = ranks
    kind, place = plain_type(layer), without_values(layer)
    walk = {name: getattr(layer, name) for name in WALK}
    block = Tucker(
        kind(layer.in_channels, inputs, 1, bias=False, **place),
        kind(inputs, outputs, bias=False, **walk, **place),
        kind(outputs, layer.out_channels, 1, bias=layer.bias is not None, **place),
    )
    return on_the_side(layer, block)


def as_tensor(layer: Factorable) -> np.ndarray:
    """The weight (outputs, inputs, *kernel), float32 or float64."""
    weight = layer.weight.detach().cpu()
    return (weight if weight.dtype in (torch.float32, torch.float64) else weight.float()).numpy()


def filled_tucker(block: Tucker, factors: TuckerFactors) -> Tucker:
    """The block with its factors, of the block's ranks.

    The three get the same norm, so that they are of one scale when trained on.
    """
    outer, inner = factors.factors
    parts = {"expand": outer, "core": factors.core, "reduce": inner.T}
    norms = {name: float(np.linalg.norm(values)) for name, values in parts.items()}
    shared = np.prod(list(norms.values())) ** (1 / 3)
    with torch.no_grad():
        for name, values in parts.items():
            scaled = values * (shared / norms[name] if shared > 0 else 1.0)
            weight = getattr(block, name).weight
            weight.copy_(torch.from_numpy(np.ascontiguousarray(scaled)).reshape(weight.shape))
    return block
