"""Ranks that make a network faster on this machine, not only smaller.

Every layer is timed at ranks that suit the hardware, and cut alone to each of them on validation data. Of the ranks
that are worth their time those are chosen, all at once, whose drops add up to the least within the time there is. Then
the network itself is measured, and where it takes longer than its layers promised, there is less time the next time.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import Bounds, LinearConstraint, milp
from scipy.special import softmax
from torch import nn

from lowrank_kit.checks import InputError, check_fraction
from lowrank_kit.measurement.latency import latency
from lowrank_kit.measurement.layer_times import layer_times, rank_grid, tile_of
from lowrank_kit.measurement.quality import logits
from lowrank_kit.measurement.sensitivity import scores_by_rank
from lowrank_kit.methods.prediction import curve_examples
from lowrank_kit.models.inventory import head_of
from lowrank_kit.models.low_rank import suited
from lowrank_kit.models.running import weight_of
from lowrank_kit.models.shapes import layer_shapes
from lowrank_kit.models.surgery import Factorisation
from lowrank_kit.records import Examples, LayerPlan, LayerShape, LayerTimes, RankPlan, Timing

__all__ = ["LatencyPlanner"]

# What "any" tries in a layer, where it suits.
ANY = ("svd", "spatial", "tucker")
ATTEMPTS = 4
# The measured time may be over the budget by as much as two runs differ.
SLACK = 1.02
BUDGET_S = 0.5


@dataclass(frozen=True, eq=False)
class Offer:
    """What a layer may become: plans, what each drops of the accuracy, and the seconds each saves."""

    plans: tuple[LayerPlan, ...]
    drops: np.ndarray
    saved_s: np.ndarray

    @classmethod
    def joined(cls, offers: Sequence["Offer"]) -> "Offer":
        """All of them to choose from."""
        plans = tuple(plan for offer in offers for plan in offer.plans)
        drops, saved = (np.concatenate([getattr(offer, part) for offer in offers]) for part in ("drops", "saved_s"))
        return cls(plans, drops, saved)


class LatencyPlanner:
    """Layers timed and cut once; after that a budget costs a knapsack and a look at the network it gives.

    Parameters
    ----------
    examples : validation examples
    batch : how many of them at a time
    method : that of all layers it suits, or "any", by which each takes the one that serves it best
    keep_head, layers : as for :func:`lowrank_kit.plan`
    """

    def __init__(
        self,
        found: Factorisation,
        examples: Examples,
        *,
        batch: int = 1,
        method: str = "svd",
        keep_head: bool = True,
        layers: Collection[str] | None = None,
    ):
        self.found, self.examples, self.batch = found, examples, batch
        shapes = layer_shapes(found.model, examples.x)
        head = head_of(found.model, shapes) if keep_head else None
        asked = {n: shape for n, shape in shapes.items() if n != head and (layers is None or n in layers)}
        few = curve_examples(examples)
        before = _sureness(logits(found.model, few.x), few)
        offers: dict[str, list[Offer]] = {}
        for timed in self._timed(asked, method):
            if self._holds(timed):
                offers.setdefault(timed.layer, []).append(_offer(found, timed, few, before))
        self.offers = {name: Offer.joined(parts) for name, parts in offers.items()}

    def at(self, budget: float) -> RankPlan:
        """The plan that takes at most the fraction `budget` of the dense network's time.

        Raises InputError where none that is found is so fast, and says how fast one is.
        """
        check_fraction(budget, name="budget")
        if budget == 1:  # as the network is
            return RankPlan({}, self.found.weights, "latency", budget, "latency")
        (dense,) = self._latency([self.found.model])
        wanted, fastest = (1 - budget) * dense.median_s, 1.0
        for left in reversed(range(ATTEMPTS)):
            # The last time, all that can be saved.
            chosen = _chosen(self.offers, wanted if left else float("inf"))
            plan = RankPlan(chosen, self.found.weights, "latency", budget, "latency")
            before, after = self._latency([self.found.model, self.found.compress(plan)])
            share = after.median_s / before.median_s
            fastest = min(fastest, share)
            if share <= SLACK * budget:
                return plan
            # What layers save apart they need not save together.
            wanted *= (1 - budget) / max(1 - share, (1 - budget) / 2)
        raise InputError(
            f"`budget` must be at least about {fastest:.2f}: no plan for this network takes less of the dense time "
            f"here, with a batch of {self.batch}; got {budget}."
        )

    def _timed(self, shapes: Mapping[str, LayerShape], method: str) -> Iterator[LayerTimes]:
        """Times of all layers and methods that have a rank which makes the layer faster."""
        weight = weight_of(self.found.model)
        tile = tile_of(weight.device.type, str(weight.dtype).removeprefix("torch."))
        for how in ANY if method == "any" else (method,):
            methods = {name: suited(self.found.layers[name], how) for name in shapes}
            apt = {name: found for name, found in methods.items() if found == how or method != "any"}
            grids = {name: rank_grid(shapes[name], found, tile) for name, found in apt.items()}
            plans = {name: grid for name, grid in grids.items() if grid}
            times = layer_times(self.found.model, self.examples.x, plans, batch=self.batch)
            yield from (timed for timed in times if len(timed.staircase))

    def _holds(self, timed: LayerTimes) -> bool:
        """Whether the network is no slower with this layer alone at its fastest.

        Behind factors other layers may run in another layout, which costs more than is saved.
        """
        plan = RankPlan({timed.layer: timed.plans[timed.staircase[0]]}, self.found.weights)
        before, after = self._latency([self.found.model, self.found.compress(plan)])
        return after.median_s <= SLACK * before.median_s

    def _latency(self, models: Sequence[nn.Module]) -> list[Timing]:
        return latency(models, self.examples.x, batch=self.batch, budget_s=BUDGET_S)


def _offer(found: Factorisation, timed: LayerTimes, examples: Examples, before: float) -> Offer:
    plans = tuple(timed.plans[index] for index in timed.staircase)
    ranks = [plan.rank for plan in plans]
    scores = scores_by_rank(found, timed.layer, ranks, examples.x, method=plans[0].method)
    drops = [before - _sureness(found_scores, examples) for found_scores in scores if found_scores is not None]
    # A gain on a few hundred examples is luck.
    return Offer(plans, np.maximum(drops, 0), timed.dense_s - timed.seconds[timed.staircase])


def _sureness(scores: np.ndarray, examples: Examples) -> float:
    """The mean probability given to the right class: accuracy that also counts how near the others came.

    On a few hundred examples many ranks lose none, and joined with others' they do.
    """
    return float(softmax(scores.astype(np.float64), axis=1)[np.arange(len(scores)), examples.y].mean())


def _chosen(offers: Mapping[str, Offer], wanted_s: float) -> dict[str, LayerPlan]:
    """For each layer one of its plans or none, so that at least `wanted_s` seconds are saved for the least drop.

    A knapsack with a choice in every layer, solved by SciPy's HiGHS to within a ten-thousandth. Where so much can't be
    saved, all that can be.
    """
    pairs = [(name, index) for name, offer in offers.items() for index in range(len(offer.plans))]
    if not pairs:
        return {}
    drops = np.concatenate([offer.drops for offer in offers.values()])
    most = sum(float(offer.saved_s.max()) for offer in offers.values())
    # Not in seconds: the solver takes a millionth for nothing.
    saved = np.concatenate([offer.saved_s for offer in offers.values()]) / most
    one_each = np.array([[name == of for of, _ in pairs] for name in offers], dtype=float)
    limits = [
        LinearConstraint(one_each, ub=1),
        LinearConstraint(saved[None], lb=min(wanted_s / most, 1 - 1e-9)),
    ]
    # Of plans that lose as little, the one that saves more; all that can be saved weighs a ten-thousandth.
    cost = drops - 1e-4 * saved
    found = milp(cost, integrality=np.ones(len(pairs)), bounds=Bounds(0, 1), constraints=limits)
    return {name: offers[name].plans[index] for (name, index), taken in zip(pairs, found.x, strict=True) if taken > 0.5}
