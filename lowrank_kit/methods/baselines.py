"""What rank-adaptive training is compared with: narrower networks, fixed ranks, pruned weights.

Each gives an ordinary network, to be trained by :class:`lowrank_kit.methods.training.Training` like any other.
"""

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import torch
from torch import nn
from torch.nn.utils import prune

from lowrank_kit.checks import InputError, check_name
from lowrank_kit.measurement.cost import macs, n_params
from lowrank_kit.models.factoring import trainable_layers
from lowrank_kit.models.inventory import weights_hash
from lowrank_kit.models.replacement import replaced
from lowrank_kit.models.surgery import compress
from lowrank_kit.records import RankPlan

__all__ = ["n_nonzero", "narrower", "pruned", "settled", "with_ranks"]

# Halvings of the interval of widths: finer than a channel of any network.
HALVINGS = 16


def narrower(
    build: Callable[[float], nn.Module],
    x: np.ndarray | None = None,
    *,
    most_macs: int | None = None,
    most_params: int | None = None,
) -> tuple[nn.Module, float]:
    """The widest network within the limits, and its width: a plain network of the same cost.

    Parameters
    ----------
    build : makes a network of a width, a fraction of the full one's channels, above 0 and at most 1
    x : inputs (n, ...), of which the first is run; multiply-adds depend on their size
    most_macs, most_params : multiply-adds for one example, and parameters, that it may have

    The network starts from the random numbers that it would start from had only it been built. Raises InputError
    without a limit, and where the narrowest network is beyond it.
    """
    if (most_macs is None and most_params is None) or (most_macs is not None and x is None):
        raise InputError("give `most_params`, or `most_macs` with inputs `x` to count them on; got neither.")

    def fits(width: float) -> bool:
        model = build(width)
        slim = most_params is None or n_params(model) <= most_params
        return slim and (most_macs is None or x is None or macs(model, x) <= most_macs)

    with _random_numbers_kept():
        width = _widest(fits)
    if width is None:
        raise InputError(
            f"the limit must leave room for the narrowest network; {most_macs or most_params:,} is too little. "
            "Raise it, or build with fewer layers."
        )
    return build(width), width


def with_ranks(model: nn.Module, plan: RankPlan) -> nn.Module:
    """A copy with the ranks that another network was given, to train its factors as they are.

    It starts as the best approximation of the model at these ranks. Raises InputError where the plan names a layer, a
    method or a rank that the model does not have.
    """
    return compress(model, replace(plan, weights=weights_hash(model)))


def pruned(model: nn.Module, n_kept: int, *, keep: Collection[str] | None = None) -> nn.Module:
    """A copy in which the largest `n_kept` weights of all layers together are left and the others are zero.

    They stay zero while the copy is trained, by the masks of torch.nn.utils.prune, until it is `settled`. Zeros are
    stored and multiplied like other numbers: neither memory nor time is saved by them alone.

    Parameters
    ----------
    n_kept : how many weights are left, of those of all layers that are not kept
    keep : names of layers to leave whole; the first and the last one where not given
    """
    network = replaced(model, {})
    layers = _pruned_layers(network, keep)
    total = sum(layer.weight.numel() for layer in layers)
    if not 0 < n_kept <= total:
        raise InputError(f"`n_kept` must lie between 1 and the {total:,} weights of the layers; got {n_kept!r}.")
    # Not prune.global_unstructured, which can't take weights that are laid out channels last.
    sizes = torch.cat([layer.weight.detach().abs().flatten() for layer in layers])
    left = torch.zeros(total, dtype=torch.bool, device=sizes.device)
    left[sizes.topk(n_kept).indices] = True
    for layer, mask in zip(layers, left.split([layer.weight.numel() for layer in layers]), strict=True):
        prune.custom_from_mask(layer, "weight", mask.reshape(layer.weight.shape).to(layer.weight))
    return network


def settled(model: nn.Module) -> nn.Module:
    """The pruned network, its zeros made part of its weights and the masks gone; changed in place."""
    for module in model.modules():
        if any(isinstance(hook, prune.BasePruningMethod) for hook in module._forward_pre_hooks.values()):
            prune.remove(module, "weight")
            if "bias" in module._parameters:  # behind the weight again, as a hash of the network wants it
                module._parameters["bias"] = module._parameters.pop("bias")
    return model


def n_nonzero(model: nn.Module) -> int:
    """Parameters that are not zero; a shared one counts once."""
    return sum(int(torch.count_nonzero(parameter)) for parameter in model.parameters())


def _pruned_layers(model: nn.Module, keep: Collection[str] | None) -> list[nn.Linear | nn.Conv2d]:
    layers = trainable_layers(model)
    for name in keep or ():
        check_name(name, layers, name="keep")
    ends = {*list(layers)[:1], *list(layers)[-1:]}
    chosen = [layer for name, layer in layers.items() if name not in (ends if keep is None else keep)]
    if not chosen:
        raise InputError(
            f"`model` must have a layer besides those that are kept; it has {', '.join(layers) or 'none'}."
        )
    return chosen


def _widest(fits: Callable[[float], bool]) -> float | None:
    """The largest width, to one part in 65,536, that fits."""
    if fits(1.0):
        return 1.0
    low, high = 0.0, 1.0
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low or None


@contextmanager
def _random_numbers_kept() -> Iterator[None]:
    with torch.random.fork_rng():
        yield
