"""Rules that spread a budget over layers; from spectra alone, without torch.

A rule is a path for each layer: choices of its ranks, least first, each taken from a level on that all layers share.
As the level rises no rank falls. So all that a rule can choose lies on one ladder of rank vectors, sorted by cost, and
a budget is looked up on it.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from lowrank_kit.checks import InputError, check_fraction, check_name
from lowrank_kit.records import NetworkTables, Price, Rank, Spectrum, params_price

__all__ = ["COSTS", "RULES", "Ladder", "Modes", "Price", "ladder", "params_prices", "path_of", "table_ladder"]

COSTS = ("params", "macs")

# What a rule sees of a layer: its spectrum, or for Tucker form that of its outputs and that of its inputs.
Modes = Spectrum | tuple[Spectrum, Spectrum]


@dataclass(frozen=True, eq=False)
class Ladder:
    """Ranks (steps, columns) from the least everywhere to dense, and each step's cost as a fraction (steps,).

    A layer has as many columns as it has ranks, `widths` of them, which are one or two. A layer at full rank is dense:
    what would not save has been lifted.
    """

    layers: tuple[str, ...]
    ranks: np.ndarray
    cost: np.ndarray
    widths: tuple[int, ...]

    def at(self, budget: float) -> dict[str, Rank]:
        """The ranks of the dearest step within the budget. Raises InputError where even the first step is over it."""
        check_fraction(budget, name="budget")
        if budget < self.cheapest:
            raise InputError(
                f"`budget` must be at least {self.cheapest:.4f} for this network, which is rank 1 in every layer "
                f"of the plan and the others dense; got {budget}."
            )
        row = iter(self.table(np.array([budget]))[0].tolist())
        parts = ([next(row) for _ in range(width)] for width in self.widths)
        return {name: part[0] if len(part) == 1 else tuple(part) for name, part in zip(self.layers, parts, strict=True)}

    def table(self, budgets: np.ndarray) -> np.ndarray:
        """Ranks (b, columns) for budgets (b,), as `at` finds them; the first step where one is too small."""
        # Costs are sums of fractions: let a budget that names a step's cost exactly have that step.
        steps = np.searchsorted(self.cost, budgets + 1e-12, side="right") - 1
        return self.ranks[np.maximum(steps, 0)]

    @cached_property
    def cheapest(self) -> float:
        return float(self.cost[0])


@dataclass(frozen=True, eq=False)
class Choices:
    """What a rule offers a layer, least first, dense last: from `levels` (k,) on the `ranks` (k, d) at `cost` (k,)."""

    levels: np.ndarray
    ranks: np.ndarray
    cost: np.ndarray

    def at(self, levels: np.ndarray) -> np.ndarray:
        """The number of the choice (l,) at each level (l,)."""
        return np.searchsorted(self.levels, levels, side="right") - 1


def ladder(spectra: Mapping[str, Modes], rule: str, prices: Mapping[str, Price], total: float) -> Ladder:
    """All choices of a rule over the layers of `spectra`.

    Parameters
    ----------
    rule : "uniform" keeps the same fraction of every layer's numbers; "energy" the same energy in every layer, and in
        both modes of one in Tucker form
    prices : of each layer, in parameters or multiply-adds
    total : what all layers that the budget is a share of cost when dense, those not on the ladder included
    """
    check_name(rule, RULES, name="rule")
    if not spectra:
        raise InputError("there is no layer to plan: the network has no linear or convolution layer besides its head.")
    if total == 0:
        raise InputError("there is nothing to plan: no linear or convolution layer is reached by the example inputs.")
    offers = [_choices(path_of(rule, modes), modes, prices[name]) for name, modes in spectra.items()]
    levels = np.unique(np.concatenate([offer.levels for offer in offers]))
    levels = levels[levels <= 1]
    # The last step is dense whatever the rule.
    chosen = [np.append(offer.at(levels), len(offer.levels) - 1) for offer in offers]
    ranks = np.concatenate([offer.ranks[at] for offer, at in zip(offers, chosen, strict=True)], axis=1)
    saved = np.sum([offer.cost[-1] - offer.cost[at] for offer, at in zip(offers, chosen, strict=True)], axis=0)
    ranks, steps = np.unique(ranks, axis=0, return_index=True)
    return Ladder(tuple(spectra), ranks, 1 - saved[steps] / total, tuple(offer.ranks.shape[1] for offer in offers))


def table_ladder(tables: NetworkTables, rule: str, cost: str) -> Ladder:
    """The ladder of a network's tables, its head dense; `cost` is "params" or "macs"."""
    check_name(cost, COSTS, name="cost")
    planned = [table for table in tables.layers if not table.is_head]
    prices = {table.name: table.price(cost) for table in planned}
    return ladder({table.name: table.modes for table in planned}, rule, prices, tables.total(cost))


def params_prices(spectra: Mapping[str, Modes]) -> dict[str, Price]:
    """Prices of layers in parameters."""
    return {name: params_price(_modes(found)) for name, found in spectra.items()}


def path_of(rule: str, modes: Modes) -> tuple[np.ndarray, np.ndarray]:
    """A rule's path for one layer up to full rank: the levels (k,) from which on it takes the ranks (k, d)."""
    return RULES[rule](_modes(modes))


def _uniform(modes: Sequence[Spectrum]) -> tuple[np.ndarray, np.ndarray]:
    """The same share of the size of every mode; the level is the fraction kept of the layer's numbers."""
    sizes = [len(mode.values) for mode in modes]
    shares = np.unique(np.concatenate([np.arange(1, size + 1) / size for size in sizes]))
    ranks = np.stack([np.maximum(np.floor(shares * size + 1e-9), 1).astype(int) for size in sizes], axis=1)
    ranks = np.unique(ranks, axis=0)
    price = params_price(modes)
    return price.of(ranks) / price.dense, ranks


def _energy(modes: Sequence[Spectrum]) -> tuple[np.ndarray, np.ndarray]:
    """The smallest ranks that keep more energy than the level in every mode."""
    levels = np.unique(np.concatenate([[0.0], *(mode.energy[:-1] for mode in modes)]))
    ranks = [np.searchsorted(mode.energy, levels, side="right") + 1 for mode in modes]
    return levels, np.stack([np.minimum(r, len(m.values)) for r, m in zip(ranks, modes, strict=True)], axis=1)


RULES: dict[str, Callable[[Sequence[Spectrum]], tuple[np.ndarray, np.ndarray]]] = {
    "energy": _energy,
    "uniform": _uniform,
}


def _choices(path: tuple[np.ndarray, np.ndarray], modes: Modes, price: Price) -> Choices:
    """The choices of a path that save; the layer is dense from where the first does not."""
    levels, ranks = path
    # What saves parameters need not save arithmetic, where a factor works before a stride.
    saving = [cost.of(ranks) < cost.dense for cost in (params_price(_modes(modes)), price)]
    n = int(np.argmin(np.all(saving, axis=0)))
    levels = np.concatenate([[0.0], levels[1 : n + 1]])
    return Choices(levels, np.vstack([ranks[:n], ranks[-1:]]), np.append(price.of(ranks[:n]), price.dense))


def _modes(found: Modes) -> tuple[Spectrum, ...]:
    return (found,) if isinstance(found, Spectrum) else found
