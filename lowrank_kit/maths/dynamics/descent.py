"""Gradient descent of deep linear networks, with gradients written by hand."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np

from lowrank_kit.checks import InputError, check_name
from lowrank_kit.maths.dynamics.objective import Objective

__all__ = ["RULES", "Rule", "descend", "descended", "gradients", "products", "sharpness"]

RULES = ("descent", "momentum", "adam")
# What the field takes where nothing is said: heavy ball 0.9; Adam 0.9, 0.999 and 1e-8 (arXiv:1412.6980).
MOMENTUM, DECAYS, EPSILON = 0.9, (0.9, 0.999), 1e-8

Move = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Rule:
    """How weights follow their gradients.

    "descent": W - rate (G + decay W). "momentum": the same along a running sum of gradients that fades by 0.9 a step
    (heavy ball). "adam": every entry at a pace of its own. Raises InputError for an unknown kind or rates below 0.
    """

    learning_rate: float
    kind: str = "descent"
    weight_decay: float = 0.0

    def __post_init__(self) -> None:
        check_name(self.kind, RULES, name="kind")
        for name in ("learning_rate", "weight_decay"):
            value = getattr(self, name)
            if not 0 <= value < np.inf:
                raise InputError(f"`{name}` must be a number of at least 0; got {value!r}.")

    def mover(self, rate: float = 1.0) -> Move:
        """What a gradient changes, at a share of the learning rate; it remembers the gradients before."""
        return {"descent": _plain, "momentum": _heavy, "adam": _adam}[self.kind](rate * self.learning_rate)

    def limit(self, sharpness: float) -> float:
        """The learning rate beyond which no minimum of this sharpness is stable; infinite for Adam, which rescales.

        2 over the largest second derivative, weight decay included; 1.9 times that with momentum 0.9 (Polyak 1964).
        """
        if self.kind == "adam":
            return np.inf
        factor = 1 + MOMENTUM if self.kind == "momentum" else 1
        return factor * 2 / (sharpness + self.weight_decay)


def products(weights: Sequence[np.ndarray]) -> list[np.ndarray]:
    """W_1, W_2 W_1, ..., and the product of all weights."""
    found = [weights[0]]
    for weight in weights[1:]:
        found.append(weight @ found[-1])
    return found


def gradients(weights: Sequence[np.ndarray], below: Sequence[np.ndarray], residual: np.ndarray) -> list[np.ndarray]:
    """Those of every weight (W_L ... W_{l+1})^T R (W_{l-1} ... W_1)^T, from the products and the residual R (K, d)."""
    found, back = [], residual
    for weight, before in zip(weights[:0:-1], below[-2::-1], strict=True):
        found.append(back @ before.T)
        back = weight.T @ back
    return [back, *found[::-1]]


def descend(
    weights: Sequence[np.ndarray], objective: Objective, rule: Rule, *, rates: Sequence[float] | None = None
) -> Iterator[tuple[list[np.ndarray], np.ndarray]]:
    """The weights and their product at step 0, 1, 2, ... without end.

    The weights are those of a copy, and the same arrays every time: what is to be kept must be copied. `rates` are
    shares of the learning rate for each weight, 1 where not given; one of 0 stays as it is.
    """
    own = [np.array(weight, dtype=np.float64) for weight in weights]
    shares = [1.0] * len(own) if rates is None else rates
    moving = [(i, own[i], rule.mover(share)) for i, share in enumerate(shares) if share]
    while True:
        below = products(own)
        yield own, below[-1]
        found = gradients(own, below, objective.residual(below[-1]))
        for i, weight, move in moving:
            gradient = found[i]
            if rule.weight_decay:
                gradient = gradient + rule.weight_decay * weight
            weight -= move(gradient)


def descended(weights: Sequence[np.ndarray], objective: Objective, rule: Rule, steps: int) -> list[np.ndarray]:
    """The weights after so many steps."""
    return next(islice(descend(weights, objective, rule), steps, None))[0]


def sharpness(objective: Objective, depth: int, start: np.ndarray | None = None) -> float:
    """The largest second derivative at the flattest minimum, scale L s^(2 - 2/L), s the largest value of the target.

    It is that of layers in balance; all others are sharper. Where a start, the product of its weights, is larger than
    the target, s is its own. Inputs that are not whitened make it an upper bound, with their largest variance as a
    factor; a mask an estimate, with the share of what is seen: too low, 1.6 times where that is 0.35 and 3 times where
    it is 0.1 (two layers; deeper ones less).
    """
    largest = max(float(np.linalg.norm(part, 2)) for part in (objective.target, start) if part is not None)
    factor = 1.0 if objective.covariance is None else float(np.linalg.norm(objective.covariance, 2))
    if objective.seen is not None and depth > 1:
        factor = float(objective.seen.mean())
    return objective.scale * factor * depth * largest ** (2 - 2 / depth)


def _plain(rate: float) -> Move:
    return lambda gradient: rate * gradient


def _heavy(rate: float) -> Move:
    speed: np.ndarray | float = 0.0

    def move(gradient: np.ndarray) -> np.ndarray:
        nonlocal speed
        speed = MOMENTUM * speed + gradient
        return rate * speed

    return move


def _adam(rate: float) -> Move:
    (first, second), step = DECAYS, 0
    mean: np.ndarray | float = 0.0
    square: np.ndarray | float = 0.0

    def move(gradient: np.ndarray) -> np.ndarray:
        nonlocal mean, square, step
        step += 1
        mean = first * mean + (1 - first) * gradient
        square = second * square + (1 - second) * np.square(gradient)
        return rate * (mean / (1 - first**step)) / (np.sqrt(square / (1 - second**step)) + EPSILON)

    return move
