"""Small layers of every kind that can be factored, which several files of tests share."""

import pytest
import torch
from torch import nn

from lowrank_kit.models.factored import VIEWS, factored_layer, suited_view, viewed

# name -> layer, shape of an input; every option that a convolution has stands in one of them
LAYERS = {
    "linear": (lambda **kw: nn.Linear(9, 6, **kw), (5, 9)),
    "linear over positions": (lambda **kw: nn.Linear(6, 9, **kw), (2, 3, 6)),
    "linear of one output": (lambda **kw: nn.Linear(6, 1, **kw), (2, 6)),
    "convolution": (lambda **kw: nn.Conv2d(4, 6, 3, padding=1, **kw), (2, 4, 7, 8)),
    "pointwise": (lambda **kw: nn.Conv2d(4, 6, 1, stride=2, **kw), (2, 4, 7, 8)),
    "of one row": (lambda **kw: nn.Conv2d(4, 6, (1, 5), padding="valid", **kw), (2, 4, 7, 8)),
    "strided": (lambda **kw: nn.Conv2d(5, 3, (3, 2), stride=(2, 1), padding=(1, 2), **kw), (2, 5, 7, 8)),
    "dilated": (lambda **kw: nn.Conv2d(4, 6, 3, dilation=(2, 1), padding="same", **kw), (2, 4, 7, 8)),
    "reflect": (lambda **kw: nn.Conv2d(4, 6, 3, padding=(2, 1), padding_mode="reflect", **kw), (2, 4, 7, 8)),
    "replicate": (lambda **kw: nn.Conv2d(4, 6, 3, padding=2, padding_mode="replicate", **kw), (2, 4, 7, 8)),
    "circular": (lambda **kw: nn.Conv2d(4, 6, 3, padding="same", padding_mode="circular", **kw), (2, 4, 7, 8)),
    "on one example": (lambda **kw: nn.Conv2d(4, 6, 3, **kw), (4, 7, 8)),
}
layers = pytest.mark.parametrize(("build", "shape"), LAYERS.values(), ids=LAYERS)
views = pytest.mark.parametrize("view", VIEWS)


def built(build, dtype=torch.float64, **kwargs):
    torch.manual_seed(0)
    return build(**kwargs).to(dtype)


def modes(layer, view):
    """Sizes of the modes that get bases."""
    return tuple(viewed(layer, suited_view(layer, view)).shape[: 4 if suited_view(layer, view) == "kernel" else 2])


def at_full_rank(layer, view):
    return factored_layer(layer, modes(layer, view), view)


def some_ranks(layer, view):
    """Full ranks, ones, and some between."""
    full = modes(layer, view)
    return [full, tuple(-(-n // 2) for n in full), tuple(max(n - i, 1) for i, n in enumerate(full)), (1,) * len(full)]


def normal(*shape, seed=0):
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def distance(found, expected):
    return float((found - expected).detach().norm() / expected.detach().norm())
