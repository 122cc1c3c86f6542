"""Every notebook gives again what it has stored, offline and on two cores; `make bench` says how long it takes."""

import subprocess
import sys

import pytest

from benchmarks.notebooks import EVERY, NOTEBOOKS, checked, offline


@pytest.mark.notebook
@pytest.mark.parametrize("path", [pytest.param(path, id=str(path.relative_to(NOTEBOOKS))) for path in EVERY])
def test_gives_again_what_is_stored(path, tmp_path):
    done = checked(path, tmp_path)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]


@pytest.mark.skipif(not offline(), reason="this machine does not let a process leave its network")
def test_offline_is_offline():
    reach = "import socket; socket.create_connection(('192.0.2.1', 80), timeout=2)"
    done = subprocess.run([*offline(), sys.executable, "-c", reach], capture_output=True, text=True)
    assert "unreachable" in done.stderr
