"""Ranks that make a network faster on this machine, not only smaller.

Every layer is timed at ranks that suit the hardware, and cut alone to each of them on validation data. Of the ranks
that are worth their time those are chosen, all at once, whose drops in accuracy add up to the least within the time
there is. Then the network itself is measured, and where it takes longer than its layers promised, there is less time
the next time.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np
from scipy.optimize import Bounds, LinearConstraint, milp

from lowrank_kit.checks import InputError, check_fraction
from lowrank_kit.measurement.latency import latency
from lowrank_kit.measurement.layer_times import layer_times, rank_grid, tile_of
from lowrank_kit.measurement.quality import logits
from lowrank_kit.measurement.sensitivity import scores_by_rank
from lowrank_kit.methods.prediction import accuracy, curve_examples
from lowrank_kit.models.inventory import head_of
from lowrank_kit.models.low_rank import suited
from lowrank_kit.models.running import weight_of
from lowrank_kit.models.shapes import layer_shapes
from lowrank_kit.models.surgery import Factorisation
from lowrank_kit.records import Examples, LayerPlan, LayerTimes, RankPlan

__all__ = ["latency_plan"]

ATTEMPTS = 4
# The measured time may be over the budget by as much as two runs differ.
SLACK = 1.02
BUDGET_S = 1.0


@dataclass(frozen=True, eq=False)
class Offer:
    """What a layer may become: plans, what each drops of the accuracy, and what each takes and saves in seconds."""

    plans: tuple[LayerPlan, ...]
    drops: np.ndarray
    saved_s: np.ndarray


def latency_plan(
    found: Factorisation,
    examples: Examples,
    *,
    budget: float,
    batch: int = 1,
    method: str = "svd",
    keep_head: bool = True,
    layers: Collection[str] | None = None,
) -> RankPlan:
    """The plan whose network takes at most the fraction `budget` of the dense one's time with `batch` examples.

    `examples` are validation examples. Raises InputError where no plan is that fast, and says how fast one is.
    """
    check_fraction(budget, name="budget")
    offers = _offers(found, examples, batch, method, keep_head, layers)
    (dense,) = latency([found.model], examples.x, batch=batch, budget_s=BUDGET_S)
    wanted = (1 - budget) * dense.median_s
    fastest = 1.0
    for _ in range(ATTEMPTS):
        chosen = _chosen(offers, wanted)
        plan = RankPlan(chosen, found.weights, "latency", budget, "latency")
        before, after = latency([found.model, found.compress(plan)], examples.x, batch=batch, budget_s=BUDGET_S)
        share = after.median_s / before.median_s
        fastest = min(fastest, share)
        if share <= SLACK * budget:
            return plan
        # What layers save apart they need not save together.
        wanted *= (1 - budget) / max(1 - share, (1 - budget) / 2)
    raise InputError(
        f"`budget` must be at least about {fastest:.2f}: no plan for this network takes less of the dense time here, "
        f"with a batch of {batch}; got {budget}."
    )


def _offers(
    found: Factorisation,
    examples: Examples,
    batch: int,
    method: str,
    keep_head: bool,
    layers: Collection[str] | None,
) -> dict[str, Offer]:
    """Of every layer that some rank makes faster, the ranks on its staircase."""
    shapes = layer_shapes(found.model, examples.x)
    head = head_of(found.model, shapes) if keep_head else None
    weight = weight_of(found.model)
    tile = tile_of(weight.device.type, str(weight.dtype).removeprefix("torch."))
    grids = {
        name: rank_grid(shape, suited(found.layers[name], method), tile)
        for name, shape in shapes.items()
        if name != head and (layers is None or name in layers)
    }
    times = layer_times(found.model, examples.x, {name: grid for name, grid in grids.items() if grid}, batch=batch)
    few = curve_examples(examples)
    before = accuracy(logits(found.model, few.x), few)
    worth = [timed for timed in times if len(timed.staircase)]
    return {timed.layer: _offer(found, timed, few, before) for timed in worth}


def _offer(found: Factorisation, timed: LayerTimes, examples: Examples, before: float) -> Offer:
    plans = tuple(timed.plans[index] for index in timed.staircase)
    ranks = [plan.rank for plan in plans]
    scores = scores_by_rank(found, timed.layer, ranks, examples.x, method=plans[0].method)
    drops = [before - accuracy(found_scores, examples) for found_scores in scores if found_scores is not None]
    # A gain on a few hundred examples is luck.
    return Offer(plans, np.maximum(drops, 0), timed.dense_s - timed.seconds[timed.staircase])


def _chosen(offers: Mapping[str, Offer], wanted_s: float) -> dict[str, LayerPlan]:
    """For each layer one of its plans or none, so that at least `wanted_s` seconds are saved for the least drop.

    A knapsack with a choice in every layer, solved exactly by SciPy's HiGHS. Where so much can't be saved, all that
    can be.
    """
    pairs = [(name, index) for name, offer in offers.items() for index in range(len(offer.plans))]
    if not pairs:
        return {}
    drops = np.concatenate([offer.drops for offer in offers.values()])
    saved = np.concatenate([offer.saved_s for offer in offers.values()])
    most = sum(float(offer.saved_s.max()) for offer in offers.values())
    one_each = np.array([[name == of for of, _ in pairs] for name in offers], dtype=float)
    limits = [
        LinearConstraint(one_each, ub=1),
        LinearConstraint(saved[None], lb=min(wanted_s, most * (1 - 1e-9))),
    ]
    # Of plans that lose nothing, the one that saves more.
    cost = drops - 1e-4 * saved / saved.max()
    found = milp(cost, integrality=np.ones(len(pairs)), bounds=Bounds(0, 1), constraints=limits)
    return {name: offers[name].plans[index] for (name, index), taken in zip(pairs, found.x, strict=True) if taken > 0.5}
