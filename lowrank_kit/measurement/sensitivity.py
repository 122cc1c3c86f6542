"""What cutting one layer does to the scores, rank by rank, the rest of the network left whole."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from lowrank_kit.measurement.placement import inputs_for
from lowrank_kit.measurement.quality import batches, class_scores, evaluating
from lowrank_kit.models.layers import Factorable
from lowrank_kit.models.surgery import Factorisation

__all__ = ["scores_by_rank"]

HELD_BYTES = 2**29


def scores_by_rank(
    factorisation: Factorisation, layer: str, ranks: Iterable[int], x: np.ndarray
) -> Iterator[np.ndarray | None]:
    """Class scores (n, classes) of inputs x (n, ...) with one layer at each of the ranks, in the order given.

    Cutting W to W_r = U_r U_r^T W is the same as projecting the layer's output, so a rank costs one projection
    and the network behind the layer. In a Sequential what lies before the layer is run once for all ranks, unless
    that would take more than half a gigabyte to hold. Between batches None is given, so that other work can go first.
    """
    model, module = factorisation.model, factorisation.layers[layer]
    U = torch.from_numpy(factorisation.factors(layer).U).to(module.weight)
    stages = _stages(model)
    start = next(i for i, stage in enumerate(stages) if any(m is module for m in stage.modules()))
    before, behind = stages[:start], stages[start:]
    parts = batches(x)
    if _reach(model, before, parts[0]) * len(parts) > HELD_BYTES:
        before, behind = [], stages
    held = []
    for part in parts:
        with evaluating(model):
            held.append(_run(before, inputs_for(model, part)))
        yield None
    for rank in ranks:
        projection = U[:, :rank] @ U[:, :rank].T
        scores = []
        for values in held:
            with evaluating(model), _projected(module, projection):
                scores.append(class_scores(_run(behind, _copied(values))))
            yield None
        yield np.concatenate(scores)


@contextmanager
def _projected(layer: Factorable, P: torch.Tensor) -> Iterator[None]:
    """While it lasts, the layer's output is projected; nothing stays behind when other work goes first."""
    hook = layer.register_forward_hook(lambda module, _, output: _project(module, output, P))
    try:
        yield
    finally:
        hook.remove()


def _reach(model: nn.Module, before: list[nn.Module], batch: np.ndarray) -> int:
    """Bytes that a batch takes before the layer."""
    with evaluating(model):
        values = _run(before, inputs_for(model, batch[:1]))
    return values.numel() * values.element_size() * len(batch) if isinstance(values, torch.Tensor) else 0


def _stages(model: nn.Module) -> list[nn.Module]:
    """The modules a Sequential runs one after another, nested ones unrolled; any other model is one stage."""
    return [s for child in model for s in _stages(child)] if type(model) is nn.Sequential else [model]


def _run(stages: list[nn.Module], values: torch.Tensor) -> torch.Tensor:
    for stage in stages:
        values = stage(values)
    return values


def _copied(values: torch.Tensor) -> torch.Tensor:
    """What is held for the next rank must not change, and a stage may work in place."""
    return values.clone() if isinstance(values, torch.Tensor) else values


def _project(layer: Factorable, output: torch.Tensor, P: torch.Tensor) -> torch.Tensor:
    """P (y - b) + b along the output channels, which the bias b does not take part in."""
    bias = None if layer.bias is None else layer.bias - P @ layer.bias
    return F.conv2d(output, P[:, :, None, None], bias) if isinstance(layer, nn.Conv2d) else F.linear(output, P, bias)
