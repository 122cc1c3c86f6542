"""How much of a layer a network needs: the smallest ranks that still recall what was learned.

Functional and joint capacity are the kit's own working definitions.
"""

import math
from collections.abc import Collection, Iterator, Mapping

import numpy as np

from lowrank_kit.checks import InputError
from lowrank_kit.measurement.quality import logits
from lowrank_kit.measurement.sensitivity import scores_by_rank
from lowrank_kit.models.surgery import Factorisation
from lowrank_kit.records import Examples, JointSearch, LayerPlan, RankPlan, SearchStep, factor_params

__all__ = ["functional_capacities", "joint_capacity"]

# A search scales all ranks by this much more at a time until recall is back.
SCALE_STEP = 0.25
# Fractions of examples are compared up to rounding.
ROUNDING = 1e-9


def functional_capacities(
    factorisation: Factorisation,
    examples: Examples,
    layers: Collection[str] | None = None,
    *,
    tolerance: float = 0.01,
    method: str = "svd",
) -> dict[str, int]:
    """{layer: C(tolerance)}, the smallest rank that loses at most this fraction of the examples, the layer cut alone.

    On training examples it says how much of a layer the network needs to recall them. Found by halving, which takes
    recall to grow with the rank: the rank found is enough, and the one below it is not. `layers` are all by default.

    Raises InputError for a tolerance outside [0, 1), or a layer or a method the network does not have.
    """
    needed = _dense_recall(factorisation, examples, tolerance) - tolerance - ROUNDING
    chosen = factorisation.layers if layers is None else layers
    return {name: _smallest(factorisation, name, examples, needed, method) for name in chosen}


def joint_capacity(
    factorisation: Factorisation, examples: Examples, capacities: Mapping[str, int], *, tolerance: float = 0.01
) -> JointSearch:
    """A greedy search for the fewest numbers, sum k (m + n), at which all layers together stay within the tolerance.

    It starts from the layers' single `capacities`, scales them up together until recall is back, and from there
    shrinks one layer at a time: the one that loses the least recall for the numbers it saves. A layer's price is taken
    only to rise while others shrink, so that it is enough to look again at the cheapest (Minoux 1978). Ranks found so
    are enough, but fewer numbers might be; a layer counts as dense where factors would not be smaller.

    Raises InputError for a tolerance outside [0, 1), or a layer or a rank the network does not have.
    """
    dense = _dense_recall(factorisation, examples, tolerance)
    needed = dense - tolerance - ROUNDING
    steps = list(_scaled(factorisation, examples, capacities, needed))
    steps += _shrunk(factorisation, examples, steps[-1], needed)
    whole = {name: min(factorisation.spectrum(name).shape) for name in capacities}
    return JointSearch(tuple(steps), tolerance, dense, _stored(factorisation, whole), len(examples))


def _smallest(factorisation: Factorisation, layer: str, examples: Examples, needed: float, method: str) -> int:
    tried = _Halving(min(factorisation.spectrum(layer, method).shape))
    for scores in scores_by_rank(factorisation, layer, tried, examples.x, method=method):
        if scores is not None:
            tried.narrow(enough=_recall(scores, examples) >= needed)
    return tried.high


class _Halving:
    """Ranks to try, each in the middle of those that may still be the smallest that is enough."""

    def __init__(self, full: int):
        self.low, self.high = 0, full

    def __iter__(self) -> Iterator[int]:
        while self.high - self.low > 1:
            yield (self.low + self.high) // 2

    def narrow(self, *, enough: bool) -> None:
        middle = (self.low + self.high) // 2
        self.low, self.high = (self.low, middle) if enough else (middle, self.high)


def _scaled(
    factorisation: Factorisation, examples: Examples, capacities: Mapping[str, int], needed: float
) -> Iterator[SearchStep]:
    """All layers at their own capacity, and at more and more of it, until recall is as high as needed."""
    full = {name: min(factorisation.spectrum(name).shape) for name in capacities}
    scale, recall = 1.0, -1.0
    while recall < needed:
        step = _tried(factorisation, examples, {n: min(math.ceil(scale * k), full[n]) for n, k in capacities.items()})
        yield step
        scale, recall = scale + SCALE_STEP, step.recall


def _shrunk(
    factorisation: Factorisation, examples: Examples, current: SearchStep, needed: float
) -> Iterator[SearchStep]:
    """From ranks that are enough to smaller ones, a layer at a time, until none can shrink any more."""
    prices, fresh = dict.fromkeys(current.ranks, 0.0), dict[str, SearchStep]()
    while prices:
        # Of equal prices that of the layer with the largest numbers to save.
        layer = min(prices, key=lambda name: (prices[name], -sum(factorisation.spectrum(name).shape)))
        if layer in fresh:
            current, fresh = fresh[layer], {}
            yield current
            continue
        rank = min(current.ranks[layer] - 1, factorisation.spectrum(layer).break_even_rank)
        step = _tried(factorisation, examples, {**current.ranks, layer: rank}, layer) if rank > 0 else None
        if step is None or step.recall < needed:
            del prices[layer]
        else:
            fresh[layer] = step
            prices[layer] = (current.recall - step.recall) / (current.stored - step.stored)


def _tried(factorisation: Factorisation, examples: Examples, ranks: Mapping[str, int], changed: str = "") -> SearchStep:
    layers = {name: LayerPlan(rank) for name, rank in ranks.items()}
    cut = factorisation.compress(RankPlan(layers, factorisation.weights))
    return SearchStep(dict(ranks), _stored(factorisation, ranks), _recall(logits(cut, examples.x), examples), changed)


def _stored(factorisation: Factorisation, ranks: Mapping[str, int]) -> int:
    """Numbers in the layers' matrices: two factors where they are smaller, otherwise the whole."""
    total = 0
    for name, rank in ranks.items():
        spectrum = factorisation.spectrum(name)
        m, n = spectrum.shape
        total += spectrum.groups * min(factor_params(rank, (m, n)), m * n)
    return total


def _dense_recall(factorisation: Factorisation, examples: Examples, tolerance: float) -> float:
    if not 0 <= tolerance < 1:
        raise InputError(f"`tolerance` must be a fraction from 0 to below 1; got {tolerance!r}. Write 0.01 for 1 %.")
    return _recall(logits(factorisation.model, examples.x), examples)


def _recall(scores: np.ndarray, examples: Examples) -> float:
    return float((scores.argmax(axis=1) == examples.y).mean())
