"""Every notebook gives again what it has stored, offline, on two cores, in at most 45 seconds."""

import os
import shutil
import subprocess
import sys
import time
from functools import cache

import pytest

from lowrank_kit.files import shipped

NOTEBOOKS = shipped("notebooks")
EVERY = sorted(NOTEBOOKS.glob("[0-9]*.ipynb")) + sorted(NOTEBOOKS.glob("ja/[0-9]*.ipynb"))
SECONDS = 45
CORES = 2

# Kernels talk over the loopback interface, which is down in a new network namespace: SIOCSIFFLAGS, UP and RUNNING.
LOOPBACK_UP = "import fcntl, socket, struct; fcntl.ioctl(socket.socket(), 0x8914, struct.pack('16sh14x', b'lo', 0x41))"


@cache
def offline():
    """The words before a command that cut it off from every network; none where this machine does not permit it."""
    cut = ["unshare", "--net", "sh", "-c", f'"{sys.executable}" -c "{LOOPBACK_UP}" && exec "$@"', "sh"]
    if shutil.which("unshare") is None or subprocess.run([*cut, "true"], capture_output=True).returncode:
        return []
    return cut


def few_cores():
    if shutil.which("taskset") is None:
        return []
    return ["taskset", "--cpu-list", ",".join(map(str, sorted(os.sched_getaffinity(0))[:CORES]))]


@pytest.mark.notebook
@pytest.mark.parametrize("path", [pytest.param(path, id=str(path.relative_to(NOTEBOOKS))) for path in EVERY])
def test_gives_again_what_is_stored(path, tmp_path):
    # The settings of this test run are for the kit's own code, not for what nbval and Jupyter warn of.
    nbval = [sys.executable, "-m", "pytest", "--nbval", "--nbval-current-env", "-q", "-c", os.devnull]
    nbval += ["--rootdir", str(tmp_path), "-p", "no:cacheprovider", str(path)]
    language = "ja" if path.parent.name == "ja" else "en"
    threads = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    begin = time.perf_counter()
    done = subprocess.run(
        [*few_cores(), *offline(), *nbval],
        cwd=tmp_path,
        env={**os.environ, **threads, "LOWRANK_KIT_LANG": language},
        capture_output=True,
        text=True,
        timeout=4 * SECONDS,
    )
    took = time.perf_counter() - begin
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    assert took <= SECONDS


@pytest.mark.skipif(not offline(), reason="this machine does not let a process leave its network")
def test_offline_is_offline():
    reach = "import socket; socket.create_connection(('192.0.2.1', 80), timeout=2)"
    done = subprocess.run([*offline(), sys.executable, "-c", reach], capture_output=True, text=True)
    assert "unreachable" in done.stderr
