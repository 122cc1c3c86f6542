"""A copy of a network with some of its layers replaced, wherever they are referred to."""

import copy
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from lowrank_kit.checks import InputError
from lowrank_kit.models.attention import Attention, leave_fast_paths, projections
from lowrank_kit.models.layers import HOOKS

__all__ = ["replaced", "within"]

PARTS = ("in_proj", "q_proj", "k_proj", "v_proj", "out_proj")


def replaced(model: nn.Module, layers: Mapping[str, nn.Module], *, shared: bool = False) -> nn.Module:
    """A copy of the model with the given layers in place of those of these names; neither is changed.

    A projection of an nn.MultiheadAttention is named as if it were a layer in it (`attention.in_proj`): where one is
    replaced, the whole block gives way to an :class:`Attention`. With `shared`, all other parameters are the model's
    own, which costs no memory. Raises InputError where the model can't be copied.
    """
    modules = dict(model.named_modules())
    given = {name: layer for name, layer in layers.items() if modules.get(name) is not layer}
    try:
        with torch.inference_mode(False):  # what is made in inference mode can't be trained
            found = _copied_with(model, given, modules, shared=shared)
    except (TypeError, RuntimeError, AttributeError) as fault:
        why = str(fault).rstrip(".")
        raise InputError(f"`model` must be a network that copy.deepcopy can copy; it says: {why}.") from fault
    leave_fast_paths(found)
    return found


def _copied_with(
    model: nn.Module, given: Mapping[str, nn.Module], modules: Mapping[str, nn.Module], *, shared: bool
) -> nn.Module:
    """deepcopy takes a replaced layer from its memo wherever it is referred to, and copies the rest."""
    opened = {
        name: Attention(block, {**projections(block), **parts})
        for name, block in modules.items()
        if isinstance(block, nn.MultiheadAttention) and (parts := _parts(name, given))
    }
    blocks = {name: layer for name, layer in given.items() if name in modules and not _is_projection(modules, name)}
    memo = _tensors((model, *given.values()), shared=shared)
    hooks = _without_hooks([*blocks.values(), *opened.values()], memo)
    for name, block in {**blocks, **opened}.items():
        memo[id(modules[name])] = copy.deepcopy(block, memo)
    for name in opened:  # a projection may be registered elsewhere too
        if within(name, "out_proj") in given:
            memo[id(modules[name].out_proj)] = getattr(memo[id(modules[name])], "out_proj")  # noqa: B009 (any object)
    found = copy.deepcopy(model, memo)
    for theirs, ours in hooks:
        ours.update(copy.deepcopy(dict(theirs), memo))
    for name in (*blocks, *opened):
        if found.get_submodule(name) is not memo[id(modules[name])]:
            raise TypeError(f"its own way of copying leaves {name} as it was")
    return found


def _without_hooks(sources: Iterable[nn.Module], memo: dict[int, object]) -> list[tuple[Any, Any]]:
    """Pairs of the hooks on the sources and what takes their place in copies, empty at first.

    A hook may be a method of the network, whose copy has to hold the replaced layers already.
    """
    found = []
    for module in (module for source in sources for module in source.modules()):
        for hooks in (vars(module)[name] for name in HOOKS):
            if hooks:
                memo[id(hooks)] = type(hooks)()
                found.append((hooks, memo[id(hooks)]))
    return found


def _parts(block: str, given: Mapping[str, nn.Module]) -> dict[str, nn.Module]:
    return {part: given[within(block, part)] for part in PARTS if within(block, part) in given}


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
        # Never buffers: a network may count its passes in one.
        memo |= {id(tensor): tensor for tensor in source.parameters() if shared}
        own = (*source.parameters(), *source.buffers())
        memo |= {id(tensor): _copied(tensor) for tensor in own if id(tensor) not in memo and _is_sparse(tensor)}
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
