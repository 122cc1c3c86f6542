"""Rank-adaptive training in Tucker form (TDLRT; Zangrando, Schotthöfer, Ceruti, Kusch, Tudisco, arXiv 2305.19059).

A cycle of local steps:

1  the gradients of all bases at the factored weights, from one pass; running statistics stay as they were
2  every basis is widened by its gradient, the weight unchanged
3  local steps: core, biases, norms and plain layers take ordinary optimiser steps, bases fixed
4  every mode is cut to the fewest directions that keep the weight within the tolerance

No inverse of the core is ever taken, so small singular values do no harm. A matrix is the case of two modes (DLRT,
arXiv 2205.13571). The bases are widened beyond the ceilings and cut to them afterwards: a ceiling on the widened basis
would freeze the ranks that have reached it.
"""

import warnings
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from numbers import Real
from typing import Any

import numpy as np
import torch
from torch import nn

from lowrank_kit.checks import InputError
from lowrank_kit.methods.moments import transport
from lowrank_kit.methods.training import Optimiser, Training, buffers_kept, stacked
from lowrank_kit.models.factored import Factored, View
from lowrank_kit.models.factoring import factored, factored_layers, plain
from lowrank_kit.records import RankPlan

__all__ = ["Adaptation", "AdaptiveTraining", "kept_rank"]

# In budget mode the size falls by at most this much in a truncation, so that the core can follow.
PACE = 0.9


@dataclass(frozen=True)
class Adaptation:
    """How ranks are found.

    Parameters
    ----------
    tolerance : relative error of a weight, above 0 and below 1, that a truncation may make
    budget : in place of a tolerance, the fraction of the factored layers' dense parameters to come down to
    floor, ceiling : the least and the most a rank may be; a mode that is smaller is kept whole
    local_steps : how many steps are taken between two truncations
    burn_in : so many steps before any rank may fall
    """

    tolerance: float | None = None
    budget: float | None = None
    floor: int = 2
    ceiling: int | None = None
    local_steps: int = 10
    burn_in: int = 0

    def __post_init__(self) -> None:
        if (self.tolerance is None) == (self.budget is None):
            raise InputError("give either a `tolerance` or a `budget`, a number above 0 and below 1; got both or none.")
        for name in ("tolerance", "budget"):
            value = getattr(self, name)
            if value is not None and not (isinstance(value, Real) and 0 < float(value) < 1):
                raise InputError(f"`{name}` must lie above 0 and below 1; got {value!r}.")
        limits = (("floor", 1), ("local_steps", 1), ("burn_in", 0), ("ceiling", self.floor))
        for name, least in limits:
            value = getattr(self, name)
            if value is not None and (not isinstance(value, int) or value < least):
                raise InputError(f"`{name}` must be a whole number of at least {least}; got {value!r}.")

    def clipped(self, ranks: Any, layer: Factored) -> list[int]:
        """Ranks within floor and ceiling, and within what the modes now have."""
        most = layer.limits if self.ceiling is None else [min(self.ceiling, n) for n in layer.limits]
        least = [min(self.floor, now) for now in layer.ranks]
        return [max(min(r, top), low) for r, top, low in zip(ranks, most, least, strict=True)]


class AdaptiveTraining(Training):
    """A network whose layers find their ranks while it is trained.

    Parameters
    ----------
    model : any network; a copy is trained, with its linear and convolution layers in factored form
    optimiser : makes the optimiser of the cores and everything that is not factored
    adaptation : how ranks are found
    rank : where they start, as a fraction of every mode, each weight cut to it and scaled to its old norm
    keep : names of layers to leave whole; the first and the last one where not given
    view : how convolutions are taken (:mod:`lowrank_kit.models.factored`); "matrix" makes this DLRT
    every : a row of the trajectory each so many truncations
    """

    def __init__(
        self,
        model: nn.Module,
        optimiser: Optimiser,
        adaptation: Adaptation,
        *,
        rank: float = 0.5,
        keep: Collection[str] | None = None,
        view: View = "tucker",
        every: int = 1,
        **options: Any,
    ):
        self.adaptation, self.every = adaptation, every
        network = factored(model, rank=rank, keep=keep, view=view)
        self.layers: Mapping[str, Factored] = factored_layers(network)
        # Local steps leave the bases as they are, and need no gradients of them.
        self._bases = [basis.requires_grad_(False) for layer in self.layers.values() for basis in layer.bases]
        self.position, self.truncations = 0, 0
        self.ranks_before: list[tuple[int, ...]] = []
        self._good: dict[str, Any] = {}
        super().__init__(network, optimiser, name=options.pop("name", type(model).__name__), **options)

    own_counts = ("position", "truncations", "ranks_before")

    @property
    def n_factored(self) -> int:
        """Numbers stored in the factored layers' cores and bases; what `compressed` stores can be fewer."""
        return sum(layer.n_factored(layer.ranks) for layer in self.layers.values())

    @property
    def n_dense(self) -> int:
        """Numbers in the weights they stand for."""
        return sum(layer.n_dense for layer in self.layers.values())

    def compressed(self) -> tuple[nn.Module, RankPlan]:
        """The network in plain layers and eval mode, and the plan it follows; a cycle that is under way ends."""
        self.truncate()
        budget = self.adaptation.budget
        if budget is not None and self.n_factored > budget * self.n_dense:
            warnings.warn(
                f"the budget of {budget:.1%} was not reached: {self.n_factored / self.n_dense:.1%} of the parameters "
                "are left. Train for more steps, or with a lower floor or fewer local steps.",
                stacklevel=2,
            )
        network, plan = plain(self.model)
        return network.eval(), plan

    def _layers(self) -> tuple[str, ...]:
        return tuple(self.layers)

    def _facts(self) -> dict[str, Any]:
        shapes = {name: list(layer.limits) for name, layer in self.layers.items()}
        return super()._facts() | {"n_dense": self.n_dense, "limits": shapes}

    def _try(self, x: torch.Tensor, y: torch.Tensor) -> float | None:
        if self.position == 0 or not self._good:
            self._good = self._snapshot()
        if self.position == 0:
            reason = self._augment(x, y)
            if reason:
                self._fail(reason)
                return None
        return super()._try(x, y)

    def _augment(self, x: torch.Tensor, y: torch.Tensor) -> str:
        """Widen all bases by their gradients on this batch; what went wrong, where something did."""
        with buffers_kept(self.model), _differentiable(self._bases):
            loss = self.loss(self.model(x), y)
            # A layer may lie beside the path of this batch.
            gradients = torch.autograd.grad(loss, self._bases, allow_unused=True, materialize_grads=True)
        if not bool(torch.isfinite(torch.nn.utils.get_total_norm([loss.detach(), *gradients]))):
            return f"the loss is {float(loss.detach())}" if not torch.isfinite(loss) else "a gradient is not finite"
        self.ranks_before, rest = [layer.ranks for layer in self.layers.values()], iter(gradients)
        for layer in self.layers.values():
            shape = layer.core.shape
            maps = layer.augment([next(rest) for _ in layer.bases])
            transport(self.optimiser, layer.core, shape, maps)
        return ""

    def _stepped_on(self) -> None:
        self.position += 1
        if self.position >= self.adaptation.local_steps:
            self.truncate()

    def truncate(self) -> None:
        """End the cycle that is under way: cut every mode to the rank that the tolerance or the budget leaves it."""
        if not self.position:
            return
        found, widened = [layer.directions() for layer in self.layers.values()], self.n_factored
        values = [[part.cpu().numpy() for part, _ in directions] for directions in found]
        tolerance = self._tolerance(values)
        kept = []
        for layer, before, directions, spectrum in zip(
            self.layers.values(), self.ranks_before, found, values, strict=True
        ):
            ranks, shape = self._ranks(layer, spectrum, tolerance, before), layer.core.shape
            kept.append(_new_kept(before, layer.ranks, ranks, directions))
            transport(self.optimiser, layer.core, shape, layer.truncate(ranks, directions))
        self.position, self.truncations = 0, self.truncations + 1
        if (self.truncations - 1) % self.every == 0:
            self.record(tolerance=tolerance, size=self.n_factored, widened=widened, **self._seen(values, kept))

    def _seen(self, values: list[list[np.ndarray]], kept: list[np.ndarray]) -> dict[str, Any]:
        ranks = [layer.ranks for layer in self.layers.values()]
        return {"ranks": stacked(ranks), "kept": stacked(kept), "values": stacked([stacked(row) for row in values])}

    def _ranks(self, layer: Factored, values: list[np.ndarray], tolerance: float, before: tuple[int, ...]) -> list[int]:
        """Ranks whose truncation makes a relative error of at most `tolerance`, clipped; in burn-in none falls."""
        bound = tolerance * float(np.linalg.norm(values[0])) / np.sqrt(layer.independent_modes)
        ranks = [kept_rank(part, bound) for part in values]
        if self.steps <= self.adaptation.burn_in:
            ranks = [max(pair) for pair in zip(ranks, before, strict=True)]
        ranks = self.adaptation.clipped(ranks, layer)
        return [min(ranks)] * len(ranks) if layer.independent_modes == 1 else ranks  # a matrix has one rank

    def _tolerance(self, values: list[list[np.ndarray]]) -> float:
        """The given one, or the smallest at which the size comes down as far as it should now."""
        if self.adaptation.tolerance is not None:
            return self.adaptation.tolerance
        before = sum(x.n_factored(r) for x, r in zip(self.layers.values(), self.ranks_before, strict=True))
        aim = max((self.adaptation.budget or 1) * self.n_dense, PACE * before)
        low, high = 0.0, 1.0
        for _ in range(30):
            middle = (low + high) / 2
            low, high = (low, middle) if self._size_at(middle, values) <= aim else (middle, high)
        return high

    def _size_at(self, tolerance: float, values: list[list[np.ndarray]]) -> int:
        parts = zip(self.layers.values(), values, self.ranks_before, strict=True)
        return sum(layer.n_factored(self._ranks(layer, part, tolerance, before)) for layer, part, before in parts)

    def _undo(self) -> None:
        """Back to where the cycle began: a step that went wrong may show only in the next ones."""
        self._go_back(self._good)


@contextmanager
def _differentiable(parameters: Sequence[torch.Tensor]) -> Iterator[None]:
    """Meanwhile gradients reach these parameters."""
    for parameter in parameters:
        parameter.requires_grad_()
    try:
        yield
    finally:
        for parameter in parameters:
            parameter.requires_grad_(False)


def kept_rank(values: np.ndarray, bound: float) -> int:
    """The smallest rank j with ||values[j:]|| <= bound, of values (k,) in descending order.

    >>> kept_rank(np.array([4.0, 3.0, 0.4, 0.3]), 0.5)
    2
    """
    tails = np.sqrt(np.cumsum(np.square(values[::-1])))[::-1]
    return int(np.count_nonzero(tails > bound))


def _new_kept(before: Any, widened: Any, after: list[int], directions: list[tuple[torch.Tensor, Any]]) -> np.ndarray:
    """Of every mode, the fraction of the added directions that is still there: 0 where the bases are frozen.

    The truncated basis is [U | new] P: what of P's columns lies on the new rows counts.
    """
    found = []
    for old, wide, rank, (_, vectors) in zip(before, widened, after, directions, strict=True):
        on_new = float(vectors[old:, :rank].square().sum())
        found.append(on_new / (wide - old) if wide > old else np.nan)
    return np.array(found)
