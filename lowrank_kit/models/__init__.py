"""How does a network carry it? torch begins here."""

import torch

from lowrank_kit.threads import THREADS

torch.set_num_threads(THREADS)
