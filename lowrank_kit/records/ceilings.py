"""What a device can do at most: the roof under which every layer's time lies."""

from collections.abc import Iterable
from dataclasses import dataclass

from lowrank_kit.records.shapes import LayerShape

__all__ = ["Ceilings"]


@dataclass(frozen=True)
class Ceilings:
    """The highest rates that were measured on a device, in one dtype and with so many threads.

    `copies` are pairs (bytes moved, bytes a second): what fits into a cache moves faster. `launch_s` is the time of
    the smallest layer there is.
    """

    device: str
    dtype: str
    precision: str
    threads: int
    torch: str
    date: str
    macs_per_s: float
    copies: tuple[tuple[float, float], ...]
    launch_s: float
    itemsize: int

    def bytes_per_s(self, moved: float) -> float:
        """The fastest rate at which so many bytes, or more, were copied."""
        rates = [rate for size, rate in self.copies if size >= moved]
        return max(rates) if rates else self.copies[-1][1]

    def compute_s(self, shape: LayerShape, batch: int) -> float:
        return batch * shape.macs / self.macs_per_s

    def memory_s(self, shape: LayerShape, batch: int) -> float:
        moved = self.itemsize * shape.traffic(batch)
        return moved / self.bytes_per_s(moved)

    def bound_s(self, shapes: Iterable[LayerShape], batch: int) -> float:
        """The bare roofline of layers one behind the other (Williams, Waterman and Patterson 2009).

        Each takes at least as long as its arithmetic, and as long as moving its numbers once.
        """
        return sum(max(self.compute_s(shape, batch), self.memory_s(shape, batch)) for shape in shapes)
