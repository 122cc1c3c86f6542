import os
import subprocess
import sys

import pytest

CODE = """
import numpy, {module}
from threadpoolctl import threadpool_info
from lowrank_kit.threads import THREADS
print(THREADS, *sorted({{pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"}}))
"""


def asked(module, **environment):
    """What a process of its own says of its threads: the kit's number, then those of the linear algebra."""
    kept = {name: value for name, value in os.environ.items() if name != "LOWRANK_KIT_THREADS"}
    run = subprocess.run(
        [sys.executable, "-c", CODE.format(module=module)], env={**kept, **environment}, capture_output=True, text=True
    )
    assert run.returncode == 0, run.stderr
    return run.stdout.split()


@pytest.mark.parametrize("module", ["lowrank_kit.threads", "lowrank_kit.methods.simulation"])
def test_linear_algebra_takes_one_thread_whatever_was_set_for_it(module):
    assert asked(module, OPENBLAS_NUM_THREADS="2", OMP_NUM_THREADS="2") == ["1", "1"]


def test_another_number_can_be_asked_for():
    assert asked("lowrank_kit.threads", OPENBLAS_NUM_THREADS="1", LOWRANK_KIT_THREADS="2") == ["2", "2"]
