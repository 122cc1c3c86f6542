"""How classes part from layer to layer."""

from collections.abc import Callable, Sequence

import numpy as np

from lowrank_kit.checks import InputError
from lowrank_kit.maths.separation import scatter_ratio

__all__ = ["layer_scatter"]

Activation = Callable[[np.ndarray], np.ndarray]


def layer_scatter(
    weights: Sequence[np.ndarray], x: np.ndarray, labels: np.ndarray, activation: Activation | None = None
) -> np.ndarray:
    """Scatter within classes over that between them, D_l (L,), at the input of every layer; the first is that of x.

    Examples x (n, d) go through all weights but the last, with an activation after each where one is given. Trained
    from a small orthogonal start, linear networks shrink it by about the same factor a layer (arXiv:2306.01154).

    Raises InputError where the examples do not fit the first weight.
    """
    n_inputs = weights[0].shape[1]
    if x.shape[1] != n_inputs:
        raise InputError(f"`x` must have {n_inputs} columns, the inputs of the first layer; got {x.shape[1]}.")
    found = [scatter_ratio(x, labels)]
    for weight in weights[:-1]:
        x = x @ weight.T
        if activation is not None:
            x = activation(x)
        found.append(scatter_ratio(x, labels))
    return np.array(found)
