"""What becomes of one matrix of a network under a plan, in words and numbers."""

from lowrank_kit.models.blocks import n_factors, saves
from lowrank_kit.models.inventory import Site
from lowrank_kit.models.layers import Factorable
from lowrank_kit.models.low_rank import matrix_shape
from lowrank_kit.records import LayerPlan, LayerReport, break_even_rank

__all__ = ["report"]


def report(site: Site, plan: LayerPlan | None, *, is_head: bool, guard: bool) -> LayerReport:
    """The report of a site; `plan` is that of the site or, where it shares a weight, of the site it goes with."""
    if site.layer is None:
        return LayerReport(site.name, site.kind, "refused", site.reason, site.n_params, site.n_params)
    if plan is None:
        reason = "classifier head, left out of the plan" if is_head else _unplanned(site)
        return LayerReport(site.name, site.kind, "dense", reason, site.n_params, site.n_params)
    if guard and not saves(site.layer, plan):
        reason = _no_saving(site.layer, plan)
        return LayerReport(site.name, site.kind, "dense", reason, site.n_params, site.n_params)
    return _compressed(site, plan)


def _no_saving(layer: Factorable, plan: LayerPlan) -> str:
    if plan.method == "tucker":
        return f"ranks {plan.rank} save nothing: {n_factors(layer, plan):,} numbers for {layer.weight.numel():,}"
    limit = break_even_rank(matrix_shape(layer, plan.method))
    return f"rank {plan.rank} saves nothing: factors are smaller up to rank {limit}"


def _unplanned(site: Site) -> str:
    m, n = matrix_shape(site.layer) if site.layer is not None else (0, 0)
    return "not in the plan" if break_even_rank((m, n)) else f"no rank makes it smaller: {m} x {n} in each group"


def _compressed(site: Site, plan: LayerPlan) -> LayerReport:
    layer = site.layer
    assert layer is not None
    after = sum(p.numel() for p in layer.parameters()) - layer.weight.numel() + n_factors(layer, plan)
    share = f"{after / site.n_params:.0%} of its parameters remain"
    notes = [share, *([f"shares its factors with {site.twin_of}"] if site.twin_of else []), *site.notes]
    return LayerReport(site.name, site.kind, "compressed", "; ".join(notes), site.n_params, after, str(plan))
