"""What there is to time on a device, most telling first: layers of well-known networks, and whole networks."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import product

from lowrank_kit.records import LayerPlan, LayerShape
from lowrank_kit.studies.catalogue import CATALOGUE, STAIRCASE, Layer

__all__ = ["Job", "Setting", "Variant", "jobs", "plan_at"]

# Whole networks of `models.vision` on images of 3 x 32 x 32, and their multiply-adds.
NETWORKS = {"vgg16-32": 313_463_808, "resnet18-32": 555_422_720}
METHODS = ("svd", "tucker")
FRACTIONS = (0.125, 0.25, 0.375, 0.5, 0.625, 0.75)
# Ranks of the staircase that are all timed, so that its steps are seen.
FINE = range(48, 81)
# One processor thread takes about half a second for so many multiply-adds; what takes longer is left to devices.
MOST_MACS = {"cpu": 2e10}


@dataclass(frozen=True)
class Setting:
    """How a pass is run."""

    batch: int
    dtype: str
    layout: str = "channels_last"
    mode: str = "eager"
    precision: str = "ieee"


@dataclass(frozen=True)
class Variant:
    """A method at a fraction of the full rank, or ranks; "dense" is the whole."""

    method: str = "dense"
    fraction: float = 1.0


@dataclass(frozen=True)
class Job:
    """A layer, or a whole network where `layer` is None, in one setting: its variants are timed in turn."""

    network: str
    layer: Layer | None
    setting: Setting
    variants: tuple[Variant, ...]

    @property
    def key(self) -> tuple[object, ...]:
        """What tells it from other jobs."""
        s = self.setting
        return self.network, self.layer.name if self.layer else "", s.batch, s.dtype, s.precision, s.layout, s.mode

    def __str__(self) -> str:
        return " ".join(str(part) for part in self.key if part)


SETTINGS = {
    "cuda": (
        Setting(32, "bfloat16", mode="graph"),
        Setting(32, "bfloat16"),
        Setting(1, "bfloat16"),
        Setting(1, "bfloat16", mode="graph"),
        Setting(256, "bfloat16", mode="graph"),
        Setting(32, "float32", precision="tf32"),
        Setting(32, "bfloat16", "contiguous"),
        Setting(32, "float32"),
        Setting(256, "float32", precision="tf32"),
        Setting(1, "float32", precision="tf32"),
        Setting(256, "bfloat16"),
        Setting(32, "float32", mode="graph", precision="tf32"),
        Setting(1, "float32", "contiguous"),
    ),
    "cpu": (
        Setting(1, "float32"),
        Setting(1, "float32", "contiguous"),
        Setting(32, "float32"),
        Setting(32, "float32", "contiguous"),
        Setting(1, "bfloat16"),
        Setting(256, "float32"),
    ),
}


def jobs(device: str) -> Iterator[Job]:
    """All jobs for a kind of device, "cpu" or "cuda", none twice: in each setting the whole networks, then all layers.

    The layout of a linear layer is always "contiguous": it has no other.
    """
    seen = set()
    for setting in SETTINGS[device]:
        for job in (*_networks(setting), *(_layer(layer, setting) for layer in CATALOGUE)):
            if job.key not in seen and _macs(job) <= MOST_MACS.get(device, float("inf")):
                seen.add(job.key)
                yield job


def plan_at(shape: LayerShape, variant: Variant) -> LayerPlan:
    """The plan of one layer: the ranks nearest to the fraction of the full ones, at least 1."""
    ranks = tuple(max(round(variant.fraction * full), 1) for full in shape.full_ranks(variant.method))
    return LayerPlan(ranks if len(ranks) == 2 else ranks[0], variant.method)


def _networks(setting: Setting) -> Iterator[Job]:
    modes = (setting.mode, "compiled") if setting.mode == "eager" else (setting.mode,)
    for network, mode in product(NETWORKS, modes):
        yield Job(network, None, replace(setting, mode=mode), _variants(METHODS))


def _layer(layer: Layer, setting: Setting) -> Job:
    variants = _variants(layer.shape.methods)
    if layer == STAIRCASE:
        (full,) = layer.shape.full_ranks("svd")
        variants += tuple(Variant("svd", rank / full) for rank in (*range(8, full, 8), *FINE))
    setting = replace(setting, layout="contiguous") if layer.shape.is_linear else setting
    return Job(layer.network, layer, setting, tuple(dict.fromkeys(variants)))


def _variants(methods: Iterable[str]) -> tuple[Variant, ...]:
    return (Variant(), *(Variant(method, fraction) for method in methods for fraction in FRACTIONS))


def _macs(job: Job) -> int:
    return job.setting.batch * (job.layer.shape.macs if job.layer else NETWORKS[job.network])
