"""Layers as shapes, and shapes as layers with weights drawn at random."""

from functools import partial
from typing import Any

import numpy as np
import torch
from torch import nn

from lowrank_kit.models.blocks import empty_block
from lowrank_kit.models.inventory import factorable_layers
from lowrank_kit.models.layers import Factorable
from lowrank_kit.models.replacement import replaced
from lowrank_kit.models.running import watch
from lowrank_kit.records import LayerPlan, LayerShape

__all__ = ["block_of", "drawn", "inputs_of", "layer_of", "layer_shapes"]


def layer_shapes(model: nn.Module, x: np.ndarray) -> dict[str, LayerShape]:
    """{layer: its shape} of the factorable layers, in the order they run on the first of the inputs x (n, ...).

    A layer that is run more than once has no one shape and is left out, as is one that is never reached.
    """
    layers, seen = factorable_layers(model), dict[str, list[LayerShape]]()

    def see(name: str, _: Any, given: torch.Tensor, output: torch.Tensor) -> None:
        seen.setdefault(name, []).append(_shape(layers[name], tuple(given.shape), tuple(output.shape)))

    watch(replaced(model, layers, shared=True), {name: partial(see, name) for name in layers}, x[:1])
    return {name: shapes[0] for name, shapes in seen.items() if len(shapes) == 1}


def layer_of(shape: LayerShape, seed: int = 0) -> Factorable:
    """A layer of this shape without a bias; its kernel is centred, and its stride what the two sizes say."""
    if shape.is_linear:
        return drawn(nn.Linear(shape.inputs, shape.outputs, bias=False, device="meta"), seed)
    walk = {
        "stride": tuple(-(-size // out) for size, out in zip(shape.size, shape.out_size, strict=True)),
        "padding": tuple(side // 2 for side in shape.kernel),
    }
    kind: Any = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}[len(shape.kernel)]
    layer = kind(
        shape.inputs, shape.outputs, shape.kernel, groups=shape.groups, bias=False, device="meta", **walk
    )  # fmt: skip
    return drawn(layer, seed)


def block_of(layer: Factorable, plan: LayerPlan, seed: int = 1) -> nn.Module:
    """The layer's block under a plan, with random factors: zeros would run faster than what a network holds."""
    return drawn(empty_block(layer, plan), seed)


def inputs_of(shape: LayerShape, batch: int) -> np.ndarray:
    """Random inputs (batch, ...) for a layer of this shape, float32."""
    sides = (*shape.size, shape.inputs) if shape.is_linear else (shape.inputs, *shape.size)
    return np.random.default_rng(0).standard_normal((batch, *sides), dtype=np.float32)


def drawn(model: Any, seed: int = 0) -> Any:
    """The module itself, its weights drawn as they usually are, with variance 1 / inputs; its buffers stay.

    The generator is of its own. Modules without values get them on the CPU.
    """
    generator = torch.Generator().manual_seed(seed)
    if any(weight.is_meta for weight in model.parameters()):
        model.to_empty(device="cpu")
    with torch.no_grad():
        for weight in model.parameters():
            weight.normal_(0, max(weight[0].numel(), 1) ** -0.5, generator=generator)
    return model.requires_grad_(False).eval()


def _shape(layer: Factorable, given: tuple[int, ...], output: tuple[int, ...]) -> LayerShape:
    if isinstance(layer, nn.Linear):
        vectors = (int(np.prod(given[1:-1])),)
        return LayerShape(layer.out_features, layer.in_features, (), vectors, vectors)
    sides = given[2:], output[2:]
    return LayerShape(layer.out_channels, layer.in_channels, tuple(layer.kernel_size), *sides, layer.groups)
