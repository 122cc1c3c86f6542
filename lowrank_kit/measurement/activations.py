"""What flows into and out of the layers of a network."""

from collections.abc import Callable, Collection
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import nn

from lowrank_kit.checks import check_name
from lowrank_kit.models.inventory import factorable_layers
from lowrank_kit.models.low_rank import LowRank
from lowrank_kit.models.replacement import replaced
from lowrank_kit.models.running import batches, evaluating, watch
from lowrank_kit.models.surgery import Factorisation
from lowrank_kit.records import LayerPlan

__all__ = ["latent_coordinates", "layer_inputs", "layer_outputs"]


def layer_inputs(model: nn.Module, x: np.ndarray, layers: Collection[str] | None = None) -> dict[str, np.ndarray]:
    """{layer: its input (n, ...) as it arrives there, float32} for network inputs x (n, ...).

    `layers` are names of layers that can be factorised; all of them by default, less those that are not run just once
    a batch on all its examples. Everything is held at once. Raises InputError for a layer the network does not have.
    """
    return _watched(model, x, layers, lambda given, _: given)


def layer_outputs(model: nn.Module, x: np.ndarray, layers: Collection[str] | None = None) -> dict[str, np.ndarray]:
    """{layer: its output (n, ...), float32}, as :func:`layer_inputs`; a compressed layer goes by the same name."""
    return _watched(model, x, layers, lambda _, output: output)


def latent_coordinates(factorisation: Factorisation, layer: str, inputs: np.ndarray) -> np.ndarray:
    """z = S Vh h (n, groups, k): the layer's inputs (n, ...) in its singular directions, averaged over positions.

    A convolution reads h at every position; its coordinates are averaged over them, which a linear map allows.
    """
    parts, module = factorisation.factors(layer), factorisation.layers[layer]
    reader: Any = factorisation.block(layer, LayerPlan(parts[0].rank)).reduce
    found = []
    for batch in batches(inputs):
        with evaluating(reader):
            read = reader(torch.from_numpy(np.ascontiguousarray(batch)).to(module.weight))
        last = isinstance(module, nn.Linear)  # channels come last in a linear layer, second in a convolution
        channels = read.movedim(-1, 1) if last else read
        found.append(channels.flatten(2).mean(2) if channels.ndim > 2 else channels)
    # The reader holds the square root of the singular values; the other half is in the writer.
    scales = np.sqrt(np.stack([part.S for part in parts]))
    return torch.cat(found).float().cpu().numpy().reshape(len(inputs), *scales.shape) * scales


def _watched(
    model: nn.Module,
    x: np.ndarray,
    layers: Collection[str] | None,
    select: Callable[[torch.Tensor, torch.Tensor], torch.Tensor],
) -> dict[str, np.ndarray]:
    opened, names = _opened(model, layers)
    seen: dict[str, list[np.ndarray]] = {name: [] for name in names}

    def keep(name: str, _: Any, given: torch.Tensor, output: torch.Tensor) -> None:
        seen[name].append(select(given, output).float().cpu().numpy().copy())

    watch(opened, {name: partial(keep, name) for name in names}, x)
    sizes = [len(batch) for batch in batches(x)]
    # A layer that is run more than once, or whose first axis is not the examples, tells of no single example.
    return {name: np.concatenate(parts) for name, parts in seen.items() if [len(part) for part in parts] == sizes}


def _opened(model: nn.Module, layers: Collection[str] | None) -> tuple[nn.Module, list[str]]:
    """A copy of the network on the same tensors, its layers modules that can be watched, and their names.

    A layer that has been compressed is a block of two, which goes by the layer's name.
    """
    found = factorable_layers(model)
    blocks = {name for name, module in model.named_modules() if isinstance(module, LowRank)}
    whole = {name: layer for name, layer in found.items() if name.rpartition(".")[0] not in blocks}
    for name in layers or ():
        check_name(name, [*whole, *blocks], name="layer")
    names = [n for n in dict.fromkeys(_owner(n, blocks) for n in found) if layers is None or n in layers]
    return replaced(model, {n: whole[n] for n in names if n in whole}, shared=True), names


def _owner(name: str, blocks: Collection[str]) -> str:
    block = name.rpartition(".")[0]
    return block if block in blocks else name
