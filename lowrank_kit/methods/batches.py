"""Examples in batches to train on, each a function of seed, epoch and place alone: so a training goes on anywhere."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from lowrank_kit.checks import InputError
from lowrank_kit.records import Examples

__all__ = ["Batches", "Prepare"]

# Makes of a batch of inputs (b, ...) what a network takes; distortions draw from the generator.
Prepare = Callable[[torch.Tensor, torch.Generator], torch.Tensor]


def _as_they_are(x: torch.Tensor, _: torch.Generator) -> torch.Tensor:
    return x


@dataclass(frozen=True, eq=False)
class Batches:
    """Inputs x (n, ...) and labels y (n,), `size` at a time, in an order of its own for every epoch."""

    x: torch.Tensor
    y: torch.Tensor
    size: int = 64
    seed: int = 0
    prepare: Prepare = _as_they_are

    def __post_init__(self) -> None:
        if self.size < 1 or len(self.x) != len(self.y):
            raise InputError(
                f"`size` must be at least 1, and there must be one label an input; got size {self.size}, "
                f"{len(self.x)} inputs and {len(self.y)} labels."
            )

    @classmethod
    def of(cls, examples: Examples, **options: Any) -> "Batches":
        return cls(torch.from_numpy(examples.x), torch.from_numpy(examples.y), **options)

    def __len__(self) -> int:
        """Batches in an epoch; the last may be smaller, or larger by one, since BatchNorm can't do with one example."""
        return max(-(-(len(self.y) - 1) // self.size), 1)

    def epoch(self, number: int, *, start: int = 0) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """Batches (x, y) of one epoch from batch `start` on, both counted from 0."""
        order = torch.randperm(len(self.y), generator=self._generator(number))
        ends = [self.size * place for place in range(1, len(self))]
        for place, chosen in enumerate(order.tensor_split(ends)[start:], start):
            yield self.prepare(self.x[chosen], self._generator(number, place + 1)), self.y[chosen]

    def _generator(self, *place: int) -> torch.Generator:
        """One for each place: seeds that are neighbours share nothing."""
        return torch.Generator().manual_seed(int(np.random.SeedSequence([self.seed, *place]).generate_state(1)[0]))
