"""How does a network carry it? torch begins here.

Threads are set once, here, for torch and for the linear algebra of NumPy and SciPy: small networks and matrices are
many times faster with one thread than with several on a busy machine. LOWRANK_KIT_THREADS overrides the default of 1.
"""

import os

import scipy.linalg  # noqa: F401 (its BLAS must be loaded to be told)
import torch
from threadpoolctl import threadpool_limits

THREADS = int(os.environ.get("LOWRANK_KIT_THREADS", "1"))
torch.set_num_threads(THREADS)
threadpool_limits(THREADS, user_api="blas")
