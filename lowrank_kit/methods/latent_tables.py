"""The tables behind a latent board, and what is predicted at each rank of a layer that is looked at."""

from collections.abc import Iterable, Iterator

import numpy as np

from lowrank_kit.checks import InputError, check_labels
from lowrank_kit.measurement.activations import latent_coordinates, layer_inputs
from lowrank_kit.measurement.quality import logits
from lowrank_kit.measurement.sensitivity import scores_by_rank
from lowrank_kit.models.surgery import Factorisation
from lowrank_kit.records import Examples, LatentLayer, LatentTables

__all__ = ["latent_tables", "probabilities_by_rank"]


def latent_tables(factorisation: Factorisation, examples: Examples, *, name: str) -> LatentTables:
    """Tables of every layer that each of the examples passes once.

    Raises InputError where there is no such layer, or where labels lie outside the model's classes.
    """
    dense = _softmax(logits(factorisation.model, examples.x))
    check_labels(examples.y, dense.shape[1])
    inputs = layer_inputs(factorisation.model, examples.x)
    names = [layer for layer in factorisation.layers if len(inputs.get(layer, ())) == len(examples)]
    if not names:
        raise InputError("`model` must have a linear or convolution layer that examples pass once; it has none.")
    layers = tuple(_layer(factorisation, layer, inputs[layer]) for layer in names)
    return LatentTables(name, examples.y, _images(examples.x), dense, layers)


def probabilities_by_rank(
    factorisation: Factorisation, layer: str, ranks: Iterable[int], examples: Examples
) -> Iterator[np.ndarray | None]:
    """Probabilities (n, classes) with this layer alone at each of the ranks; None between batches."""
    for scores in scores_by_rank(factorisation, layer, ranks, examples.x):
        yield None if scores is None else _softmax(scores)


def _layer(factorisation: Factorisation, name: str, inputs: np.ndarray) -> LatentLayer:
    z = latent_coordinates(factorisation, name, inputs)
    spectrum = factorisation.spectrum(name)
    # (n, groups, k): a rank keeps that many directions of every group.
    return LatentLayer(name, spectrum.shape, spectrum.groups, z.swapaxes(1, 2).reshape(len(z), -1))


def _images(x: np.ndarray) -> np.ndarray | None:
    """Grey images (n, height, width) in [0, 1], the mean of the channels; None where examples are something else."""
    if x.ndim == 4:
        x = x.mean(axis=1)
    if x.ndim != 3:
        return None
    low, high = float(x.min()), float(x.max())
    return ((x - low) / (high - low or 1.0)).astype(np.float32)


def _softmax(scores: np.ndarray) -> np.ndarray:
    shifted = np.exp(scores - scores.max(axis=1, keepdims=True))
    found: np.ndarray = shifted / shifted.sum(axis=1, keepdims=True)
    return found
