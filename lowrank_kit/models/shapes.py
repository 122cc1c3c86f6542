"""Layers as shapes, and shapes as layers with weights drawn at random."""

import math
from functools import partial
from itertools import product
from typing import Any

import numpy as np
import torch
from torch import nn

from lowrank_kit.checks import InputError
from lowrank_kit.models.blocks import empty_block
from lowrank_kit.models.inventory import factorable_layers
from lowrank_kit.models.layers import Factorable
from lowrank_kit.models.replacement import replaced
from lowrank_kit.models.running import watch
from lowrank_kit.records import LayerPlan, LayerShape

__all__ = ["block_of", "drawn", "inputs_of", "layer_of", "layer_shapes"]


def layer_shapes(model: nn.Module, x: np.ndarray) -> dict[str, LayerShape]:
    """{layer: its shape} of the factorable layers, in the order they run on the first of the inputs x (n, ...).

    A layer that is run more than once, or on several images of one example, has no one shape and is left out, as is
    one that is never reached.
    """
    layers, seen = factorable_layers(model), dict[str, list[LayerShape]]()

    def see(name: str, _: Any, given: torch.Tensor, output: torch.Tensor) -> None:
        seen.setdefault(name, []).extend(_shapes(layers[name], tuple(given.shape), tuple(output.shape)))

    watch(replaced(model, layers, shared=True), {name: partial(see, name) for name in layers}, x[:1])
    return {name: shapes[0] for name, shapes in seen.items() if len(shapes) == 1}


def layer_of(shape: LayerShape, seed: int = 0) -> Factorable:
    """A layer of this shape without a bias, its stride and padding such that the two sizes fit.

    Raises InputError where none do.
    """
    if shape.is_linear:
        return drawn(nn.Linear(shape.inputs, shape.outputs, bias=False, device="meta"), seed)
    steps = [_step(*sides) for sides in zip(shape.kernel, shape.size, shape.out_size, strict=True)]
    stride, padding = zip(*steps, strict=True)
    kind: Any = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}[len(shape.kernel)]
    options = {"stride": stride, "padding": padding, "groups": shape.groups, "bias": False, "device": "meta"}
    return drawn(kind(shape.inputs, shape.outputs, shape.kernel, **options), seed)


def _step(side: int, size: int, out: int) -> tuple[int, int]:
    """The stride and the padding, as near to half the kernel as can be, that bring one size to the other."""
    strides, paddings = range(size // out + 1, 0, -1), sorted(range(side), key=lambda padding: abs(padding - side // 2))
    for padding, stride in product(paddings, strides):
        if (size + 2 * padding - side) // stride + 1 == out:
            return stride, padding
    raise InputError(f"no stride and padding take a kernel of {side} from {size} positions to {out}.")


def block_of(layer: Factorable, plan: LayerPlan, seed: int = 1) -> nn.Module:
    """The layer's block under a plan, with random factors: zeros would run faster than what a network holds."""
    return drawn(empty_block(layer, plan), seed)


def inputs_of(shape: LayerShape, batch: int) -> np.ndarray:
    """Random inputs (batch, ...) for a layer of this shape, float32."""
    sides = (*shape.size, shape.inputs) if shape.is_linear else (shape.inputs, *shape.size)
    return np.random.default_rng(0).standard_normal((batch, *sides), dtype=np.float32)


def drawn(model: Any, seed: int = 0) -> Any:
    """The module itself, its weights drawn as they usually are, with variance 1 / inputs.

    The generator is of its own. A module without values (on the meta device) gets them on the CPU; of others, buffers
    stay as they are.
    """
    generator = torch.Generator().manual_seed(seed)
    if any(weight.is_meta for weight in model.parameters()):
        model.to_empty(device="cpu")
    with torch.no_grad():
        for weight in model.parameters():
            scale = max(weight.numel() // max(len(weight), 1), 1) ** -0.5 if weight.ndim else 1.0
            weight.copy_(torch.randn(weight.shape, generator=generator) * scale)
    return model.requires_grad_(False).eval()


def _shapes(layer: Factorable, given: tuple[int, ...], output: tuple[int, ...]) -> list[LayerShape]:
    """One for each image of the example, and one for all its vectors, whichever axes they lie along."""
    if isinstance(layer, nn.Linear):
        vectors = (math.prod(given[:-1]),)
        return [LayerShape(layer.out_features, layer.in_features, (), vectors, vectors)]
    kernel = tuple(layer.kernel_size)
    sides, images = len(kernel), math.prod(given[: -len(kernel) - 1])
    shape = LayerShape(layer.out_channels, layer.in_channels, kernel, given[-sides:], output[-sides:], layer.groups)
    return [shape] * images
