"""The states of random generators, which a training that is resumed draws from again."""

from collections.abc import Mapping
from typing import Any

import torch

__all__ = ["RandomState", "random_state", "set_random_state"]

RandomState = Mapping[str, torch.Tensor]


def random_state(batches: Any = None) -> RandomState:
    """The states of PyTorch's generators, and of the one that `batches` have of their own, as a DataLoader may."""
    states = {"cpu": torch.get_rng_state()}
    states |= {f"cuda-{index}": state for index, state in enumerate(torch.cuda.get_rng_state_all())}
    generator = getattr(batches, "generator", None)
    return states | ({} if generator is None else {"batches": generator.get_state()})


def set_random_state(states: RandomState, batches: Any = None) -> None:
    """Put back what `random_state` took; a device that is not here is left out."""
    torch.set_rng_state(states["cpu"])
    for index in range(torch.cuda.device_count()):
        if f"cuda-{index}" in states:
            torch.cuda.set_rng_state(states[f"cuda-{index}"], index)
    if "batches" in states and getattr(batches, "generator", None) is not None:
        batches.generator.set_state(states["batches"])
