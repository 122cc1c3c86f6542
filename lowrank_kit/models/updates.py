"""What is added to a frozen weight W_0 (m, n): two thin factors, three wide ones, or those compressed.

LoRA        (a / r) B A, B zero at the start (Hu et al. 2021, arXiv 2106.09685)
deep        W_3 W_2 W_1, all as wide as the longer side d, started e times orthogonal
compressed  L C_3 C_2 C_1 R^T with cores (r, r), which follows the deep one (Deep LoRA, arXiv 2406.04112)

Each is a parametrisation of torch.nn.utils: the layer that has it stays the kind of layer it is.
"""

import math
from collections.abc import Iterable

import torch
from torch import nn

__all__ = ["CompressedUpdate", "DeepUpdate", "LoRAUpdate", "Update"]

FACTORS = 3


class Update(nn.Module):
    """A weight (m, n) comes in, the weight with the update comes out, in the weight's own precision."""

    def forward(self, weight: torch.Tensor) -> torch.Tensor:
        return weight + self.delta().to(weight.dtype)

    def delta(self) -> torch.Tensor:
        """The update (m, n) by itself."""
        raise NotImplementedError

    @property
    def outer(self) -> list[nn.Parameter]:
        """The parameters that are meant to move more slowly than the others."""
        return []


class LoRAUpdate(Update):
    """(a / r) B A, with A (r, n) drawn as nn.Linear draws its weights and B (m, r) zero."""

    def __init__(self, weight: torch.Tensor, rank: int, scale: float, generator: torch.Generator):
        super().__init__()
        (m, n), dtype = weight.shape, _precision(weight)
        self.A = nn.Parameter(weight.new_empty(rank, n, dtype=dtype))
        self.B = nn.Parameter(weight.new_zeros(m, rank, dtype=dtype))
        self.scale = scale
        nn.init.kaiming_uniform_(self.A, math.sqrt(5), generator=generator)

    def delta(self) -> torch.Tensor:
        return self.scale * (self.B @ self.A)


class DeepUpdate(Update):
    """W_3 W_2 W_1 with W_1 (d, n), W_2 (d, d) and W_3 (m, d), d = max(m, n), each e times (semi-)orthogonal.

    The update starts at a norm of e^3 sqrt(min(m, n)): nearly at zero, and not quite, since zero would never be left.
    """

    def __init__(self, weight: torch.Tensor, epsilon: float, generator: torch.Generator):
        super().__init__()
        (m, n), dtype = weight.shape, _precision(weight)
        d = max(m, n)
        self.epsilon = epsilon
        shapes = (d, n), (d, d), (m, d)
        self.factors = nn.ParameterList(nn.Parameter(weight.new_empty(shape, dtype=dtype)) for shape in shapes)
        for factor in self.factors:
            nn.init.orthogonal_(factor, epsilon, generator=generator)

    def delta(self) -> torch.Tensor:
        return _product(self.factors)

    @property
    def square_end(self) -> nn.Parameter:
        """W_1 where it is square, which it is unless there are more outputs than inputs; otherwise W_3."""
        return self.factors[0 if self._starts_square else -1]

    @torch.no_grad()
    def compressed(self, gradient: torch.Tensor, rank: int) -> "CompressedUpdate":
        """The same start in `rank` directions, those that gradient descent will move.

        Parameters
        ----------
        gradient : (d, d) of the loss by `square_end`, at the start
        rank : even, at most min(m, n)

        From G = U S V^T, the gradient by W_1, descent leaves alone what is orthogonal to the leading r / 2 columns of
        V and of W_1^T U (arXiv 2306.01154): these are R, and L = W_3 W_2 W_1 R / e^3. What the compressed update
        starts with is thus the deep one projected, W_3 W_2 W_1 R R^T. Where W_3 is the square one, all this is done
        to the transpose.
        """
        square, whole = self.square_end.double(), self.delta().double() / self.epsilon**FACTORS
        found = gradient.double()
        if not self._starts_square:
            square, whole, found = square.mT, whole.mT, found.mT
        half = rank // 2
        U, _, Vh = torch.linalg.svd(found)
        both = torch.cat([Vh[:half].mT, square.mT @ U[:, :half] / self.epsilon], dim=1)
        inner = torch.linalg.qr(both).Q
        outer = whole @ inner
        left, right = (outer, inner) if self._starts_square else (inner, outer)
        return CompressedUpdate(left.to(gradient), right.to(gradient), self.epsilon)

    @property
    def _starts_square(self) -> bool:
        return self.factors[0].shape[0] == self.factors[0].shape[1]


class CompressedUpdate(Update):
    """L C_3 C_2 C_1 R^T with L (m, r), R (n, r) and cores (r, r) that start as e times the identity."""

    def __init__(self, left: torch.Tensor, right: torch.Tensor, epsilon: float):
        super().__init__()
        self.left, self.right = nn.Parameter(left), nn.Parameter(right)
        core = epsilon * torch.eye(left.shape[1]).to(left)
        self.cores = nn.ParameterList(nn.Parameter(core.clone()) for _ in range(FACTORS))

    def delta(self) -> torch.Tensor:
        return self.left @ _product(self.cores) @ self.right.mT

    @property
    def outer(self) -> list[nn.Parameter]:
        return [self.left, self.right]


def _precision(weight: torch.Tensor) -> torch.dtype:
    """The weight's, or float32 where that is more: e^3 is as good as nothing in half precision."""
    return torch.promote_types(weight.dtype, torch.float32)


def _product(factors: Iterable[torch.Tensor]) -> torch.Tensor:
    """W_3 W_2 W_1 of the factors in their order."""
    first, second, third = factors
    return third @ second @ first
