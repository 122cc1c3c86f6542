"""Recording times on this machine into its table, a job at a time; what is there is not timed again."""

import subprocess
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn

from lowrank_kit.checks import InputError, check_name
from lowrank_kit.measurement.latency import latency
from lowrank_kit.measurement.latency_table import read_table, table_name, write_table
from lowrank_kit.measurement.placement import device_name
from lowrank_kit.measurement.roofline import ceilings
from lowrank_kit.models import vision
from lowrank_kit.models.layers import channels_last
from lowrank_kit.models.quantised import int8
from lowrank_kit.models.shapes import block_of, drawn, inputs_of, layer_of, layer_shapes
from lowrank_kit.models.surgery import with_empty_blocks
from lowrank_kit.records import LayerPlan, LayerShape, RecordedTime
from lowrank_kit.studies.latency_jobs import SETTINGS, Job, Setting, Variant, jobs, plan_at

__all__ = ["keep_ceilings", "record"]

DEVICES = ("cpu", "cuda")
# Seconds for each network or layer of a job, beside its fewest rounds.
BUDGET_S = {"cpu": 0.2, "cuda": 0.05}
# Seconds between two writings of the table.
EVERY_S = 20.0
IMAGE = (3, 32, 32)


def record(
    folder: Path,
    device: str = "cpu",
    *,
    minutes: float = 9.0,
    asked: Iterable[Job] | None = None,
    tell: Callable[[str], object] = print,
) -> Path:
    """Time what the device's table in the folder lacks, and write it there; the path of the table.

    Parameters
    ----------
    device : "cpu" or "cuda"
    minutes : no job is begun after so many
    asked : the jobs; by default :func:`lowrank_kit.studies.latency_jobs.jobs`, most telling first
    tell : is told of every job in one line

    Ctrl-C keeps what was timed. Jobs that do not fit into the device's memory, or whose mode does not work here, are
    told of and left out. Raises InputError where there is no such device, or the table is not one or can't be written.
    """
    _check_device(device)
    if not minutes >= 0:
        raise InputError(f"`minutes` must be a number of at least 0; got {minutes}.")
    path = folder / table_name(device_name(torch.device(device)))
    rows = list(read_table(path)) if path.exists() else []
    there, end, written = {_key(row) for row in rows}, time.monotonic() + 60 * minutes, time.monotonic()
    left = [job for job in (jobs(device) if asked is None else asked) if job.key not in there]
    try:
        for number, job in enumerate(left, 1):
            if time.monotonic() >= end:
                break
            tell(f"{number} of {len(left)}: {job}")
            try:
                rows += [*_timed(job, device)]  # all of it or nothing
            except (InputError, torch.OutOfMemoryError) as fault:
                tell(f"  left out: {fault}")
            if time.monotonic() > written + EVERY_S:
                write_table(path, rows)
                written = time.monotonic()
    finally:
        if rows:
            write_table(path, rows)
    return path


def keep_ceilings(folder: Path, device: str = "cpu", *, tell: Callable[[str], object] = print) -> None:
    """Measure the ceilings that the device's settings need, where they are not in the folder yet.

    Raises InputError where there is no such device.
    """
    _check_device(device)
    for dtype, precision in dict.fromkeys((s.dtype, s.precision) for s in SETTINGS[device] if s.dtype != "int8"):
        tell(f"ceilings, {dtype} {precision}")
        with _precision(precision):
            ceilings(device, dtype, folder=folder)


def _check_device(device: str) -> None:
    check_name(device, DEVICES, name="device")
    if device == "cuda" and not torch.cuda.is_available():
        raise InputError("`device` can't be 'cuda': PyTorch finds no CUDA device here.")


def _key(row: RecordedTime) -> tuple[object, ...]:
    """As that of the job it comes from."""
    return row.network, row.layer, row.batch, row.dtype, row.precision, row.layout, row.mode


def _timed(job: Job, device: str) -> Iterator[RecordedTime]:
    """All variants of a job, in turn."""
    found = _layers(job) if job.layer else _networks(job)
    models = [_placed(case.model, job.setting, device) for case in found]
    budget_s, setting = BUDGET_S[device] * len(models), job.setting
    with _precision(setting.precision):
        inputs = [case.x for case in found]
        timings = latency(models, inputs, batch=setting.batch, budget_s=budget_s, mode=setting.mode)
    shape = _columns(job.layer.shape if job.layer else LayerShape(0, 0, (), (), ()))
    where = {"driver": _driver(device), "torch": torch.__version__, "date": f"{datetime.now(UTC):%Y-%m-%d}"}
    for case, timing in zip(found, timings, strict=True):
        row = RecordedTime.of(
            timing,
            **where,
            **shape,
            network=job.network,
            layer=job.layer.name if job.layer else "",
            method=case.variant.method,
            ranks=case.plan.ranks if case.plan else (),
            fraction=round(case.variant.fraction, 4),
        )
        yield replace(row, dtype=setting.dtype)  # a layer in int8 has no weight that would tell


class _Case(NamedTuple):
    """One variant of a job and what it is run on."""

    variant: Variant
    plan: LayerPlan | None
    model: nn.Module
    x: np.ndarray


def _layers(job: Job) -> list[_Case]:
    assert job.layer
    shape = job.layer.shape
    dense, x, found = layer_of(shape), inputs_of(shape, 1), []
    for variant in job.variants:
        if variant.method == "narrow":
            narrow = shape.narrowed(variant.fraction)
            found.append(_Case(variant, None, layer_of(narrow), inputs_of(narrow, 1)))
            continue
        plan = None if variant.method == "dense" else plan_at(shape, variant)
        found.append(_Case(variant, plan, block_of(dense, plan) if plan else dense, x))
    return found


def _networks(job: Job) -> list[_Case]:
    """The whole network, its first convolution and its head dense."""
    dense, x = drawn(getattr(vision, job.network.removesuffix("-32"))()), _images()
    inner = list(layer_shapes(dense, x).items())[1:-1]
    found = []
    for variant in job.variants:
        suited = [(name, shape, variant.method if variant.method in shape.methods else "svd") for name, shape in inner]
        plans = {name: plan_at(shape, Variant(method, variant.fraction)) for name, shape, method in suited}
        blocks = {} if variant.method == "dense" else plans
        found.append(_Case(variant, None, drawn(with_empty_blocks(dense, blocks)) if blocks else dense, x))
    return found


def _placed(model: nn.Module, setting: Setting, device: str) -> nn.Module:
    if setting.dtype == "int8":
        return int8(model)
    model = model.to(device, getattr(torch, setting.dtype))
    return channels_last(model) if setting.layout == "channels_last" else model


def _images() -> np.ndarray:
    return np.random.default_rng(0).standard_normal((1, *IMAGE), dtype=np.float32)


def _columns(shape: LayerShape) -> dict[str, Any]:
    names = ("outputs", "inputs", "kernel", "size", "out_size", "groups")
    return {name: getattr(shape, name) for name in names}


@contextmanager
def _precision(precision: str) -> Iterator[None]:
    """Products of float32 as asked, and as before afterwards."""
    backends: tuple[Any, ...] = (torch.backends.cuda.matmul, torch.backends.cudnn)
    before = [backend.allow_tf32 for backend in backends]
    try:
        for backend in backends:
            backend.allow_tf32 = precision == "tf32"
        yield
    finally:
        for backend, was in zip(backends, before, strict=True):
            backend.allow_tf32 = was


@cache
def _driver(device: str) -> str:
    """The version of the driver, where there is one that tells."""
    if device != "cuda":
        return ""
    asked = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        found = subprocess.run(asked, capture_output=True, text=True, timeout=20, check=False)
    except OSError:
        return ""
    return found.stdout.strip().partition("\n")[0]
