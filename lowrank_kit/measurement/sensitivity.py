"""What cutting one layer does to the scores, rank by rank, the rest of the network left whole."""

import copy
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, TypeGuard

import numpy as np
import torch
from torch import nn

from lowrank_kit.measurement.quality import class_scores
from lowrank_kit.models.layers import HOOKS
from lowrank_kit.models.low_rank import as_weight
from lowrank_kit.models.replacement import replaced
from lowrank_kit.models.running import batches, evaluating, inputs_for
from lowrank_kit.models.surgery import Factorisation
from lowrank_kit.records import Factors

__all__ = ["scores_by_rank"]

HELD_BYTES = 2**29


def scores_by_rank(
    factorisation: Factorisation, layer: str, ranks: Iterable[Any], x: np.ndarray, *, method: str = "svd"
) -> Iterator[np.ndarray | None]:
    """Class scores (n, classes) of inputs x (n, ...) with one layer at each of the ranks, in the order given.

    For the method "tucker" these are pairs, outputs first. Factors compute what their product does: it takes the
    weight's place in a copy of the network that shares everything else. In a Sequential what lies before the layer is
    run once for all ranks, unless that would take more than half a gigabyte to hold. Between batches None is given, so
    that other work can go first.
    """
    own = copy.deepcopy(factorisation.layers[layer])
    twins = [site.name for site in factorisation.sites.values() if site.twin_of == layer]
    model = replaced(factorisation.model, {layer: own, **_on_same_weight(factorisation, twins, own)}, shared=True)
    stages = _stages(model)
    parts = batches(x)
    before, behind = _around(stages, own.weight)
    if _reach(model, before, parts[0]) * len(parts) > HELD_BYTES:
        before, behind = [], stages
    held = []
    for part in parts:
        with evaluating(model):
            held.append(_run(before, inputs_for(model, part)))
        yield None
    for weight in _weights(factorisation, layer, ranks, method):
        with torch.no_grad():
            own.weight.copy_(weight)
        scores = []
        for values in held:
            with evaluating(model):
                scores.append(class_scores(_run(behind, _copied(values))))
            yield None
        yield np.concatenate(scores)


def _weights(factorisation: Factorisation, layer: str, ranks: Iterable[Any], method: str) -> Iterator[torch.Tensor]:
    """The weight that a block of each of the ranks stands for."""
    if method == "tucker":
        return (torch.from_numpy(factorisation.refined(layer, pair).dense()) for pair in ranks)
    own = factorisation.layers[layer]
    return (as_weight(cut, own, method) for cut in _truncated(factorisation.factors(layer, method), ranks))


def _truncated(parts: Sequence[Factors], ranks: Iterable[int]) -> Iterator[np.ndarray]:
    """The matrices (groups, m, n) at each of the ranks; while ranks rise, only what is new is added."""
    nothing = np.zeros((len(parts), *parts[0].shape), dtype=parts[0].S.dtype)
    cut, done = nothing, 0
    for rank in ranks:
        if rank < done:
            cut, done = nothing, 0
        cut = cut + np.stack([(p.U[:, done:rank] * p.S[done:rank]) @ p.Vh[done:rank] for p in parts])
        done = rank
        yield cut


def _on_same_weight(factorisation: Factorisation, twins: Iterable[str], own: nn.Module) -> dict[str, nn.Module]:
    """Copies of the layers that share the layer's weight, on its new one."""
    copies: dict[str, Any] = {name: copy.deepcopy(factorisation.sites[name].layer) for name in twins}
    for twin in copies.values():
        twin.weight = own.weight
    return copies


def _around(stages: list[nn.Module], weight: torch.Tensor) -> tuple[list[nn.Module], list[nn.Module]]:
    """The stages before the first that uses the weight, and the others."""
    first = next(i for i, stage in enumerate(stages) if any(p is weight for p in stage.parameters()))
    return stages[:first], stages[first:]


def _reach(model: nn.Module, before: list[nn.Module], batch: np.ndarray) -> int:
    """Bytes that a batch takes before the layer."""
    with evaluating(model):
        values = _run(before, inputs_for(model, batch[:1]))
    return values.numel() * values.element_size() * len(batch) if isinstance(values, torch.Tensor) else 0


def _stages(model: nn.Module) -> list[nn.Module]:
    """The modules a Sequential runs one after another, nested ones unrolled; any other model is one stage."""
    return [s for child in model for s in _stages(child)] if _is_a_row(model) else [model]


def _is_a_row(model: nn.Module) -> TypeGuard[nn.Sequential]:
    """Whether it does nothing but run its parts: no hook, no forward pass of its own."""
    own = "forward" in vars(model) or any(vars(model)[hooks] for hooks in HOOKS)
    return type(model) is nn.Sequential and not own


def _run(stages: list[nn.Module], values: torch.Tensor) -> torch.Tensor:
    for stage in stages:
        values = stage(values)
    return values


def _copied(values: torch.Tensor) -> torch.Tensor:
    """What is held for the next rank must not change, and a stage may work in place."""
    return values.clone() if isinstance(values, torch.Tensor) else values
