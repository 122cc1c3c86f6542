"""A logarithmic axis of ranks, which are whole numbers."""

from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, NullLocator, StrMethodFormatter

__all__ = ["rank_axis"]

TICKS = tuple(2**power for power in range(14))


def rank_axis(ax: Axes, largest: int) -> None:
    """Ticks at the powers of two up to the largest rank, or at every other one where they are many."""
    ticks = [t for t in TICKS if t <= largest]
    ax.set_xscale("log")
    ax.xaxis.set_major_locator(FixedLocator(ticks if len(ticks) < 7 else ticks[::2]))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
