"""A small vision transformer, as a plain named Sequential of stages.

Pre-norm blocks (Vaswani et al. 2017 put the norm behind the sum, Xiong et al. 2020 say why before is easier to train)
over square patches (Dosovitskiy et al. 2021). n stands for images, t for tokens, one a patch, d for their width.
"""

from collections import OrderedDict

import torch
from torch import nn
from torch.nn import functional as F

__all__ = ["mnist_vit"]

PATCHES = 7  # along each side of an image
WIDTH = 64
HEADS = 4
BLOCKS = 4
SKIPPED = 0.1  # of the branches, in training: few images teach a transformer too much


def mnist_vit(n_classes: int = 10) -> nn.Sequential:
    """A transformer of four blocks on the 7 x 7 patches of 28 x 28 grey images, input (n, 1, 28, 28)."""
    return nn.Sequential(
        OrderedDict(
            [
                ("patches", nn.Conv2d(1, WIDTH, 4, stride=4)),
                ("tokens", Tokens(WIDTH, PATCHES**2)),
                *((f"block{i}", Block(WIDTH, HEADS)) for i in range(1, BLOCKS + 1)),
                ("norm", nn.LayerNorm(WIDTH)),
                ("mean", Mean()),
                ("head", nn.Linear(WIDTH, n_classes)),
            ]
        )
    )


class Tokens(nn.Module):
    """Maps (n, d, h, w) as tokens (n, t = h w, d), each with a vector of its place added."""

    def __init__(self, width: int, n_tokens: int):
        super().__init__()
        self.position = nn.Parameter(0.02 * torch.randn(n_tokens, width))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.flatten(2).transpose(1, 2) + self.position


class Block(nn.Module):
    """Tokens look at each other, then each is worked on alone; both add to what came in, (n, t, d)."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.norm1 = nn.LayerNorm(width)
        self.attention = Attention(width, heads)
        self.norm2 = nn.LayerNorm(width)
        self.mlp = nn.Sequential(
            OrderedDict(fc1=nn.Linear(width, 4 * width), gelu=nn.GELU(), fc2=nn.Linear(4 * width, width))
        )
        self.depth = StochasticDepth(SKIPPED)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x + self.depth(self.attention(self.norm1(x)))
        return x + self.depth(self.mlp(self.norm2(x)))


class Attention(nn.Module):
    """Multi-head self-attention (n, t, d); queries, keys and values come from one fused matrix."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        # (n, t, 3 d) -> three of (n, heads, t, d / heads)
        q, k, v = self.qkv(x).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4).unbind()
        return self.proj(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))


class StochasticDepth(nn.Module):
    """In training a branch (n, t, d) is left out for some images, and the others' is raised to make up for it.

    Huang et al. 2016, with the raising of dropout, so that nothing is left to do in eval mode.
    """

    def __init__(self, skipped: float):
        super().__init__()
        self.skipped = skipped

    def forward(self, branch: torch.Tensor) -> torch.Tensor:
        if not self.training:
            return branch
        return branch * F.dropout(branch.new_ones(len(branch), 1, 1), self.skipped)


class Mean(nn.Module):
    """The mean of all tokens, (n, t, d) -> (n, d)."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.mean(1)
