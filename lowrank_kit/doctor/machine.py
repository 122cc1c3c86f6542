"""The machine itself: Python, threads, memory, disk, the GPU and the port that pages come from."""

import os
import platform
import shutil
import socket
import sys
import tempfile
from pathlib import Path

from lowrank_kit.doctor.findings import Finding, Say, State, TrialError, one_line
from lowrank_kit.doctor.trial import Trial
from lowrank_kit.server import LOOPBACK

__all__ = ["busy_share", "disk", "gpu", "memory", "port", "python", "threads"]

OLDEST = (3, 11)
BUSY = 0.2  # the share from which a measurement, too, calls itself disturbed
LOOK_S = 0.3
GB = 1e9
# (fault, warning) below so many bytes. A board's kernel takes half a gigabyte; JupyterLab and a browser need theirs.
MEMORY = (0.5 * GB, 1.5 * GB)
DISK = (0.1 * GB, 1 * GB)
PCI = Path("/sys/bus/pci/devices")
OURS = "LOWRANK_KIT_THREADS"
THEIRS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def python(say: Say, version: tuple[int, ...] = sys.version_info[:3]) -> Finding:
    """New enough, and which one: the wrong one of several is the commonest fault of all."""
    number = ".".join(map(str, version))
    if version >= OLDEST:
        return Finding("python", "ok", f"{number}, {sys.executable}")
    return Finding("python", "fault", say("python_old", version=number, path=sys.executable), say("cure_python"))


def busy_share() -> float | None:
    """The fraction of the machine's processor time in use; None where psutil does not load."""
    try:
        import psutil

        return float(psutil.cpu_percent(LOOK_S)) / 100
    except Exception:  # a broken library may raise anything, and the check of the libraries names it
        return None


def threads(say: Say, trial: Trial, busy: float | None) -> Finding:
    """What the environment asks for, what torch and BLAS make of it, and whether others leave room."""
    cores = os.cpu_count() or 1
    for name in (OURS, *THEIRS):
        if not _is_count(os.environ.get(name, "1"), several=name in THEIRS):
            state: State = "fault" if name == OURS else "warning"
            wrong = say("threads_wrong", name=name, value=os.environ[name])
            return Finding("threads", state, wrong, say("cure_threads", name=name, cores=cores))
    asked = int(os.environ.get(OURS, "1"))
    if asked > cores:
        many = say("threads_many", name=OURS, value=asked, cores=cores)
        return Finding("threads", "warning", many, say("cure_threads", name=OURS, cores=cores))
    found = say("threads_found", cores=cores, busy="?" if busy is None else f"{busy:.0%}", **_set(trial))
    return Finding("threads", "warning", found, say("cure_busy")) if busy and busy > BUSY else _ok("threads", found)


def memory(say: Say) -> Finding:
    """Enough for a board and what shows it."""
    import psutil

    free = psutil.virtual_memory()
    found = say("memory_found", free=f"{free.available / GB:.1f}", total=f"{free.total / GB:.1f}")
    return _graded("memory", free.available, MEMORY, found, say("cure_memory"))


def disk(say: Say) -> Finding:
    """Room in the working folder, and the right to write there."""
    folder = Path()
    try:
        folder = Path.cwd()  # which fails where another window has removed it
        with tempfile.TemporaryFile(dir=folder):
            free = shutil.disk_usage(folder).free
    except OSError as fault:
        return Finding("disk", "fault", say("disk_locked", folder=folder, reason=fault.strerror), say("cure_locked"))
    return _graded("disk", free, DISK, say("disk_found", free=f"{free / GB:.1f}", folder=folder), say("cure_disk"))


def gpu(say: Say, trial: Trial) -> Finding:
    """None is as well: the kit needs none. A warning only where one is, or may be, and does not work."""
    try:
        found = trial.value("gpu")
    except TrialError:
        return Finding("gpu", "warning", say("gpu_unknown"))
    if found["fault"]:
        return Finding("gpu", "warning", say("gpu_fails", name=found["name"], reason=found["fault"]), say("cure_gpu"))
    if found["name"]:
        return _ok("gpu", say("gpu_cuda", **found) if found["cuda"] else found["name"])
    # pip's ordinary torch for Linux is a CUDA build on every machine, also where there is nothing to drive.
    if found["cuda"] and _may_have_nvidia() and os.environ.get("CUDA_VISIBLE_DEVICES") not in ("", "-1"):
        return Finding("gpu", "warning", say("gpu_driver", cuda=found["cuda"]), say("cure_driver"))
    return _ok("gpu", say("gpu_none"))


def port(say: Say) -> Finding:
    """A connection to this very machine, as the browser makes one."""
    try:
        with socket.create_server((LOOPBACK, 0)) as server:
            server.settimeout(2)
            with socket.create_connection(server.getsockname(), timeout=2):
                server.accept()[0].close()
    except OSError as fault:
        return Finding(
            "port", "fault", say("port_shut", host=LOOPBACK, reason=one_line(fault)), say("cure_port", host=LOOPBACK)
        )
    return _ok("port", say("port_open", host=LOOPBACK))


def _ok(name: str, found: str) -> Finding:
    return Finding(name, "ok", found)


def _graded(name: str, amount: float, limits: tuple[float, float], found: str, cure: str) -> Finding:
    fault, warning = limits
    if amount >= warning:
        return _ok(name, found)
    return Finding(name, "fault" if amount < fault else "warning", found, cure)


def _is_count(text: str, *, several: bool) -> bool:
    """A whole number from 1; OpenMP takes one for each nested level, with commas."""
    parts = [part.strip() for part in (text.split(",") if several else [text])]
    return all(part.isascii() and part.isdigit() and int(part) > 0 for part in parts)


def _set(trial: Trial) -> dict[str, object]:
    try:
        trial.value("import torch")
    except TrialError:  # its own line says why
        return {"torch": "?", "blas": "?"}
    return {name: n or "?" for name, n in trial.value("threads").items()}


def _may_have_nvidia() -> bool:
    """Linux lists its devices with their makers (0x10de); elsewhere a CUDA build was chosen on purpose."""
    vendors = list(PCI.glob("*/vendor"))
    if platform.system() != "Linux" or not vendors or shutil.which("nvidia-smi"):
        return True
    return any(vendor.read_text().strip() == "0x10de" for vendor in vendors)
