"""How arrays reach a network: its mode, device, dtype and layout, and batches of a size that suits it."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import nn

from lowrank_kit.models.layers import has_last_strides

__all__ = ["batches", "evaluating", "inputs_for", "layout_of", "watch", "weight_of"]

# About 2 million numbers a batch, at most 64 examples: more is slower on a CPU, whose cache it leaves.
NUMBERS_A_BATCH = 2**21
EXAMPLES_A_BATCH = 64

# Looks at a layer, its input and its output.
Seer = Callable[[Any, torch.Tensor, torch.Tensor], None]


@contextmanager
def evaluating(model: nn.Module) -> Iterator[nn.Module]:
    """The model in eval mode without gradients; every module's own mode is put back."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        with torch.inference_mode():
            yield model
    finally:
        for module, training in modes:
            module.training = training


def batches(x: np.ndarray) -> list[np.ndarray]:
    """Views of the examples x (n, ...), of a size that suits a CPU's cache."""
    size = min(max(NUMBERS_A_BATCH // max(x[0].size, 1), 1), EXAMPLES_A_BATCH)
    return [x[i : i + size] for i in range(0, len(x), size)]


def inputs_for(model: nn.Module, x: np.ndarray) -> torch.Tensor:
    """Inputs (n, ...) on the model's device, in its layout and, if they are floating, its dtype.

    Always a copy: a network that works in place must not change the data.
    """
    weight = weight_of(model)
    inputs = torch.from_numpy(np.array(x, order="C"))
    inputs = inputs.to(weight.device, weight.dtype if inputs.is_floating_point() else None)
    if inputs.ndim == 4 and layout_of(model) == "channels_last":
        return inputs.contiguous(memory_format=torch.channels_last)
    return inputs


def watch(model: nn.Module, seers: Mapping[str, Seer], x: np.ndarray) -> None:
    """Run inputs x (n, ...) in batches, in eval mode, and tell of each named layer's passes.

    A seer is given the layer, what it is called with first and what it puts out. It stays on the model, which should
    be a copy.
    """
    for name, see in seers.items():
        model.get_submodule(name).register_forward_hook(_told(see), with_kwargs=True)
    for batch in batches(x):
        with evaluating(model):
            model(inputs_for(model, batch))


def _told(see: Seer) -> Callable[[Any, Any, Any, torch.Tensor], None]:
    def hook(layer: Any, args: Any, kwargs: Any, output: torch.Tensor) -> None:
        see(layer, next(iter((*args, *kwargs.values()))), output)

    return hook


def weight_of(model: nn.Module) -> torch.Tensor:
    """Any one weight of the model: it tells device and dtype. An empty float32 tensor where there is none."""
    return next(model.parameters(), torch.empty(0))


def layout_of(model: nn.Module) -> str:
    """`channels_last` where a convolution's weight is laid out so, else `contiguous`."""
    convolutions = (m for m in model.modules() if isinstance(m, nn.Conv2d))
    return "channels_last" if any(has_last_strides(m.weight) for m in convolutions) else "contiguous"
