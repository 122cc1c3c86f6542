"""Every notebook gives again what it has stored, offline and on two cores; `make bench` says how long it takes."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from benchmarks.notebooks import EVERY, NOTEBOOKS, checked, offline

# A notebook takes one core; the second of two runs another one meanwhile.
AT_ONCE = 2


@pytest.fixture(scope="module")
def under_way(request, tmp_path_factory):
    """{notebook: its run}, of those that tests ask for."""
    paths = [
        item.callspec.params["path"]
        for item in request.session.items
        if getattr(item, "module", None) is request.module and hasattr(item, "callspec")
    ]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        yield {path: pool.submit(checked, path, tmp_path_factory.mktemp("notebook")) for path in paths}


@pytest.mark.notebook
@pytest.mark.parametrize("path", [pytest.param(path, id=str(path.relative_to(NOTEBOOKS))) for path in EVERY])
def test_gives_again_what_is_stored(path, under_way):
    done = under_way[path].result()
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]


@pytest.mark.skipif(not offline(), reason="this machine does not let a process leave its network")
def test_offline_is_offline():
    reach = "import socket; socket.create_connection(('192.0.2.1', 80), timeout=2)"
    done = subprocess.run([*offline(), sys.executable, "-c", reach], capture_output=True, text=True)
    assert "unreachable" in done.stderr
