"""Tables of recorded times that follow a law, so that everything that is made of them is known beforehand."""

from dataclasses import dataclass, replace

import numpy as np

from lowrank_kit.measurement.latency_table import ceilings_name, table_name, write_ceilings, write_table
from lowrank_kit.records import Ceilings, Conditions, LatencyTable, LayerShape, RecordedTime
from lowrank_kit.studies.catalogue import CATALOGUE
from lowrank_kit.studies.latency_jobs import Variant, forms_of, plan_at

__all__ = ["CPU", "GPU", "Device", "known_row", "known_table", "write_known"]

# What held-out layers take beside the law, and those of networks: predictions are off by so much.
HELD_OUT, NETWORK = 1 / 1.25, 1.5
BATCHES = (1, 32)
VARIANTS = (
    Variant(),
    *(Variant("svd", f) for f in (0.125, 0.25, 0.5)),
    Variant("narrow", 0.25),
    Variant("narrow", 0.5),
)
QUANTILES = {"p05_s": 0.9, "p25_s": 0.95, "median_s": 1.0, "p75_s": 1.05, "p95_s": 1.2}


@dataclass(frozen=True)
class Device:
    """A kernel takes a launch and its multiply-adds, outputs rounded up to tiles, at a rate for each conditions."""

    name: str
    driver: str
    tile: int
    launch_s: float
    macs_per_s: dict[Conditions, float]

    @property
    def conditions(self) -> tuple[Conditions, ...]:
        return tuple(self.macs_per_s)

    def costs(self, forms: tuple[LayerShape, ...], batch: int, conditions: Conditions) -> np.ndarray:
        """Seconds of launches and of multiply-adds; a linear layer has but one layout."""
        spent = 0.0
        for part in forms:
            done = batch * part.macs / part.outputs * (-(-part.outputs // self.tile) * self.tile)
            alike = conditions._replace(layout="channels_last") if part.is_linear else conditions
            spent += done / self.macs_per_s[alike]
        return np.array([len(forms) * self.launch_s, spent])

    def seconds(self, forms: tuple[LayerShape, ...], batch: int = 1, conditions: Conditions | None = None) -> float:
        return float(self.costs(forms, batch, conditions or self.conditions[0]).sum())


CPU = Device(
    "a processor",
    "",
    16,
    5e-6,
    {
        Conditions("float32", "ieee", "channels_last", "eager", 1): 3e10,
        Conditions("float32", "ieee", "contiguous", "eager", 1): 1.5e10,
        Conditions("bfloat16", "ieee", "channels_last", "eager", 1): 6e10,
    },
)
GPU = Device(
    "a GPU",
    "555",
    64,
    3e-6,
    {
        Conditions("bfloat16", "ieee", "channels_last", "graph", 1): 2e13,
        Conditions("float32", "tf32", "channels_last", "eager", 1): 1e13,
    },
)


def known_row(device: Device, conditions: Conditions, shape: LayerShape, seconds: float, **told) -> RecordedTime:
    """A row of a dense layer at batch 1, or with other columns."""
    row = RecordedTime(
        device.name, device.driver, "2.9", "2026-01-02", "net", "layer", shape.outputs, shape.inputs, shape.kernel,
        shape.size, shape.out_size, shape.groups, "dense", (), 1.0, 1, *conditions,
        **{name: factor * seconds for name, factor in QUANTILES.items()}, rounds=9, busy=0.0, setup_s=0.0,
    )  # fmt: skip
    return replace(row, **({"layout": "contiguous"} if shape.is_linear else {}) | told)


def known_table(device: Device) -> LatencyTable:
    """Layers fitted on, held out, and those of ResNet-50 with its rivals; ceilings above them all."""
    rows = [row for conditions in device.conditions for row in _drawn(device, conditions)]
    rows += [row for batch in BATCHES for row in _network(device, device.conditions[0], batch)]
    found = dict.fromkeys((c.dtype, c.precision) for c in device.conditions)
    return LatencyTable(tuple(dict.fromkeys(rows)), tuple(_ceilings(device, *pair) for pair in found))


def write_known(folder, *devices: Device) -> None:
    """As `lowrank-kit record-latency` does."""
    for table in map(known_table, devices):
        write_table(folder / table_name(table.device), table.rows)
        for roof in table.roofs:
            write_ceilings(folder / ceilings_name(table.device, roof.dtype, roof.precision), roof)


def _shapes(seed: int, n: int) -> list[LayerShape]:
    rng, found = np.random.default_rng(seed), []
    for _ in range(n):
        (m, k, side), (out, vectors) = (
            rng.integers([16, 16, 4], [400, 400, 30]).tolist(),
            rng.integers(1, 60, 2).tolist(),
        )
        found += [
            LayerShape(m, k, (), (vectors,), (vectors,)),
            LayerShape(k, m, (1, 1), (side, side), (side, side)),
            LayerShape(m, out, (3, 3), (side, side), (side, side)),
        ]
    return found


def _drawn(device: Device, conditions: Conditions):
    for name, factor, shapes in (("fitted", 1.0, _shapes(0, 12)), ("held-out", HELD_OUT, _shapes(1, 4))):
        for batch in BATCHES:
            for number, shape in enumerate(shapes):
                told = {"network": name, "layer": str(number), "batch": batch}
                yield known_row(device, conditions, shape, factor * device.seconds((shape,), batch, conditions), **told)


def _network(device: Device, conditions: Conditions, batch: int):
    """A layer of each shape dense, in factors and narrow, and dense in int8 at a quarter of the time."""
    for layer in (layer for layer in CATALOGUE if layer.network == "resnet50"):
        told = {"network": layer.network, "layer": layer.name, "batch": batch}
        tucker = (Variant("tucker", 0.25),) if "tucker" in layer.shape.methods else ()
        for variant in (*VARIANTS, *tucker):
            plan = None if variant.method in ("dense", "narrow") else plan_at(layer.shape, variant)
            seconds = NETWORK * device.seconds(forms_of(layer.shape, variant), batch, conditions)
            more = {"method": variant.method, "ranks": plan.ranks if plan else (), "fraction": variant.fraction}
            yield known_row(device, conditions, layer.shape, seconds, **told, **more)
        quarter = NETWORK * device.seconds((layer.shape,), batch, conditions) / 4
        yield known_row(device, conditions, layer.shape, quarter, **told, dtype="int8", layout="contiguous")


def _ceilings(device: Device, dtype: str, precision: str) -> Ceilings:
    rate = 1.1 * max(v for c, v in device.macs_per_s.items() if (c.dtype, c.precision) == (dtype, precision))
    copies = ((1e5, rate / 2), (1e8, rate / 8))
    itemsize = 2 if dtype == "bfloat16" else 4
    return Ceilings(device.name, dtype, precision, 1, "2.9", "2026-01-02", rate, copies, device.launch_s, itemsize)
