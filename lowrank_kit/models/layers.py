"""Which layers are matrices at heart, and the plain layer that each of them computes as."""

import copy
import inspect
from collections.abc import Mapping
from typing import Any, TypeVar

import torch
from torch import nn
from torch.nn.parameter import is_lazy
from torch.nn.utils import prune
from torch.nn.utils.parametrize import is_parametrized, type_before_parametrizations
from torch.nn.utils.spectral_norm import SpectralNorm
from torch.nn.utils.weight_norm import WeightNorm

__all__ = [
    "HOOKS",
    "WALK",
    "Convolution",
    "Factorable",
    "RowsLinear",
    "channels_last",
    "convolution_on",
    "has_last_strides",
    "is_channels_last",
    "is_computed",
    "is_recomputed",
    "is_quantised",
    "linear_on",
    "plain_layer",
    "plain_type",
    "refusal",
    "with_hooks_of",
]


class RowsLinear(nn.Linear):
    """nn.Linear that computes only some of its outputs where asked to, as attention on a second sequence does."""

    def forward(self, x: torch.Tensor, rows: slice = slice(None)) -> torch.Tensor:
        return nn.functional.linear(x, self.weight[rows], None if self.bias is None else self.bias[rows])


Convolution = nn.Conv1d | nn.Conv2d | nn.Conv3d
Factorable = nn.Linear | Convolution

PLAIN = (RowsLinear, nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)
# How a convolution goes over its input.
WALK = ("kernel_size", "stride", "padding", "dilation", "padding_mode")
FLOATING = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
# The hooks by which older PyTorch code computes a weight before each pass.
COMPUTING = (WeightNorm, SpectralNorm, prune.BasePruningMethod)
# Where a module keeps the hooks around its forward pass.
HOOKS = tuple(name for name in vars(nn.Module()) if name.startswith("_forward_"))

Module = TypeVar("Module", bound=nn.Module)


def refusal(module: nn.Module) -> str | None:
    """Why a module that holds a matrix can't be factorised; None where it can."""
    if is_quantised(module):
        return "quantised: factorise the network before it is quantised"
    if _is_patched(module):
        return "its forward pass was replaced by another"
    if plain_type(module) is None and not _is_transposed(module):
        return f"only linear and convolution layers are factorised, not {type(module).__name__}"
    weight = _weight(module)
    if is_lazy(weight):
        return "its size is not known before the network is first run"
    if not isinstance(weight, torch.Tensor) or type(weight) not in (torch.Tensor, nn.Parameter):
        return f"its weight is no plain tensor but {type(weight).__name__}"
    if weight.layout is not torch.strided:
        return "its weight is stored sparse"
    if weight.dtype not in FLOATING:
        return f"its weight is of type {str(weight.dtype).removeprefix('torch.')}"
    if weight.numel() == 0:
        return "its weight is empty"
    return "its weight holds no values (meta device)" if weight.is_meta else None


def plain_layer(module: Any) -> Factorable:
    """The nn.Linear or convolution that a module without a `refusal` computes as, on the same tensors where it can.

    A weight that is computed - by a parametrisation, weight or spectral norm, pruning - is taken as it is in eval
    mode, and the layer of transformers that keeps its weight as inputs x outputs is turned over.
    """
    if _is_transposed(module):
        return with_hooks_of(module, linear_on(module.weight.T, module.bias, module))
    if is_computed(module):
        return with_hooks_of(module, _folded(module))
    return module


def channels_last(module: Module) -> Module:
    """The module with its convolution weights laid out channels last, which CPUs and tensor cores are faster with."""
    # PyTorch's types lack this form of `to`.
    return module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def is_channels_last(layer: nn.Module) -> bool:
    """Whether a convolution's weight is laid out channels last, also with one input channel or a kernel of 1 x 1."""
    return isinstance(layer.weight, torch.Tensor) and has_last_strides(layer.weight)


def has_last_strides(tensor: torch.Tensor) -> bool:
    """Whether a tensor's strides are those of channels last, also where its sizes leave both layouts open.

    PyTorch chooses kernels by strides, whose last bits differ.
    """
    if tensor.ndim != 4:
        return False
    last = torch.empty(tensor.shape, device="meta", memory_format=torch.channels_last).stride()
    return tensor.stride() == last != torch.empty(tensor.shape, device="meta").stride()


def with_hooks_of(source: nn.Module, target: Module) -> Module:
    """The target with the forward hooks of the source, except those that compute its weight."""
    for name in HOOKS:
        hooks = vars(source)[name].items()
        vars(target)[name].update({key: hook for key, hook in hooks if not isinstance(hook, COMPUTING)})
    return target


def linear_on(weight: torch.Tensor, bias: torch.Tensor | None, source: nn.Module, kind: Any = nn.Linear) -> nn.Linear:
    """A linear layer on given tensors (m, n) and (m,), without a copy, in the mode of `source`."""
    return _on(weight, bias, source, kind(weight.shape[1], weight.shape[0], bias=False, device="meta"))


def convolution_on(
    weight: torch.Tensor,
    bias: torch.Tensor | None,
    source: nn.Module,
    walk: Mapping[str, Any],
    *,
    groups: int = 1,
    kind: Any = nn.Conv2d,
) -> Any:
    """A convolution on given tensors (outputs, inputs / groups, *kernel) and (outputs,), without a copy.

    `walk` is how it goes over its input; it stands in the mode of `source`.
    """
    sizes = weight.shape[1] * groups, weight.shape[0]
    return _on(weight, bias, source, kind(*sizes, groups=groups, bias=False, device="meta", **walk))


def _on(weight: torch.Tensor, bias: torch.Tensor | None, source: nn.Module, layer: Any) -> Any:
    layer.weight, layer.bias = _parameter(weight), None if bias is None else _parameter(bias)
    return layer.train(source.training)


def _parameter(tensor: torch.Tensor) -> nn.Parameter:
    """The tensor itself where it is a parameter, so that ties stay ties."""
    if isinstance(tensor, nn.Parameter):
        return tensor
    return nn.Parameter(tensor.detach(), requires_grad=tensor.requires_grad)


def plain_type(module: nn.Module) -> Any:
    """The kind whose forward pass this module runs, or None: a subclass counts unless it computes something else."""
    if _is_patched(module):
        return None
    base = type_before_parametrizations(module)
    return next((kind for kind in PLAIN if issubclass(base, kind) and _same_forward(base, kind)), None)


def _is_patched(module: nn.Module) -> bool:
    """Whether this one module runs something else than its class."""
    return bool({"forward", "_conv_forward"} & vars(module).keys())


def _same_forward(base: Any, kind: Any) -> bool:
    return all(getattr(base, part, None) is getattr(kind, part, None) for part in ("forward", "_conv_forward"))


def _is_transposed(module: nn.Module) -> bool:
    """transformers' Conv1D, a linear layer whose weight is inputs x outputs; known by name, not to import it."""
    return type(module).__name__ == "Conv1D" and type(module).__module__ == "transformers.pytorch_utils"


def is_quantised(module: nn.Module) -> bool:
    """Whether this is one of PyTorch's layers of packed integers."""
    # Asked of the class: a parametrised weight would be computed, and spectral norm go on iterating.
    return hasattr(module, "_packed_params") or inspect.isfunction(getattr(type(module), "weight", None))


def is_recomputed(module: nn.Module) -> bool:
    """Whether a hook sets a weight of the module before each pass."""
    return any(isinstance(hook, COMPUTING) for hook in module._forward_pre_hooks.values())


def is_computed(module: nn.Module) -> bool:
    """Whether the weight is made from other tensors before each pass."""
    return is_parametrized(module) or not isinstance(module._parameters.get("weight"), nn.Parameter)


def _weight(module: nn.Module) -> Any:
    return _eval_copy(module).weight if is_computed(module) else module.weight


def _folded(module: nn.Module) -> Factorable:
    """A plain layer on the weight that a computed one has in eval mode."""
    source, kind = _eval_copy(module), plain_type(module)
    if issubclass(kind, nn.Linear):
        return linear_on(source.weight, source.bias, module, kind)
    walk = {name: getattr(source, name) for name in WALK}
    layer: Factorable = convolution_on(source.weight, source.bias, module, walk, groups=source.groups, kind=kind)
    return layer


def _eval_copy(module: nn.Module) -> Any:
    """A copy in eval mode with its weight as computed there: spectral norm goes on iterating in training mode."""
    # What a hook has computed hangs on the graph it was computed by, which deepcopy refuses.
    stale = [v for v in module.__dict__.values() if isinstance(v, torch.Tensor)]
    source = copy.deepcopy(module, {id(tensor): tensor.detach().clone() for tensor in stale}).eval()
    for hook in source._forward_pre_hooks.values():
        if isinstance(hook, COMPUTING):
            hook(source, None)
    return source
