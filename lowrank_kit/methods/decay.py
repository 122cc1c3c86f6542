"""Does it matter how a core begins? Trainings that start from cores whose entries fall off steeply.

The gradients of plain factors are products with the core, so directions with small entries hardly move. Rank-adaptive
training takes its bases from the gradients' span, whatever their size (arXiv 2305.19059).
"""

from collections.abc import Collection, Iterable
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import nn

from lowrank_kit.checks import InputError, check_name
from lowrank_kit.maths.tensor import hosvd
from lowrank_kit.methods.adaptive import Adaptation, AdaptiveTraining
from lowrank_kit.methods.training import Training
from lowrank_kit.models.factoring import factored, plain
from lowrank_kit.models.replacement import replaced
from lowrank_kit.models.tucker import as_tensor
from lowrank_kit.records import LossCurve, TuckerFactors

__all__ = ["best_rates", "decaying", "quadratic_descent", "with_decaying_cores"]

# The quadratic: a weight of this shape has to become one of norm 1 and these ranks; training starts from more of them.
SHAPE, RANKS = (32, 24, 3, 3), (5, 4)
START = 1 / 3
TOLERANCE = 0.01
METHODS = ("adaptive", "vanilla")


def decaying(tensor: np.ndarray, decay: float) -> np.ndarray:
    """The tensor with entry (i, j, ...) of its HOSVD core in two modes times 10^(-decay max(i, j)), at its old norm.

    >>> decaying(np.diag([4.0, 3.0]), 1.0).round(2).tolist()
    [[4.99, 0.0], [0.0, 0.37]]
    """
    if not decay >= 0:
        raise InputError(f"`decay` must be a number of at least 0; got {decay!r}.")
    full, _ = hosvd(tensor, 2)
    factor = 10.0 ** (-decay * np.indices(full.ranks).max(axis=0))
    core = full.core * factor.reshape(*factor.shape, *[1] * (full.core.ndim - 2))
    found = TuckerFactors(core, full.factors).dense()
    size = np.linalg.norm(found)
    return found * (np.linalg.norm(tensor) / size) if size else found


def with_decaying_cores(model: nn.Module, layers: Collection[str], decay: float) -> nn.Module:
    """A copy with decaying cores in the weights of these layers."""
    network = replaced(model, {})
    own: dict[str, Any] = dict(network.named_modules())
    for name in layers:
        check_name(name, own, name="layer")
        with torch.no_grad():
            own[name].weight.copy_(torch.from_numpy(np.ascontiguousarray(decaying(as_tensor(own[name]), decay))))
    return network


def quadratic_descent(method: str, decay: float, rate: float, *, steps: int = 40, seed: int = 0) -> LossCurve:
    """Gradient descent on ||W - A||^2 / 2 from a weight with a decaying core, in factors; A has ranks (5, 4).

    Every entry of W counts alike and all by itself, which flatters methods that follow the gradient of W: a full step
    of rate 1 would be the solution. The loss is infinite from where a training breaks off.
    """
    check_name(method, METHODS, name="method")
    rng = np.random.default_rng(seed)
    target = hosvd(rng.standard_normal(SHAPE), 2)[0].truncate(RANKS).dense()
    start = decaying(rng.standard_normal(SHAPE), decay)
    layer = nn.Conv2d(SHAPE[1], SHAPE[0], 3, bias=False, dtype=torch.float64)
    with torch.no_grad():
        layer.weight.copy_(torch.from_numpy(start / np.linalg.norm(start)))
    training, losses = _training(method, nn.Sequential(layer), rate), []
    # Every patch with a single one in it: what the layer gives for all of them is its weight.
    patches = torch.eye(target[0].size, dtype=torch.float64).reshape(-1, *SHAPE[1:])
    wanted = torch.from_numpy((target / np.linalg.norm(target)).reshape(SHAPE[0], -1).T)
    try:
        for _ in range(steps + 1):
            losses.append(training.step(patches, wanted))
    except InputError:
        losses += [np.inf] * (steps + 1 - len(losses))
    return LossCurve(method, decay, rate, np.arange(steps + 1), np.array([losses]))


def best_rates(curves: Iterable[LossCurve]) -> list[LossCurve]:
    """Of every method and decay the curve that ends lowest."""
    best: dict[tuple[str, float], LossCurve] = {}
    for curve in curves:
        key = curve.method, curve.decay
        if key not in best or curve.last < best[key].last:
            best[key] = curve
    return list(best.values())


def _training(method: str, model: nn.Module, rate: float) -> Training:
    descent = partial(torch.optim.SGD, lr=rate)
    if method == "vanilla":
        return Training(plain(factored(model, rank=START, keep=()))[0], descent, loss=_half_square)
    adaptation = Adaptation(tolerance=TOLERANCE, local_steps=1)
    return AdaptiveTraining(model, descent, adaptation, rank=START, keep=(), loss=_half_square)


def _half_square(outputs: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
    return (outputs.flatten(1) - wanted).square().sum() / 2
