"""The shape of a layer and of what it runs on: all that its arithmetic and its traffic depend on."""

import math
from dataclasses import dataclass, replace

from lowrank_kit.checks import InputError
from lowrank_kit.records.plans import LayerPlan

__all__ = ["Layer", "LayerShape"]


@dataclass(frozen=True)
class LayerShape:
    """A linear layer or a convolution, in groups or not.

    `kernel` holds the sides of a convolution's kernel and is empty for a linear layer; `size` the sides of its input
    and `out_size` those of its output, which for a linear layer are both the number of vectors in an example.

    >>> conv = LayerShape(64, 32, (3, 3), (28, 28), (14, 14))
    >>> conv.macs == 64 * 32 * 9 * 14 * 14, [str(part) for part in conv.factorised(LayerPlan(8))]
    (True, ['8 x 32 x 3 x 3 on 28 x 28', '64 x 8 x 1 x 1 on 14 x 14'])
    """

    outputs: int
    inputs: int
    kernel: tuple[int, ...] = ()
    size: tuple[int, ...] = (1,)
    out_size: tuple[int, ...] = (1,)
    groups: int = 1

    @property
    def is_linear(self) -> bool:
        return not self.kernel

    @property
    def weights(self) -> int:
        """Numbers in the weight."""
        return self.outputs * self.inputs // self.groups * math.prod(self.kernel)

    @property
    def macs(self) -> int:
        """Multiply-adds for one example."""
        return self.weights * math.prod(self.out_size)

    def traffic(self, batch: int) -> int:
        """Numbers that must be read and written at least once: weight, inputs and outputs of a batch."""
        inputs, outputs = self.inputs * math.prod(self.size), self.outputs * math.prod(self.out_size)
        return self.weights + batch * (inputs + outputs)

    @property
    def methods(self) -> tuple[str, ...]:
        """The methods that suit it; where its kernel is a single point, only that of a matrix."""
        spatial = ("spatial",) if len(self.kernel) == 2 and min(self.kernel) > 1 else ()
        tucker = ("tucker",) if self.groups == 1 and math.prod(self.kernel) > 1 else ()
        return ("svd", *spatial, *tucker)

    def full_ranks(self, method: str) -> tuple[int, ...]:
        """The rank, or for "tucker" both ranks, outputs first, from which on nothing is cut."""
        outputs, inputs = self.outputs // self.groups, self.inputs // self.groups
        if method == "tucker":
            return outputs, inputs
        if method == "spatial":
            self._check_spatial()
            return (min(outputs * self.kernel[1], inputs * self.kernel[0]),)
        return (min(outputs, inputs * math.prod(self.kernel)),)

    def narrowed(self, share: float) -> "LayerShape":
        """A layer of about this share of the multiply-adds that has fewer channels, in and out alike."""
        width = share**0.5
        outputs, inputs = (max(round(width * n / self.groups), 1) * self.groups for n in (self.outputs, self.inputs))
        return replace(self, outputs=outputs, inputs=inputs)

    def factorised(self, plan: LayerPlan) -> "tuple[LayerShape, ...]":
        """The layers that stand in this one's place under a plan, in the order they run.

        Raises InputError for "spatial" or "tucker" where the layer has no kernel of two sides, or groups.
        """
        if plan.method == "tucker":
            return self._tucker(*plan.ranks)
        (rank,) = plan.ranks
        return self._spatial(rank) if plan.method == "spatial" else self._pair(rank)

    def _pair(self, rank: int) -> "tuple[LayerShape, LayerShape]":
        middle = rank * self.groups
        return replace(self, outputs=middle), self._point(middle)

    def _spatial(self, rank: int) -> "tuple[LayerShape, LayerShape]":
        self._check_spatial()
        (height, width), middle, between = self.kernel, rank * self.groups, (self.out_size[0], self.size[1])
        down = replace(self, outputs=middle, kernel=(height, 1), out_size=between)
        return down, replace(self, inputs=middle, kernel=(1, width), size=between)

    def _check_spatial(self) -> None:
        if len(self.kernel) != 2:
            raise InputError(f"the method 'spatial' needs a kernel with two sides; got the layer {self}.")

    def _tucker(self, outputs: int, inputs: int) -> "tuple[LayerShape, LayerShape, LayerShape]":
        if self.is_linear or self.groups > 1:
            raise InputError(f"the method 'tucker' needs a convolution without groups; got the layer {self}.")
        reduce = replace(self, outputs=inputs, kernel=(1,) * len(self.kernel), out_size=self.size)
        return reduce, replace(self, outputs=outputs, inputs=inputs), self._point(outputs)

    def _point(self, inputs: int) -> "LayerShape":
        """From so many channels to the outputs, position by position."""
        return replace(self, inputs=inputs, kernel=(1,) * len(self.kernel), size=self.out_size)

    def __str__(self) -> str:
        grouped = f" in {self.groups} groups" if self.groups > 1 else ""
        sides = (self.outputs, self.inputs // self.groups, *self.kernel)
        return f"{' x '.join(map(str, sides))}{grouped} on {' x '.join(map(str, self.size))}"


@dataclass(frozen=True)
class Layer:
    """A layer of a network, and how many the network has of its shape."""

    network: str
    name: str
    shape: LayerShape
    count: int = 1
