"""What a plan makes of a layer: a block of two factors, or of three."""

from typing import cast

from lowrank_kit.checks import InputError, check_name, check_rank
from lowrank_kit.models.layers import Convolution, Factorable
from lowrank_kit.models.low_rank import LowRank, groups_of, low_rank, matrix_shape, methods_for
from lowrank_kit.models.tucker import Tucker, tucker
from lowrank_kit.records import LayerPlan, Rank, factor_params, tucker_params

__all__ = ["check_plan", "empty_block", "n_factors", "rank_of", "saves"]


def check_plan(name: str, layer: Factorable, plan: LayerPlan) -> None:
    """Raise unless the layer has this method and this rank."""
    check_name(plan.method, methods_for(layer), name=f"method of {name}")
    if plan.method != "tucker":
        check_rank(plan.ranks[0], matrix_shape(layer, plan.method), name=f"rank of {name}")
    elif not all(rank <= size for rank, size in zip(plan.ranks, layer.weight.shape, strict=False)):
        limits = tuple(layer.weight.shape[:2])
        raise InputError(f"`rank of {name}` must be at most the sizes of its two modes, {limits}; got {plan.rank}.")


def empty_block(layer: Factorable, plan: LayerPlan) -> LowRank:
    """The block that takes the layer's place, all its factors zero."""
    if plan.method == "tucker":
        return tucker(cast(Convolution, layer), plan.ranks)
    return low_rank(layer, plan.method, plan.ranks[0])


def n_factors(layer: Factorable, plan: LayerPlan) -> int:
    """Numbers stored in the block's factors, its bias aside."""
    if plan.method == "tucker":
        return tucker_params(plan.ranks, tuple(layer.weight.shape))
    return groups_of(layer) * factor_params(plan.ranks[0], matrix_shape(layer, plan.method))


def saves(layer: Factorable, plan: LayerPlan) -> bool:
    """Whether the factors are strictly fewer numbers than the weight."""
    return n_factors(layer, plan) < layer.weight.numel()


def rank_of(block: LowRank) -> Rank:
    """The rank a block was made with."""
    if isinstance(block, Tucker):
        return block.ranks
    return int(block.reduce.weight.shape[0]) // getattr(block.reduce, "groups", 1)
