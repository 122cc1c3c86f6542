"""A copy of a network with some of its layers replaced, wherever they are referred to."""

import copy
from collections.abc import Iterable, Mapping

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from lowrank_kit.checks import InputError
from lowrank_kit.models.attention import Attention, leave_fast_paths, projections

__all__ = ["replaced", "within"]


PARTS = ("in_proj", "q_proj", "k_proj", "v_proj", "out_proj")


def replaced(model: nn.Module, layers: Mapping[str, nn.Module], *, shared: bool = False) -> nn.Module:
    """A copy of the model with the given layers in place of those of these names; neither is changed.

    A projection of an nn.MultiheadAttention is named as if it were a layer in it (`attention.in_proj`): where one is
    replaced, the whole block gives way to an :class:`Attention`. With `shared`, all other tensors are the model's own,
    which costs no memory. Raises InputError where the model can't be copied.
    """
    memo = _tensors((model, *layers.values()), shared=shared)
    modules = dict(model.named_modules())
    for name, layer in layers.items():
        if name in modules and not _is_projection(modules, name):
            memo[id(modules[name])] = copy.deepcopy(layer, memo)
    for name, block in modules.items():
        parts = {part: layers[within(name, part)] for part in PARTS if within(name, part) in layers}
        if parts and isinstance(block, nn.MultiheadAttention):
            memo[id(block)] = copy.deepcopy(Attention(block, {**projections(block), **parts}), memo)
    try:
        # deepcopy takes a replaced layer from its memo wherever it is referred to, and copies the rest.
        found = copy.deepcopy(model, memo)
    except (TypeError, RuntimeError, AttributeError) as fault:
        why = str(fault).rstrip(".")
        raise InputError(f"`model` must be a network that copy.deepcopy can copy; it says: {why}.") from fault
    leave_fast_paths(found)
    return found


def within(block: str, part: str) -> str:
    """The name of a part of a block; the network itself is the block without a name."""
    return f"{block}.{part}" if block else part


def _is_projection(modules: Mapping[str, nn.Module], name: str) -> bool:
    return isinstance(modules.get(name.rpartition(".")[0]), nn.MultiheadAttention)


def _tensors(sources: Iterable[nn.Module], *, shared: bool) -> dict[int, object]:
    """What deepcopy is to take for tensors: themselves, or a copy of those that it can't copy itself.

    These are sparse ones, and those that hang on the graph of a past pass.
    """
    memo: dict[int, object] = {}
    for source in sources:
        own = [*source.parameters(), *source.buffers()]
        memo |= {id(tensor): tensor if shared else _copied(tensor) for tensor in own if shared or _is_sparse(tensor)}
        memo |= {id(tensor): tensor.detach().clone() for tensor in _computed(source)}
    return memo


def _is_sparse(tensor: torch.Tensor) -> bool:
    return not is_lazy(tensor) and tensor.layout is not torch.strided


def _copied(tensor: torch.Tensor) -> torch.Tensor:
    copied = tensor.detach().clone()
    return nn.Parameter(copied, tensor.requires_grad) if isinstance(tensor, nn.Parameter) else copied


def _computed(source: nn.Module) -> list[torch.Tensor]:
    """Tensors that hooks have left on modules, which deepcopy refuses."""
    values = (value for module in source.modules() for value in vars(module).values())
    return [value for value in values if isinstance(value, torch.Tensor) and value.grad_fn is not None]
