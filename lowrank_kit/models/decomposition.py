"""The factors and the spectrum of one layer, by each method."""

from collections.abc import Sequence

import numpy as np

from lowrank_kit.checks import check_finite
from lowrank_kit.maths.matrix import factors, singular_values, stacked_factors, weighted_factors
from lowrank_kit.maths.tensor import hosvd
from lowrank_kit.models.layers import Factorable
from lowrank_kit.models.low_rank import as_matrices, matrix_shape
from lowrank_kit.models.tucker import as_tensor
from lowrank_kit.records import Factors, Spectrum, TuckerFactors

__all__ = ["Decomposition", "TuckerDecomposition", "decompose", "decompose_aware", "decompose_modes", "spectrum"]

# The full factors of a layer, one for each group, and its spectrum.
Decomposition = tuple[tuple[Factors, ...], Spectrum]
# The full HOSVD of a convolution over outputs and inputs, and the spectra of these two modes.
TuckerDecomposition = tuple[TuckerFactors, tuple[Spectrum, Spectrum]]


def spectrum(name: str, layer: Factorable, method: str = "svd") -> Spectrum:
    """The singular values of a layer by themselves, which takes half the time of its factors.

    Raises InputError on NaN or infinite weights.
    """
    matrices = _finite_matrices(name, layer, method)
    values = [singular_values(matrices[0])] if len(matrices) == 1 else _stacked_values(matrices)
    return _together(values, name, layer, method)


def decompose(name: str, layer: Factorable, method: str) -> Decomposition:
    """By "svd" or "spatial", from the weight alone. Raises InputError on NaN or infinite weights."""
    matrices = _finite_matrices(name, layer, method)
    parts = [factors(matrices[0])] if len(matrices) == 1 else stacked_factors(matrices)
    return _in_precision(parts, matrices.dtype), _together([part.S for part in parts], name, layer, method)


def decompose_aware(name: str, layer: Factorable, moments: np.ndarray) -> Decomposition:
    """By "aware", from the weight and the moments (groups, m, m) of the layer's outputs on data.

    The spectrum is that of the outputs: its tail is the error there, not that of the weight. A layer that was never
    run, with moments of zero, is decomposed by its weight.
    """
    check_finite(moments, name=f"outputs of {name} on the data")
    if not moments.any():
        return decompose(name, layer, "aware")
    matrices = _finite_matrices(name, layer, "aware")
    found = [weighted_factors(*pair) for pair in zip(matrices, moments, strict=True)]
    parts, values = [part for part, _ in found], [weights for _, weights in found]
    return _in_precision(parts, matrices.dtype), _together(values, name, layer, "aware")


def decompose_modes(name: str, layer: Factorable) -> TuckerDecomposition:
    """By "tucker", every pair of ranks being a slice. Raises InputError on NaN or infinite weights."""
    tensor = as_tensor(layer)
    check_finite(tensor, name=f"{name}.weight")
    full, values = hosvd(tensor, 2)
    outputs, inputs = (
        Spectrum(part, (size, tensor.size // size), name) for part, size in zip(values, tensor.shape, strict=False)
    )
    return full, (outputs, inputs)


def _together(values: Sequence[np.ndarray], name: str, layer: Factorable, method: str) -> Spectrum:
    """The root of the sum of squares over the groups at each rank, so that energy and error are the whole layer's."""
    whole = values[0] if len(values) == 1 else np.sqrt(np.sum(np.square(values), axis=0))
    return Spectrum(whole, matrix_shape(layer, method), name, groups=len(values))


def _stacked_values(matrices: np.ndarray) -> Sequence[np.ndarray]:
    return list(np.linalg.svd(matrices.astype(np.float64), compute_uv=False))


def _in_precision(parts: Sequence[Factors], dtype: np.dtype) -> tuple[Factors, ...]:
    return tuple(Factors(*(array.astype(dtype) for array in (part.U, part.S, part.Vh))) for part in parts)


def _finite_matrices(name: str, layer: Factorable, method: str) -> np.ndarray:
    matrices = as_matrices(layer, method)
    check_finite(matrices, name=f"{name}.weight")
    return matrices
