"""A plan from a rule and a budget."""

from typing import Literal

from torch import nn

from lowrank_kit.checks import InputError, check_name
from lowrank_kit.measurement.cost import layer_macs, layer_params, macs, rank_macs
from lowrank_kit.methods.allocation import COSTS, Price, ladder, params_prices
from lowrank_kit.models.inventory import head_of
from lowrank_kit.models.low_rank import suited
from lowrank_kit.models.surgery import Factorisation
from lowrank_kit.records import METHODS, Data, Examples, LayerPlan, RankPlan

__all__ = ["plan"]

Cost = Literal["params", "macs"]
Method = Literal["svd", "spatial", "aware"]


def plan(
    model: nn.Module | Factorisation,
    *,
    rule: str = "energy",
    budget: float = 0.5,
    cost: Cost = "params",
    method: Method = "svd",
    data: Data | Examples | None = None,
    keep_head: bool = True,
) -> RankPlan:
    """Ranks for the model's layers under a budget.

    Parameters
    ----------
    model : the network, or its Factorisation, which remembers decompositions and data for the next plan
    rule : "energy" keeps the same energy in every layer, "uniform" the same fraction of every layer
    budget : the fraction kept, above 0 and at most 1, of the parameters of the convolution and linear layers, or of
        the network's multiply-adds with cost="macs"
    method : "svd"; "spatial", a k x k convolution as k x 1 and 1 x k; or "aware", fitted to what the layers put out
        on `data`. A layer that a method does not suit takes "svd"
    data : any examples the model takes; needed for cost="macs", which depends on the size of the input, and for
        method="aware", which takes training examples where there are any
    keep_head : leave the last layer dense; cutting a classifier's few outputs costs points by itself

    A layer that would not become smaller is left out of the plan. Raises InputError for a budget that cannot be
    reached, an unknown rule, cost or method, or a network without such layers.
    """
    check_name(cost, COSTS, name="cost")
    check_name(method, METHODS, name="method")
    found = model if isinstance(model, Factorisation) else Factorisation(model)
    data = found.data = found.data or data
    if cost == "macs" and data is None:
        raise InputError('`data` must come with cost="macs": multiply-adds depend on the size of the input.')
    x = None if data is None else (data.validation if isinstance(data, Data) else data).x
    reached = {} if x is None else layer_macs(found.model, x)
    head = head_of(found.model, reached) if keep_head else None
    counted = found.layers if cost == "params" else reached
    methods = {name: suited(layer, method) for name, layer in found.layers.items() if name in counted and name != head}
    spectra = {name: found.spectrum(name, how) for name, how in methods.items()}
    if cost == "params" or x is None:
        prices, total = params_prices(spectra), layer_params(found.model)
    else:
        per_rank = rank_macs(found.model, x, {name: LayerPlan(1, how) for name, how in methods.items()})
        prices = {name: Price(reached[name], per_rank[name]) for name in methods}
        total = macs(found.model, x)
    ranks = ladder(spectra, rule, prices, total).at(budget)
    cut = [name for name, rank in ranks.items() if rank < min(spectra[name].shape)]
    chosen = {name: LayerPlan(ranks[name], methods[name]) for name in cut}
    return RankPlan(chosen, found.weights, rule, budget, cost)
