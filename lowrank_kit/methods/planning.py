"""A plan from a rule and a budget."""

from typing import Literal

from torch import nn

from lowrank_kit.checks import InputError, check_name
from lowrank_kit.measurement.cost import layer_params, macs, positions
from lowrank_kit.methods.allocation import COSTS, ladder
from lowrank_kit.models.inventory import head_of, weights_hash
from lowrank_kit.models.surgery import spectra
from lowrank_kit.records import Data, Examples, LayerPlan, RankPlan

__all__ = ["plan"]

Cost = Literal["params", "macs"]


def plan(
    model: nn.Module,
    *,
    rule: str = "energy",
    budget: float = 0.5,
    cost: Cost = "params",
    data: Data | Examples | None = None,
    keep_head: bool = True,
) -> RankPlan:
    """Ranks for the model's layers under a budget.

    Parameters
    ----------
    rule : "energy" keeps the same energy in every layer, "uniform" the same fraction of every layer
    budget : the fraction kept, above 0 and at most 1, of the parameters of the convolution and linear layers, or of
        their multiply-adds with cost="macs"
    data : any examples the model takes; needed for cost="macs", which depends on the size of the input
    keep_head : leave the last layer dense; cutting a classifier's few outputs costs points by itself

    A layer that would not become smaller is left out of the plan. Raises InputError for a budget that cannot be
    reached, an unknown rule or cost, or a network without such layers.
    """
    check_name(cost, COSTS, name="cost")
    if cost == "macs" and data is None:
        raise InputError('`data` must come with cost="macs": multiply-adds depend on the size of the input.')
    x = None if data is None else (data.validation if isinstance(data, Data) else data).x
    reached = {} if x is None else positions(model, x)
    head = head_of(model, reached) if keep_head else None
    planned = {name: spectrum for name, spectrum in spectra(model).items() if name != head}
    weight = {name: float(reached.get(name, 0)) if cost == "macs" else 1.0 for name in planned}
    total = layer_params(model) if cost == "params" or x is None else macs(model, x)
    ranks = ladder(planned, rule, weight, total).at(budget)
    chosen = {name: LayerPlan(rank) for name, rank in ranks.items() if rank < min(planned[name].shape)}
    return RankPlan(chosen, weights_hash(model), rule, budget, cost)
