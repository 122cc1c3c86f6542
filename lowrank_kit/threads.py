"""How many threads the linear algebra of NumPy, SciPy and torch takes: set once, where it is first used.

Small networks and matrices are many times faster with one thread than with several on a busy machine.
LOWRANK_KIT_THREADS overrides the default of 1.
"""

import os

import scipy.linalg  # noqa: F401 (its BLAS must be loaded to be told)
from threadpoolctl import threadpool_limits

__all__ = ["THREADS"]

THREADS = int(os.environ.get("LOWRANK_KIT_THREADS", "1"))
threadpool_limits(THREADS, user_api="blas")
