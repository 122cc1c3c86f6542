"""Rules that spread a budget over layers; from spectra alone, without torch.

A rule is a path: as its one level rises, no layer's rank falls. So every choice the rule can make lies on one
ladder of rank vectors, sorted by cost, and a budget is looked up on it.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from lowrank_kit.checks import InputError, check_fraction, check_name
from lowrank_kit.records import RankTables, Spectrum, factor_params

__all__ = ["COSTS", "RULES", "Ladder", "Price", "ladder", "params_prices", "table_ladder"]

COSTS = ("params", "macs")


@dataclass(frozen=True, eq=False)
class Ladder:
    """Rank vectors (steps, layers) from rank 1 everywhere to dense, and each one's cost as a fraction (steps,).

    A layer at full rank is dense: the break-even guard has lifted every rank that would not save.
    """

    layers: tuple[str, ...]
    ranks: np.ndarray
    cost: np.ndarray

    def at(self, budget: float) -> dict[str, int]:
        """The ranks of the dearest step within the budget. Raises InputError where even the first step is over it."""
        check_fraction(budget, name="budget")
        if budget < self.cheapest:
            raise InputError(
                f"`budget` must be at least {self.cheapest:.4f} for this network, which is rank 1 in every layer "
                f"of the plan and the others dense; got {budget}."
            )
        return dict(zip(self.layers, self.table(np.array([budget]))[0].tolist(), strict=True))

    def table(self, budgets: np.ndarray) -> np.ndarray:
        """Rank vectors (b, layers) for budgets (b,), as `at` finds them; the first step where one is too small."""
        # Costs are sums of fractions: let a budget that names a step's cost exactly have that step.
        steps = np.searchsorted(self.cost, budgets + 1e-12, side="right") - 1
        return self.ranks[np.maximum(steps, 0)]

    @cached_property
    def cheapest(self) -> float:
        return float(self.cost[0])


@dataclass(frozen=True)
class Price:
    """What a layer costs when dense, and for each unit of its rank."""

    dense: float
    per_rank: float


def ladder(spectra: Mapping[str, Spectrum], rule: str, prices: Mapping[str, Price], total: float) -> Ladder:
    """All choices of a rule over the layers of `spectra`.

    Parameters
    ----------
    rule : "uniform" keeps the same fraction of every layer's numbers; "energy" the same energy in every layer
    prices : of each layer, in parameters or multiply-adds
    total : what all layers that the budget is a share of cost when dense, those not on the ladder included
    """
    check_name(rule, RULES, name="rule")
    if not spectra:
        raise InputError("there is no layer to plan: the network has no linear or convolution layer besides its head.")
    found = list(spectra.values())
    ranks = _guarded(RULES[rule](found), found)
    if total == 0:
        raise InputError("there is nothing to plan: no linear or convolution layer is reached by the example inputs.")
    dense, per_rank = (np.array([getattr(prices[n], part) for n in spectra]) for part in ("dense", "per_rank"))
    # A rank that saves parameters need not save arithmetic, where the first of two factors works before a stride.
    ranks = np.unique(np.where(ranks * per_rank < dense, ranks, _full(found)), axis=0)
    saved = np.where(ranks < _full(found), dense - ranks * per_rank, 0.0).sum(axis=1)
    return Ladder(tuple(spectra), ranks, 1 - saved / total)


def table_ladder(tables: RankTables, rule: str, cost: str) -> Ladder:
    """The ladder of a network's tables, its head dense; `cost` is "params" or "macs"."""
    check_name(cost, COSTS, name="cost")
    planned = {table.name: table.spectrum for table in tables.layers if not table.is_head}
    in_macs = {table.name: Price(table.macs, table.rank_macs) for table in tables.layers}
    prices, total = (params_prices(planned), tables.layer_params) if cost == "params" else (in_macs, tables.macs)
    return ladder(planned, rule, prices, total)


def params_prices(spectra: Mapping[str, Spectrum]) -> dict[str, Price]:
    """Prices of layers in parameters."""
    return {name: Price(s.groups * s.shape[0] * s.shape[1], s.groups * sum(s.shape)) for name, s in spectra.items()}


def _uniform(spectra: Sequence[Spectrum]) -> np.ndarray:
    """rank = level x m n / (m + n), the level being the fraction kept of every layer."""
    affordable = _areas(spectra) / _sums(spectra)
    steps = [np.arange(1, s.break_even_rank + 1) / most for s, most in zip(spectra, affordable, strict=True)]
    levels = np.unique(np.concatenate([*steps, [1.0]]))
    return np.clip(np.floor(levels[:, None] * affordable + 1e-9), 1, _full(spectra)).astype(int)


def _energy(spectra: Sequence[Spectrum]) -> np.ndarray:
    """The smallest ranks that keep the level's energy in every layer."""
    levels = np.unique(np.concatenate([s.energy for s in spectra]))
    return np.stack([np.minimum(np.searchsorted(s.energy, levels) + 1, len(s.values)) for s in spectra], axis=1)


RULES: dict[str, Callable[[Sequence[Spectrum]], np.ndarray]] = {"energy": _energy, "uniform": _uniform}


def _guarded(ranks: np.ndarray, spectra: Sequence[Spectrum]) -> np.ndarray:
    """Ranks that would not save are full, and the last step is dense whatever the rule."""
    limit = np.array([s.break_even_rank for s in spectra])
    lifted = np.where(ranks <= limit, ranks, _full(spectra))
    return np.unique(np.vstack([lifted, _full(spectra)]), axis=0)


def _areas(spectra: Sequence[Spectrum]) -> np.ndarray:
    return np.array([s.shape[0] * s.shape[1] for s in spectra])


def _sums(spectra: Sequence[Spectrum]) -> np.ndarray:
    return np.array([factor_params(1, s.shape) for s in spectra])


def _full(spectra: Sequence[Spectrum]) -> np.ndarray:
    return np.array([min(s.shape) for s in spectra])
