"""Times of a network's layers, dense and at several ranks, each as if it ran alone."""

from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np
import torch
from torch import nn

from lowrank_kit.measurement.latency import latency
from lowrank_kit.models.inventory import factorable_layers
from lowrank_kit.models.layers import channels_last
from lowrank_kit.models.shapes import block_of, inputs_of, layer_of, layer_shapes
from lowrank_kit.records import LayerPlan, LayerShape, LayerTimes, Timing

__all__ = ["layer_times", "rank_grid", "tile_of", "time_layer"]

# Ranks between the least and the full one that are timed.
POINTS = 10


def layer_times(
    model: nn.Module,
    x: np.ndarray,
    plans: Mapping[str, Sequence[LayerPlan]],
    *,
    batch: int = 1,
    budget_s: float = 0.05,
    stop: Callable[[], bool] = lambda: False,
) -> Iterable[LayerTimes]:
    """Times of each layer of `plans` that runs once a pass, one after another, until `stop()` is true.

    Parameters
    ----------
    x : inputs of the network (n, ...); they set the sizes that the layers run on
    plans : of each layer, least ranks first; factors are drawn at random, which takes the same time
    batch : examples a pass
    budget_s : seconds for each plan
    """
    layers = factorable_layers(model)
    for name, shape in layer_shapes(model, x).items():
        if name not in plans or stop():
            continue
        blocks = [layers[name], *(block_of(layers[name], plan) for plan in plans[name])]
        timings = latency(blocks, inputs_of(shape, 1), batch=batch, budget_s=budget_s * len(blocks), stop=stop)
        if all(len(timing.raw_s) for timing in timings):
            dense, *found = timings
            seconds = np.array([timing.median_s for timing in found])
            yield LayerTimes(name, tuple(plans[name]), seconds, dense.median_s, dense.conditions)


def tile_of(device: str, dtype: str) -> int:
    """What ranks are best multiples of: 64 for tensor cores, and a vector register's 8 float32 elsewhere."""
    return 64 if device == "cuda" and dtype != "float64" else 8


def rank_grid(shape: LayerShape, method: str, tile: int) -> list[LayerPlan]:
    """Plans with ranks that are multiples of the tile, least first, about evenly spaced on a logarithmic scale.

    Where the full rank holds less than two tiles, of half the tile, and so on. The two ranks of "tucker" are the same
    share of its two modes. Only plans with fewer multiply-adds than the dense layer are given.

    >>> [plan.rank for plan in rank_grid(LayerShape(64, 64), "svd", 8)]
    [8, 16, 24]
    """
    full = shape.full_ranks(method)
    while tile > 1 and min(full) < 2 * tile:
        tile //= 2
    shares = np.geomspace(tile / min(full), 1, POINTS + 1)[:-1]
    ranks = {tuple(max(round(share * size / tile), 1) * tile for size in full) for share in shares}
    plans = [LayerPlan(pair if method == "tucker" else pair[0], method) for pair in sorted(ranks)]
    return [plan for plan in plans if _fits(plan, full) and _macs(shape, plan) < shape.macs]


def _fits(plan: LayerPlan, full: Sequence[int]) -> bool:
    return all(rank <= size for rank, size in zip(plan.ranks, full, strict=True))


def _macs(shape: LayerShape, plan: LayerPlan) -> int:
    return sum(part.macs for part in shape.factorised(plan))


def time_layer(
    shape: LayerShape,
    plan: LayerPlan | None,
    *,
    batch: int = 1,
    dtype: str = "float32",
    layout: str = "channels_last",
    mode: str = "eager",
    budget_s: float = 0.6,
    stop: Callable[[], bool] = lambda: False,
) -> tuple[Timing, Timing]:
    """A layer of this shape, and what stands in its place under a plan, timed in turn on the processor.

    Under no plan it is timed beside itself, which tells what two times of the same differ by. The times are empty
    where `stop()` was true before.
    """
    dense = layer_of(shape)
    layers = (dense, dense if plan is None else block_of(dense, plan))
    placed = [layer.to(dtype=getattr(torch, dtype)) for layer in layers]
    if layout == "channels_last":
        placed = [channels_last(layer) for layer in placed]
    first, second = latency(placed, inputs_of(shape, 1), batch=batch, budget_s=budget_s, mode=mode, stop=stop)
    return first, second
