"""How does a network carry it? torch begins here.

Threads are set once, here: small networks run many times faster with one thread than with several on a
shared machine. LOWRANK_KIT_THREADS overrides the default of 1.
"""

import os

import torch

torch.set_num_threads(int(os.environ.get("LOWRANK_KIT_THREADS", "1")))
