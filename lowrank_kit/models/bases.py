"""Orthonormal bases of tensors in torch, on the device the tensors are on.

New directions are made orthonormal by Householder's QR on a CPU, where LAPACK's is two to five times as fast as Gram
matrices, and by Gram matrices on other devices, which are nothing but products of matrices and one small
eigendecomposition, where a QR goes column by column. Gram matrices square what they are made of, so they are formed
in float64.
"""

from collections.abc import Sequence

import torch

__all__ = ["mode_directions", "mode_product", "multi_mode_product", "orthonormal_beyond"]

# Directions with less than this share of the squares are rounding, not directions: by dtype.
SHOWN = {torch.float64: 1e-12, torch.float32: 1e-10}


def mode_product(tensor: torch.Tensor, matrix: torch.Tensor, mode: int) -> torch.Tensor:
    """`tensor` x_mode `matrix` (j, n_mode): the mode's size becomes j (Kolda and Bader 2009, section 2.5)."""
    return torch.tensordot(matrix, tensor, dims=([1], [mode])).movedim(0, mode)


def multi_mode_product(tensor: torch.Tensor, matrices: Sequence[torch.Tensor]) -> torch.Tensor:
    """`tensor` x_1 M_1 x_2 M_2 ... over its leading modes."""
    for mode, matrix in enumerate(matrices):
        tensor = mode_product(tensor, matrix, mode)
    return tensor


def mode_directions(tensor: torch.Tensor, mode: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Singular values (n,) of a mode's unfolding, descending, and its left singular vectors (n, n), in float64."""
    rows = tensor.movedim(mode, 0).flatten(1).double()
    eigenvalues, vectors = torch.linalg.eigh(rows @ rows.mT)
    return eigenvalues.clamp(min=0).sqrt().flip(0), vectors.flip(1)


def orthonormal_beyond(basis: torch.Tensor, directions: torch.Tensor) -> torch.Tensor:
    """Orthonormal columns (n, k), k at most min(j, n - r), outside the orthonormal `basis` (n, r).

    Together with the basis they span `directions` (n, j). Where those are zero outside, there may be fewer columns or
    arbitrary ones.
    """
    return _by_qr(basis, directions) if basis.device.type == "cpu" else by_gram(basis, directions)


def _by_qr(basis: torch.Tensor, directions: torch.Tensor) -> torch.Tensor:
    """Householder reflections are orthonormal to rounding whatever the directions are."""
    return torch.linalg.qr(torch.cat([basis, _scaled(directions)], dim=1)).Q[:, basis.shape[1] :]


def by_gram(basis: torch.Tensor, directions: torch.Tensor) -> torch.Tensor:
    """As :func:`orthonormal_beyond`, with no columns for what is rounding."""
    found, inner = _scaled(directions).double(), basis.double()
    for _ in range(2):  # the second pass takes out what rounding left in the first
        found = found - inner @ (inner.mT @ found)
        found = _gram_orthonormal(found, SHOWN[basis.dtype], most=basis.shape[0] - basis.shape[1])
    return found.to(basis.dtype)


def _scaled(directions: torch.Tensor) -> torch.Tensor:
    """Columns of largest entry 1: the gradients of a basis are as small as the core's singular values."""
    return directions / directions.abs().amax(dim=0).clamp(min=torch.finfo(directions.dtype).tiny)


def _gram_orthonormal(columns: torch.Tensor, shown: float, most: int) -> torch.Tensor:
    """Orthonormal columns X V / s, where X^T X = V s^2 V^T, largest first."""
    eigenvalues, vectors = torch.linalg.eigh(columns.mT @ columns)
    # An absolute floor too: directions were scaled to 1, and what is left of none at all is rounding.
    floor = shown * eigenvalues.sum().clamp(min=1.0)
    count = min(int((eigenvalues > floor).sum()), most)
    leading = slice(len(eigenvalues) - count, None)
    return (columns @ (vectors[:, leading] / eigenvalues[leading].sqrt())).flip(1)
