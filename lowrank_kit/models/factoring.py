"""Networks with layers in factored form, to train; and back into plain layers, to use."""

import math
from collections.abc import Collection, Mapping

import torch
from torch import nn

from lowrank_kit.checks import InputError, check_fraction, check_name
from lowrank_kit.models.factored import VIEWS, Factored, View, factored_layer, suited_view, viewed
from lowrank_kit.models.inventory import inventory, layers_of, weights_hash
from lowrank_kit.models.low_rank import groups_of
from lowrank_kit.models.replacement import replaced
from lowrank_kit.records import RankPlan

__all__ = ["factored", "factored_layers", "plain", "trainable_layers"]


def trainable_layers(model: nn.Module) -> dict[str, nn.Linear | nn.Conv2d]:
    """{name: layer} of the layers that can be trained in factored form: linear, and two-dimensional without groups.

    Those that are frozen and those that share their weight are none of them.
    """
    sites = inventory(model)
    shared = {site.twin_of for site in sites.values()}
    found = {name: layer for name, layer in layers_of(sites).items() if layer.weight.requires_grad}
    kinds = (nn.Linear, nn.Conv2d)
    return {n: x for n, x in found.items() if n not in shared and isinstance(x, kinds) and groups_of(x) == 1}


def factored(
    model: nn.Module, *, rank: float = 0.5, keep: Collection[str] | None = None, view: View = "tucker"
) -> nn.Module:
    """A copy of the model with its layers in factored form, at `rank` times the size of every mode.

    Each begins as the truncated HOSVD of its weight, at that weight's norm: of a random weight, truncation keeps so
    little that signals would die out.

    Parameters
    ----------
    rank : fraction of every mode's size, above 0 and at most 1; rounded up
    keep : layers to leave as they are; the first and the last one where not given

    Raises InputError for a name that is no layer, where nothing is left to factor, and for NaN or infinite weights.
    """
    check_fraction(rank, name="rank")
    check_name(view, VIEWS, name="view")
    layers = trainable_layers(model)
    for name in keep or ():
        check_name(name, layers, name="keep")
    ends = {*list(layers)[:1], *list(layers)[-1:]}
    chosen = {name: layer for name, layer in layers.items() if name not in (ends if keep is None else keep)}
    if not chosen:
        raise InputError(
            "`model` must have a linear layer or a two-dimensional convolution without groups besides those that are "
            f"kept; it has {', '.join(layers) or 'none'}."
        )
    return replaced(model, {name: _start(name, layer, rank, view) for name, layer in chosen.items()})


def plain(network: nn.Module, *, rule: str = "adaptive") -> tuple[nn.Module, RankPlan]:
    """The network with plain layers in place of factored ones, and the plan that its blocks follow.

    A layer becomes two or three plain layers, or one where those would not be smaller. The plan belongs to the dense
    network that computes the same, so that `save` and `restore` serve both.
    """
    found = {name: layer.plain() for name, layer in factored_layers(network).items()}
    dense = replaced(network, {name: layer.dense() for name, layer in factored_layers(network).items()})
    plans = {name: plan for name, (_, plan) in found.items() if plan is not None}
    return replaced(network, {name: layer for name, (layer, _) in found.items()}), RankPlan(
        plans, weights_hash(dense), rule
    )


def factored_layers(model: nn.Module) -> Mapping[str, Factored]:
    """{name: layer} of the layers in factored form, in order."""
    return {name: module for name, module in model.named_modules() if isinstance(module, Factored)}


def _start(name: str, layer: nn.Linear | nn.Conv2d, rank: float, view: View) -> Factored:
    view = suited_view(layer, view)
    modes = viewed(layer, view).shape[: 4 if view == "kernel" else 2]
    ranks = [math.ceil(round(rank * n, 9)) for n in modes]
    if view == "matrix":
        ranks = [min(ranks)] * 2  # a matrix has one rank
    found = factored_layer(layer, ranks, view, name=name)
    with torch.no_grad():
        found.core.mul_(layer.weight.norm() / found.core.norm().clamp(min=torch.finfo(found.core.dtype).tiny))
    return found
