"""Every stored notebook by nbval, offline, on two cores: how long it takes."""

import os
import shutil
import subprocess
import sys
import time
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.figures import Figure
from lowrank_kit.files import shipped

__all__ = ["EVERY", "NOTEBOOKS", "checked", "offline", "run"]

NOTEBOOKS = shipped("notebooks")
EVERY = sorted(NOTEBOOKS.glob("[0-9]*.ipynb")) + sorted(NOTEBOOKS.glob("ja/[0-9]*.ipynb"))
SECONDS = 45
CORES = 2

# Kernels talk over the loopback interface, which is down in a new network namespace: SIOCSIFFLAGS, UP and RUNNING.
LOOPBACK_UP = "import fcntl, socket, struct; fcntl.ioctl(socket.socket(), 0x8914, struct.pack('16sh14x', b'lo', 0x41))"


def run() -> list[Figure]:
    return [_figure(path) for path in EVERY]


def checked(path: Path, folder: Path) -> subprocess.CompletedProcess[str]:
    """nbval's run of a notebook in an empty folder, cut off from every network where this machine permits it."""
    # The settings of a test run are for the kit's own code, not for what nbval and Jupyter warn of.
    nbval = [sys.executable, "-m", "pytest", "--nbval", "--nbval-current-env", "-q", "-c", os.devnull]
    nbval += ["--rootdir", str(folder), "-p", "no:cacheprovider", str(path)]
    words = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    words["LOWRANK_KIT_LANG"] = "ja" if path.parent.name == "ja" else "en"
    command, env = [*_few_cores(), *offline(), *nbval], {**os.environ, **words}
    return subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, timeout=600)


@cache
def offline() -> list[str]:
    """The words before a command that cut it off from every network; none where this machine does not permit it."""
    cut = ["unshare", "--net", "sh", "-c", f'"{sys.executable}" -c "{LOOPBACK_UP}" && exec "$@"', "sh"]
    if shutil.which("unshare") is None or subprocess.run([*cut, "true"], capture_output=True).returncode:
        return []
    return cut


def _few_cores() -> list[str]:
    if shutil.which("taskset") is None:
        return []
    return ["taskset", "--cpu-list", ",".join(map(str, sorted(os.sched_getaffinity(0))[:CORES]))]


def _figure(path: Path) -> Figure:
    with TemporaryDirectory() as folder:
        start = time.perf_counter()
        done = checked(path, Path(folder))
        took = time.perf_counter() - start
    done.check_returncode()
    return Figure(f"{path.relative_to(NOTEBOOKS)} by nbval", took, "s", SECONDS)
