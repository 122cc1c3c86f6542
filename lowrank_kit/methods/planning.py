"""A plan from a rule and a budget."""

from collections.abc import Collection, Mapping
from typing import Any, Literal

import numpy as np
from torch import nn

from lowrank_kit.checks import InputError, check_name
from lowrank_kit.measurement.cost import layer_macs, layer_params, macs, pair_macs, rank_macs
from lowrank_kit.methods.allocation import COSTS, RULES, Modes, Price, ladder, params_prices
from lowrank_kit.models.inventory import head_of
from lowrank_kit.models.low_rank import suited
from lowrank_kit.models.surgery import Factorisation
from lowrank_kit.records import METHODS, Data, Examples, LayerPlan, Rank, RankPlan, Spectrum

__all__ = ["plan"]

Cost = Literal["params", "macs"]
Method = Literal["svd", "spatial", "aware", "tucker", "any"]


def plan(
    model: nn.Module | Factorisation,
    *,
    rule: str = "energy",
    budget: float = 0.5,
    cost: Cost = "params",
    method: Method = "svd",
    data: Data | Examples | None = None,
    keep_head: bool = True,
    layers: Collection[str] | None = None,
    batch: int = 1,
) -> RankPlan:
    """Ranks for the model's layers under a budget.

    Parameters
    ----------
    model : the network, or its Factorisation, which remembers decompositions and data for the next plan
    rule : "energy" keeps the same energy in every layer, "uniform" the same fraction of every layer; "latency" times
        layers and the network on this machine and loses the least accuracy on validation data
        (:mod:`lowrank_kit.methods.latency_planning`)
    budget : the fraction kept, above 0 and at most 1, of the parameters of the convolution and linear layers; of the
        network's multiply-adds with cost="macs"; of its time with rule="latency"
    method : "svd"; "spatial", a k x k convolution as k x 1 and 1 x k; "aware", fitted to what the layers put out on
        `data`; or "tucker", a convolution as 1 x 1, k x k and 1 x 1, with a rank for its outputs and one for its
        inputs. A layer that a method does not suit takes "svd". With rule="latency" also "any", by which every layer
        takes the method that serves it best
    data : any examples the model takes; needed for cost="macs", which depends on the size of the input, for
        rule="latency", which judges on validation examples where there are any, and for method="aware", which takes
        training examples where there are any
    keep_head : leave the last layer dense; cutting a classifier's few outputs costs points by itself
    layers : the names of those that are planned, while the others stay dense and the budget is no share of them; all
        by default
    batch : how many examples at a time the rule "latency" plans for

    A layer that would not become smaller is left out of the plan. Raises InputError for a budget that cannot be
    reached, an unknown rule, cost or method, or a network without such layers.
    """
    check_name(cost, COSTS, name="cost")
    check_name(method, (*METHODS, "any") if rule == "latency" else METHODS, name="method")
    check_name(rule, (*RULES, "latency"), name="rule")
    found = model if isinstance(model, Factorisation) else Factorisation(model)
    for name in layers or ():
        check_name(name, found.layers, name="layers")
    data = found.data = found.data or data
    if rule == "latency":
        return _by_latency(found, data, budget=budget, batch=batch, method=method, keep_head=keep_head, layers=layers)
    if cost == "macs" and data is None:
        raise InputError('`data` must come with cost="macs": multiply-adds depend on the size of the input.')
    x = None if data is None else (data.validation if isinstance(data, Data) else data).x
    reached = {} if x is None else layer_macs(found.model, x)
    head = head_of(found.model, reached) if keep_head else None
    counted = [n for n in (found.layers if cost == "params" else reached) if layers is None or n in layers]
    methods = {name: suited(found.layers[name], method) for name in counted if name != head}
    spectra = {name: _modes(found, name, how) for name, how in methods.items()}
    if cost == "params" or x is None:
        prices, total = params_prices(spectra), layer_params(found.model, layers)
    else:
        prices = _macs_prices(found, methods, reached, x)
        total = macs(found.model, x) if layers is None else sum(reached[name] for name in counted)
    ranks = ladder(spectra, rule, prices, total).at(budget)
    chosen = {name: LayerPlan(rank, methods[name]) for name, rank in ranks.items() if rank != _full(spectra[name])}
    return RankPlan(chosen, found.weights, rule, budget, cost)


def _by_latency(found: Factorisation, data: Data | Examples | None, budget: float, **options: Any) -> RankPlan:
    if data is None:
        raise InputError('`data` must come with rule="latency": accuracy is judged, and time is taken, on examples.')
    # Loaded here, since the optimiser behind it takes 20 MB that boards can do without.
    from lowrank_kit.methods.latency_planning import LatencyPlanner

    examples = data.validation if isinstance(data, Data) else data
    return LatencyPlanner(found, examples, **options).at(budget)


def _modes(found: Factorisation, name: str, method: str) -> Modes:
    return found.modes(name)[1] if method == "tucker" else found.spectrum(name, method)


def _full(modes: Modes) -> Rank:
    return min(modes.shape) if isinstance(modes, Spectrum) else (len(modes[0].values), len(modes[1].values))


def _macs_prices(
    found: Factorisation, methods: Mapping[str, str], dense: Mapping[str, int], x: np.ndarray
) -> dict[str, Price]:
    """Prices of layers in multiply-adds."""
    pairs = pair_macs(found.model, x, [name for name, how in methods.items() if how == "tucker"])
    ones = {name: LayerPlan(1, how) for name, how in methods.items() if how != "tucker"}
    in_pairs = {name: Price(dense[name], (outputs, inputs), both) for name, (outputs, inputs, both) in pairs.items()}
    return in_pairs | {name: Price(dense[name], a_unit) for name, a_unit in rank_macs(found.model, x, ones).items()}
