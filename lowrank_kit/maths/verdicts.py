"""Why a layer in factors is faster, or is not."""

import numpy as np

__all__ = ["VERDICTS", "verdict"]

# "launch": starting kernels takes most of the time. "tile": channels are rounded up to tiles that low rank does not
# fill. "memory": moving numbers takes more than multiplying them. "compute": there is too much arithmetic left.
VERDICTS = ("faster", "launch", "tile", "memory", "compute")
# A gain below a twentieth is no gain: two runs differ by as much.
GAIN = 1.05


def verdict(dense: np.ndarray, block: np.ndarray, waste: float) -> str:
    """One of VERDICTS for a block beside its dense layer.

    Parameters
    ----------
    dense, block : seconds by cost (7,), as :meth:`lowrank_kit.maths.kernel_times.KernelTimes.costs` sums them over
        kernels
    waste : the fraction of the block's arithmetic that is done on channels it does not have

    >>> dense = np.array([1, 6, 1, 1, 1, 0, 0])
    >>> verdict(dense, dense / 2, 0.0), verdict(dense, np.array([9, 1, 0, 0, 0, 0, 0]), 0.0)
    ('faster', 'launch')
    """
    before, after = dense.sum(), block.sum()
    launch, compute, memory = block[0], block[1], block[2:].sum()
    if before >= GAIN * after:
        return "faster"
    if before >= GAIN * (after - waste * compute):
        return "tile"
    if launch > max(compute, memory):
        return "launch"
    return "memory" if memory > compute else "compute"
