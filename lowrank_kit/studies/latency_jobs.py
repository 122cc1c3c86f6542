"""What there is to time on a device, most telling first: layers of well-known networks, and whole networks."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import product

from lowrank_kit.records import Layer, LayerPlan, LayerShape
from lowrank_kit.studies.catalogue import CATALOGUE, STAIRCASE, drawn_layers

__all__ = ["Job", "Setting", "Variant", "forms_of", "jobs", "plan_at"]

# Whole networks of `models.vision` on images of 3 x 32 x 32, and their multiply-adds.
NETWORKS = {"vgg16-32": 313_201_664, "resnet18-32": 555_422_720}
METHODS = ("svd", "tucker")
FRACTIONS = (0.125, 0.25, 0.375, 0.5, 0.625, 0.75)
FEW = (0.125, 0.25, 0.5)
# The batches with which a model of times is fitted and judged.
JUDGED = (1, 32)
# Shares of the multiply-adds that dense layers of fewer channels have: what low rank competes with.
NARROW = (0.25, 0.5)
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
    """A method at a fraction of the full rank, or ranks; "dense" is the whole, and "narrow" a dense layer that has so
    many of its multiply-adds."""

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
        Setting(1, "int8", "contiguous"),
        Setting(32, "int8", "contiguous"),
        Setting(256, "float32"),
    ),
}


def jobs(device: str) -> Iterator[Job]:
    """All jobs for a kind of device, "cpu" or "cuda", none twice, setting by setting.

    In each come first the kernels that a model of times is fitted on and, where it is judged, the layers held out; then
    whole networks, then all layers. The layout of a linear layer is always "contiguous": it has no other.
    """
    seen = set()
    for setting in SETTINGS[device]:
        whole = setting.dtype != "int8"
        judged = (*_fitted(setting), *_held_out(setting)) if whole and setting.batch in JUDGED else ()
        for job in (*judged, *(_networks(setting) if whole else ()), *(_layer(layer, setting) for layer in CATALOGUE)):
            if job.key not in seen and _macs(job) <= MOST_MACS.get(device, float("inf")):
                seen.add(job.key)
                yield job


def plan_at(shape: LayerShape, variant: Variant) -> LayerPlan:
    """The plan of one layer: the ranks nearest to the fraction of the full ones, at least 1."""
    ranks = tuple(max(round(variant.fraction * full), 1) for full in shape.full_ranks(variant.method))
    return LayerPlan(ranks if len(ranks) == 2 else ranks[0], variant.method)


def forms_of(shape: LayerShape, variant: Variant) -> tuple[LayerShape, ...]:
    """The layers that run in a variant, one behind the other."""
    if variant.method == "narrow":
        return (shape.narrowed(variant.fraction),)
    return (shape,) if variant.method == "dense" else shape.factorised(plan_at(shape, variant))


def _fitted(setting: Setting) -> Iterator[Job]:
    """Each kernel alone of the layers drawn to be fitted on, dense and in factors."""
    for layer in drawn_layers("fitted"):
        forms = (forms_of(layer.shape, variant) for variant in _variants(layer.shape.methods, FEW))
        for number, kernel in enumerate(dict.fromkeys(kernel for form in forms for kernel in form)):
            yield _placed(Layer("fitted", f"{layer.name}.{number}", kernel), setting, (Variant(),))


def _held_out(setting: Setting) -> Iterator[Job]:
    for layer in drawn_layers("held-out"):
        yield _placed(layer, setting, _variants(layer.shape.methods, FEW))


def _networks(setting: Setting) -> Iterator[Job]:
    modes = (setting.mode, "compiled") if setting.mode == "eager" else (setting.mode,)
    for network, mode in product(NETWORKS, modes):
        yield Job(network, None, replace(setting, mode=mode), _variants(METHODS, FRACTIONS))


def _layer(layer: Layer, setting: Setting) -> Job:
    if setting.dtype == "int8":
        return _placed(layer, setting, (Variant(),))
    variants = (*_variants(layer.shape.methods, FRACTIONS), *(Variant("narrow", share) for share in NARROW))
    if layer == STAIRCASE:
        (full,) = layer.shape.full_ranks("svd")
        variants += tuple(Variant("svd", rank / full) for rank in (*range(8, full, 8), *FINE))
    return _placed(layer, setting, tuple(dict.fromkeys(variants)))


def _placed(layer: Layer, setting: Setting, variants: tuple[Variant, ...]) -> Job:
    setting = replace(setting, layout="contiguous") if layer.shape.is_linear else setting
    return Job(layer.network, layer, setting, variants)


def _variants(methods: Iterable[str], fractions: Iterable[float]) -> tuple[Variant, ...]:
    return (Variant(), *(Variant(method, fraction) for method, fraction in product(methods, fractions)))


def _macs(job: Job) -> int:
    return job.setting.batch * (job.layer.shape.macs if job.layer else NETWORKS[job.network])
