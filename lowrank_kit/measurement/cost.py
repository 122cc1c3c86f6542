"""Parameters, bytes and multiply-adds."""

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

import numpy as np
from torch import nn
from torch.nn.parameter import is_lazy

from lowrank_kit.checks import InputError
from lowrank_kit.measurement.counter import Counter, plain_formulas
from lowrank_kit.models.inventory import factorable_layers, inventory
from lowrank_kit.models.replacement import replaced, within
from lowrank_kit.models.running import evaluating, inputs_for
from lowrank_kit.models.surgery import with_empty_blocks
from lowrank_kit.records import LayerPlan

__all__ = ["layer_macs", "layer_params", "macs", "n_params", "pair_macs", "rank_macs", "size_bytes"]

# The layers that parameters are budgeted over.
COUNTED = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)


def n_params(model: nn.Module) -> int:
    """Parameters, a shared one counted once."""
    return sum(p.numel() for p in model.parameters())


def layer_params(model: nn.Module, names: Collection[str] | None = None) -> int:
    """Parameters of the linear and convolution layers, biases included: what a budget is a share of.

    They include layers that are left dense and the projections of attention; `names` are some of them. A computed
    weight counts as the matrix it is, and a shared parameter once.
    """
    modules = dict(model.named_modules())
    sites = inventory(model).values()
    layers = (site.layer or modules.get(site.name) for site in sites if names is None or site.name in names)
    counted = (parameter for layer in layers if isinstance(layer, COUNTED) for parameter in layer.parameters())
    return sum({id(p): p.numel() for p in counted if not is_lazy(p)}.values())


def size_bytes(model: nn.Module) -> int:
    """Bytes of parameters and buffers."""
    return sum(t.numel() * t.element_size() for t in (*model.parameters(), *model.buffers()))


def macs(model: nn.Module, x: np.ndarray) -> int:
    """Multiply-adds of all convolutions and matrix products for one example, those of attention included.

    x (n, ...) holds example inputs, of which the first is run. Biases, norms and pooling are not counted. Raises
    InputError where a network with matrices seems to multiply nothing, since that would be wrong.
    """
    total, _ = _counted(_opened(model), {}, x)
    if total == 0 and inventory(model):
        raise InputError("the model's multiply-adds can't be counted: its layers run in kernels of their own.")
    return total


def layer_macs(model: nn.Module, x: np.ndarray) -> dict[str, int]:
    """{layer: multiply-adds for one example} of the factorable layers, as `macs`, in the order they are first run.

    A layer used twice counts both uses, and one that shares its weight those of all; one that is never reached is
    left out.
    """
    return _counted(_opened(model), _users(model), x)[1]


def rank_macs(model: nn.Module, x: np.ndarray, plans: dict[str, LayerPlan]) -> dict[str, int]:
    """{layer: multiply-adds for one example by each unit of its rank} with the planned methods.

    The arithmetic of two factors is linear in their rank: it is counted once, at rank 1.
    """
    ones = {name: LayerPlan(1, plan.method) for name, plan in plans.items()}
    users = {name: owner for name, owner in _users(model).items() if owner in ones}
    return _counted(with_empty_blocks(model, ones, shared=True), users, x)[1]


def pair_macs(model: nn.Module, x: np.ndarray, layers: Iterable[str]) -> dict[str, tuple[int, int, int]]:
    """{convolution: multiply-adds for one example by each unit of its output rank, its input rank, and their product}.

    With p positions behind a convolution (m, n, k) and q before it, of which a stride leaves fewer, the three
    convolutions of its Tucker form take p m, q n and p k: counted once, at ranks (1, 1).
    """
    ones = {name: LayerPlan((1, 1), "tucker") for name in layers}
    users = {
        within(name, part): within(owner, part)
        for name, owner in _users(model).items()
        if owner in ones
        for part in ("expand", "reduce", "core")
    }
    found = _counted(with_empty_blocks(model, ones, shared=True), users, x)[1] if ones else {}
    return {
        name: (found[within(name, "expand")], found[within(name, "reduce")], found[within(name, "core")])
        for name in ones
        if within(name, "core") in found
    }


def _opened(model: nn.Module) -> nn.Module:
    """The network on its own tensors with every factorable layer a module of its own, so that none is overlooked."""
    return replaced(model, factorable_layers(model), shared=True)


def _users(model: nn.Module) -> dict[str, str]:
    """{layer: the layer it is counted with}, which is itself unless it shares its weight."""
    return {name: site.twin_of or name for name, site in inventory(model).items() if site.layer is not None}


def _counted(model: nn.Module, users: Mapping[str, str], x: np.ndarray) -> tuple[int, dict[str, int]]:
    """Multiply-adds of the whole network, and of layers with all who use their weight, in the order of running."""
    counter, found = Counter(), dict[str, int]()
    for name, owner in users.items():
        for leaf in [m for m in model.get_submodule(name).modules() if not [*m.children()]]:
            leaf.register_forward_pre_hook(_adding(counter, found, owner, -1))
            leaf.register_forward_hook(_adding(counter, found, owner, 1))
    with evaluating(model), plain_formulas(model), counter:
        model(inputs_for(model, x[:1]))
    return counter.macs, found


def _adding(counter: Counter, found: dict[str, int], name: str, sign: int) -> Callable[..., None]:
    def hook(*_: Any) -> None:
        found[name] = found.get(name, 0) + sign * counter.macs

    return hook
