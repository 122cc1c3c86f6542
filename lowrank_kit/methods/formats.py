"""One layer's weight in several formats at equal sizes, and what the network still reads with each."""

from collections.abc import Collection, Iterable
from copy import deepcopy
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import nn

from lowrank_kit.checks import InputError, check_fraction, check_name
from lowrank_kit.maths.formats import FORMATS, in_format
from lowrank_kit.measurement.quality import predictions
from lowrank_kit.models.inventory import inventory, layers_of
from lowrank_kit.models.low_rank import has_modes
from lowrank_kit.models.replacement import replaced
from lowrank_kit.models.tucker import as_tensor
from lowrank_kit.records import Examples, FormatFit

__all__ = ["compare_formats"]


def compare_formats(
    model: nn.Module,
    layer: str,
    shares: Iterable[float],
    examples: Examples,
    *,
    formats: Collection[str] = tuple(FORMATS),
) -> list[FormatFit]:
    """A convolution's weight in each format at each share of its numbers, the rest of the network left whole.

    What a format multiplies out to is put in the weight's place, so accuracy is about the format alone. Raises
    InputError for an unknown layer or format, a layer that is no two-dimensional convolution with a kernel and without
    groups, and a share that leaves a format less than rank 1.
    """
    layers = layers_of(inventory(model))
    check_name(layer, layers, name="layer")
    own = layers[layer]
    if not has_modes(own) or own.weight.ndim != 4:
        raise InputError(f"`layer` must be a 2D convolution with a kernel and without groups; {layer!r} is {own}.")
    weight, found = as_tensor(own), []
    for share in shares:
        check_fraction(share, name="share")
        for name in formats:
            fit = in_format(weight, name, round(share * weight.size))
            found.append(replace(fit, correct=_correct(model, layer, own, fit.tensor, examples)))
    return found


def _correct(model: nn.Module, layer: str, own: Any, tensor: np.ndarray, examples: Examples) -> np.ndarray:
    stand_in = deepcopy(own)
    with torch.no_grad():
        stand_in.weight.copy_(torch.from_numpy(np.ascontiguousarray(tensor)))
    return np.asarray(predictions(replaced(model, {layer: stand_in}, shared=True), examples) == examples.y)
