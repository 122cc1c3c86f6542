"""The ceilings of this machine, measured once and kept in a file with the device's name."""

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import torch
from torch import nn

from lowrank_kit.measurement.latency import latency
from lowrank_kit.measurement.latency_table import FOLDER, ceilings_name, read_ceilings, write_ceilings
from lowrank_kit.measurement.placement import device_name, precision_of
from lowrank_kit.models.layers import channels_last
from lowrank_kit.models.shapes import drawn, inputs_of, layer_of
from lowrank_kit.records import Ceilings, LayerShape, Timing

__all__ = ["ceilings", "measured_ceilings"]

# The sides of square products and the convolution that are tried, and the bytes that are copied.
SIDES = {"cpu": (512, 1024), "cuda": (4096, 8192)}
CONVOLUTION = LayerShape(256, 256, (3, 3), (28, 28), (28, 28))
COPIED = tuple(2**power for power in range(16, 28, 2))
BUDGET_S = 0.2
ONE = np.ones((1, 1), np.float32)


class Copied(nn.Module):
    """Copies its own numbers, whatever comes in."""

    def __init__(self, n: int, device: torch.device, dtype: torch.dtype):
        super().__init__()
        self.source = nn.Parameter(torch.zeros(n, device=device, dtype=dtype), requires_grad=False)
        self.target = torch.zeros_like(self.source)

    def forward(self, _: torch.Tensor) -> torch.Tensor:
        return self.target.copy_(self.source)


def ceilings(device: str = "cpu", dtype: str = "float32", *, folder: Path = FOLDER) -> Ceilings:
    """The ceilings of the device for a dtype, with torch, its threads and its precision as they are now.

    They are read from the folder, or measured, which takes seconds, and kept there. Raises InputError where the kept
    ones are damaged or another device's.
    """
    place = torch.device(device)
    name, threads = device_name(place), torch.get_num_threads()
    path = folder / ceilings_name(name, dtype, precision_of(place, getattr(torch, dtype)))
    if path.exists():
        found = read_ceilings(path, name)
        if (found.torch, found.threads) == (torch.__version__, threads):
            return found
    write_ceilings(path, found := measured_ceilings(device, dtype))
    return found


def measured_ceilings(device: str = "cpu", dtype: str = "float32") -> Ceilings:
    """Large products, copies of many sizes, and the smallest layer.

    A convolution is among the products because libraries differ: on some processors it runs at twice the rate of a
    product of matrices.
    """
    place, kind = torch.device(device), getattr(torch, dtype)
    products = [(n**3, _fastest(_linear(n, place, kind), np.ones((1, n), np.float32), n)) for n in SIDES[place.type]]
    batch = 64 if place.type == "cuda" else 2
    convolution = channels_last(layer_of(CONVOLUTION).to(place, kind))
    products.append((batch * CONVOLUTION.macs, _fastest(convolution, inputs_of(CONVOLUTION, 1), batch)))
    copies = [(2 * size, _fastest(Copied(size // kind.itemsize, place, kind), ONE, 1)) for size in COPIED]
    small = _timed(_linear(8, place, kind), np.ones((1, 8), np.float32), 1)
    return Ceilings(
        small.device,
        dtype,
        small.precision,
        small.threads,
        torch.__version__,
        f"{datetime.now(UTC):%Y-%m-%d}",
        max(macs / seconds for macs, seconds in products),
        tuple((float(moved), moved / seconds) for moved, seconds in copies),
        small.median_s,
        kind.itemsize,
    )


def _linear(side: int, place: torch.device, kind: torch.dtype) -> nn.Module:
    layer: nn.Module = drawn(nn.Linear(side, side, bias=False)).to(place, kind)
    return layer


def _timed(layer: nn.Module, x: np.ndarray, batch: int) -> Timing:
    return latency([layer], x, batch=batch, budget_s=BUDGET_S)[0]


def _fastest(layer: nn.Module, x: np.ndarray, batch: int) -> float:
    """A ceiling is what is reached when nothing disturbs: the least of the times."""
    return float(_timed(layer, x, batch).raw_s.min())
