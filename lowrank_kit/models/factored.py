"""Layers that are trained in Tucker form: W = C x_1 U_1 x_2 U_2 ..., the bases U_i orthonormal.

The core and the bases are parameters, but only the core is meant to be stepped: the bases move by augmentation and
truncation (:mod:`lowrank_kit.methods.adaptive`), which keep them orthonormal. The forward pass never forms W.

linear   a matrix, outputs x inputs, in two modes
tucker   a convolution in two modes, outputs and inputs, the kernel left whole - or in four, the kernel's sides too
matrix   a convolution as a matrix, outputs x (inputs k k), in two modes
"""

from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import nn
from torch.nn import functional as F

from lowrank_kit.checks import InputError, check_finite, check_name
from lowrank_kit.maths.matrix import factors
from lowrank_kit.models.bases import mode_directions, mode_product, multi_mode_product, orthonormal_beyond
from lowrank_kit.models.blocks import empty_block, saves
from lowrank_kit.models.layers import (
    WALK,
    RowsLinear,
    channels_last,
    convolution_on,
    is_channels_last,
    linear_on,
    with_hooks_of,
)
from lowrank_kit.models.low_rank import filled, has_modes
from lowrank_kit.models.tucker import filled_tucker
from lowrank_kit.records import Factors, LayerPlan, TuckerFactors

__all__ = [
    "VIEWS",
    "Factored",
    "FactoredConv",
    "FactoredLinear",
    "FactoredMatrix",
    "FactoredRows",
    "View",
    "become",
    "factored_layer",
    "suited_view",
    "viewed",
]

View = Literal["tucker", "kernel", "matrix"]
VIEWS = ("tucker", "kernel", "matrix")


class Factored(nn.Module):
    """A weight as `core` (r_1, ..., r_d, rest) and orthonormal `bases` U_i (n_i, r_i) of its leading modes."""

    def __init__(self, layer: Any, core: torch.Tensor, bases: Sequence[torch.Tensor]):
        super().__init__()
        self.core = nn.Parameter(core.clone())
        self.bases = nn.ParameterList([nn.Parameter(basis.clone()) for basis in bases])
        bias = layer.bias
        self.bias = None if bias is None else nn.Parameter(bias.detach().clone(), requires_grad=bias.requires_grad)
        self.weight_shape = tuple(layer.weight.shape)
        # The sizes (n_i,) of the modes that have bases, which no rank can exceed.
        self.limits = tuple(basis.shape[0] for basis in bases)
        # How many truncations add up in the weight's error: a matrix has the same values in both of its modes.
        self.independent_modes = 1 if len(bases) == 2 == core.ndim else len(bases)

    @property
    def ranks(self) -> tuple[int, ...]:
        return tuple(basis.shape[1] for basis in self.bases)

    @property
    def n_dense(self) -> int:
        """Numbers in the weight this stands for."""
        return torch.Size(self.weight_shape).numel()

    @property
    def weight(self) -> torch.Tensor:
        """The weight that core and bases stand for, in the shape of the layer's."""
        return multi_mode_product(self.core, [*self.bases]).reshape(self.weight_shape)

    def n_factored(self, ranks: Sequence[int]) -> int:
        """Numbers stored at these ranks: the core's and every basis's."""
        rest = self.core.shape[len(self.bases) :].numel()
        return torch.Size(ranks).numel() * rest + sum(n * r for n, r in zip(self.limits, ranks, strict=True))

    @torch.no_grad()
    def directions(self) -> list[tuple[torch.Tensor, torch.Tensor]]:
        """Of every mode, the singular values (r_i,) of the core and its left singular vectors (r_i, r_i)."""
        return [mode_directions(self.core, mode) for mode in range(len(self.bases))]

    @torch.no_grad()
    def augment(self, gradients: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        """Widen every basis by its gradient (n_i, r_i), the weight unchanged.

        [U_i | dL/dU_i] spans [U_i | K_i - l dL/dK_i] for every l other than 0 (papers' K-step), since the two gradients
        differ by the invertible S_i of K_i = U_i S_i. Returns the maps M_i (r_i new, r_i old) with
        C new = C x_1 M_1 x_2 M_2 ..., by which an optimiser's moments are carried over.
        """
        widened = [
            torch.cat([basis, orthonormal_beyond(basis, gradient)], dim=1)
            for basis, gradient in zip(self.bases, gradients, strict=True)
        ]
        maps = [torch.eye(new.shape[1], old.shape[1]).to(old) for new, old in zip(widened, self.bases, strict=True)]
        self._become(multi_mode_product(self.core, maps), widened)
        return maps

    @torch.no_grad()
    def truncate(
        self, ranks: Sequence[int], directions: Sequence[tuple[torch.Tensor, torch.Tensor]]
    ) -> list[torch.Tensor]:
        """Keep the leading `ranks` of the core's own `directions`; returns the maps P_i^T (r_i new, r_i old)."""
        kept = [vectors[:, :rank].to(self.core) for (_, vectors), rank in zip(directions, ranks, strict=True)]
        maps = [part.mT for part in kept]
        self._become(
            multi_mode_product(self.core, maps), [basis @ part for basis, part in zip(self.bases, kept, strict=True)]
        )
        return maps

    def dense(self) -> Any:
        """The plain layer this stands for."""
        raise NotImplementedError

    @torch.no_grad()
    def plain(self) -> tuple[nn.Module, LayerPlan | None]:
        """Plain layers that compute the same, and their plan; the dense one and None where they would not be fewer."""
        layer, plan = self.dense(), self._plan()
        if not saves(layer, plan):
            return layer, None
        return self._filled(empty_block(layer, plan)), plan

    def _whole(self) -> nn.Parameter:
        return nn.Parameter(self.weight.detach())

    def _plan(self) -> LayerPlan:
        return LayerPlan(min(self.ranks), "svd")

    def _filled(self, block: Any) -> nn.Module:
        """A matrix's core is taken apart, so that both factors have the smaller of its ranks."""
        outer, inner = (basis.double().cpu().numpy() for basis in self.bases)
        core = factors(self.core.double().cpu().numpy())
        return filled(block, [Factors(outer @ core.U, core.S, core.Vh @ inner.T)])

    def _become(self, core: torch.Tensor, bases: Sequence[torch.Tensor]) -> None:
        """New values, of other sizes, for the same parameters: an optimiser knows them by identity."""
        for parameter, values in zip((self.core, *self.bases), (core, *bases), strict=True):
            become(parameter, values.contiguous())

    def extra_repr(self) -> str:
        return f"{' x '.join(map(str, self.weight_shape))}, ranks {self.ranks}"


class FactoredLinear(Factored):
    """y = U_1 C U_2^T x + b."""

    def dense(self) -> nn.Linear:
        return with_hooks_of(self, linear_on(self._whole(), self.bias, self))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        outer, inner = self.bases
        return F.linear(F.linear(F.linear(x, inner.mT), self.core), outer, self.bias)


class FactoredRows(FactoredLinear):
    """Computes only some of its outputs where asked to, as attention on a second sequence does."""

    def dense(self) -> nn.Linear:
        return with_hooks_of(self, linear_on(self._whole(), self.bias, self, RowsLinear))

    def forward(self, x: torch.Tensor, rows: slice = slice(None)) -> torch.Tensor:
        outer, inner = self.bases
        bias = None if self.bias is None else self.bias[rows]
        return F.linear(F.linear(F.linear(x, inner.mT), self.core), outer[rows], bias)


class _Walking(Factored):
    """A convolution, which goes over its input as the layer did."""

    def __init__(self, layer: nn.Conv2d, core: torch.Tensor, bases: Sequence[torch.Tensor]):
        super().__init__(layer, core, bases)
        self.walk = {name: getattr(layer, name) for name in WALK}
        self.is_last = is_channels_last(layer)
        # In a list: it has nothing to train and is no part of the network.
        self._like = [nn.Conv2d(1, 1, bias=False, device="meta", **self.walk)]

    def dense(self) -> nn.Conv2d:
        found: nn.Conv2d = convolution_on(self._whole(), self.bias, self, self.walk)
        return with_hooks_of(self, channels_last(found) if self.is_last else found)

    def _walk(self, x: torch.Tensor, kernel: torch.Tensor) -> torch.Tensor:
        return self._like[0]._conv_forward(x, kernel, None)


class FactoredConv(_Walking):
    """1 x 1 with U_2^T, k x k with the core (times the kernel's own bases where it has some), 1 x 1 with U_1."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        outer, inner, *_ = self.bases
        x = F.conv2d(x, inner.mT[:, :, None, None])
        return F.conv2d(self._walk(x, self._kernel()), outer[:, :, None, None], self.bias)

    def _kernel(self) -> torch.Tensor:
        kernel: torch.Tensor = self.core
        for mode, side in enumerate([*self.bases][2:], start=2):
            kernel = mode_product(kernel, side, mode)
        return kernel

    def _plan(self) -> LayerPlan:
        outputs, inputs, *_ = self.ranks
        return LayerPlan((outputs, inputs), "tucker")

    def _filled(self, block: Any) -> nn.Module:
        outer, inner, *_ = (basis.double().cpu().numpy() for basis in self.bases)
        return filled_tucker(block, TuckerFactors(self._kernel().double().cpu().numpy(), (outer, inner)))


class FactoredMatrix(_Walking):
    """k x k with U_2^T, 1 x 1 with the core and U_1: a convolution as matrix DLRT takes it."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        outer, inner = self.bases
        x = self._walk(x, inner.mT.reshape(-1, *self.weight_shape[1:]))
        return F.conv2d(F.conv2d(x, self.core[:, :, None, None]), outer[:, :, None, None], self.bias)


def become(parameter: torch.Tensor, values: torch.Tensor) -> None:
    """Give a parameter new values, of another size perhaps, and no gradient.

    What collects its gradients stays at the old size while anything holds on to a graph of the past, as the traceback
    of an interruption does; PyTorch makes a new one where the type changes.
    """
    parameter.grad = None
    if parameter.shape != values.shape:
        other = torch.float16 if values.dtype != torch.float16 else torch.float32
        parameter.data = torch.empty(0, dtype=other, device=values.device)
    parameter.data = values


def suited_view(layer: nn.Linear | nn.Conv2d, view: View) -> View:
    """The view, or "matrix" of a layer that is one: without a kernel there are no modes besides those of a matrix."""
    return view if has_modes(layer) else "matrix"


def viewed(layer: nn.Linear | nn.Conv2d, view: View) -> torch.Tensor:
    """The weight as the tensor whose leading modes get bases."""
    weight = layer.weight.detach()
    return weight.flatten(1) if view == "matrix" else weight


def factored_layer(
    layer: nn.Linear | nn.Conv2d, ranks: Sequence[int], view: View = "tucker", *, name: str = "layer"
) -> Factored:
    """A layer in factored form at these ranks: the truncated HOSVD of its weight.

    Parameters
    ----------
    ranks : one for each mode: outputs and inputs, and with view "kernel" its height and width
    view : how a convolution is taken; a linear layer and a 1 x 1 convolution are matrices whatever the view
    name : what a sentence about its weight calls it

    Raises InputError for ranks that the modes don't have, and for NaN or infinite weights.
    """
    check_name(view, VIEWS, name="view")
    check_finite(layer.weight.detach().double().cpu().numpy(), name=f"{name}.weight")
    view = suited_view(layer, view)
    tensor = viewed(layer, view)
    _check_ranks(ranks, tensor.shape[: 4 if view == "kernel" else 2])
    bases = [mode_directions(tensor, mode)[1][:, :rank].to(tensor) for mode, rank in enumerate(ranks)]
    core = multi_mode_product(tensor, [basis.mT for basis in bases])
    return with_hooks_of(layer, _kind(layer, view)(layer, core, bases)).train(layer.training)


def _kind(layer: nn.Linear | nn.Conv2d, view: View) -> Any:
    if isinstance(layer, nn.Linear):
        return FactoredRows if isinstance(layer, RowsLinear) else FactoredLinear
    return FactoredMatrix if view == "matrix" else FactoredConv


def _check_ranks(ranks: Sequence[int], limits: Sequence[int]) -> None:
    if len(ranks) != len(limits) or not all(1 <= r <= n for r, n in zip(ranks, limits, strict=True)):
        raise InputError(
            f"`ranks` must be one for each of the {len(limits)} modes, from 1 to their sizes {tuple(limits)}; "
            f"got {tuple(ranks)}."
        )
