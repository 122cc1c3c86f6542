"""nn.MultiheadAttention with its projections as layers of their own, so that each of them can be replaced."""

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from lowrank_kit.models.layers import RowsLinear, linear_on, plain_layer, with_hooks_of
from lowrank_kit.models.low_rank import LowRank

__all__ = ["Attention", "leave_fast_paths", "projections"]

FUSABLE = "activation_relu_or_gelu"


def projections(source: nn.MultiheadAttention) -> dict[str, nn.Linear]:
    """The linear layers inside, on the same tensors: one joint `in_proj` where q, k and v are of one width, else three.

    A joint decomposition of q, k and v shares its directions: it affords 1.5 times the rank of three separate ones.
    """
    plain = plain_layer(source.out_proj)
    out = linear_on(plain.weight, plain.bias, source)
    if source.in_proj_weight is not None:
        return {"in_proj": linear_on(source.in_proj_weight, source.in_proj_bias, source, RowsLinear), "out_proj": out}
    biases = (None,) * 3 if source.in_proj_bias is None else source.in_proj_bias.chunk(3)
    names = ("q_proj", "k_proj", "v_proj")
    weights = (getattr(source, f"{name}_weight") for name in names)
    found = {name: linear_on(w, b, source) for name, w, b in zip(names, weights, biases, strict=True)}
    return {**found, "out_proj": out}


def leave_fast_paths(model: nn.Module) -> None:
    """Keep PyTorch's encoder from its fused kernels where they would read the weight of a part that was replaced.

    Positions hidden by a padding mask, which the fused kernels set to zero, then hold values as in training mode.
    """
    for block in model.modules():
        if isinstance(block, (nn.TransformerEncoderLayer, nn.TransformerEncoder)) and _has_replaced_parts(block):
            # The attributes that PyTorch's own forward methods ask: is the activation fusable, may inputs be nested?
            name, off = ("use_nested_tensor", False) if isinstance(block, nn.TransformerEncoder) else (FUSABLE, 0)
            setattr(block, name, off)


def _has_replaced_parts(block: nn.Module) -> bool:
    return any(isinstance(part, (Attention, LowRank)) for part in block.modules())


class Attention(nn.Module):
    """Computes what nn.MultiheadAttention does, called in the same way, except on nested tensors."""

    # What nn.TransformerEncoderLayer asks before it reads the weights itself.
    in_proj_bias = None
    in_proj: Any
    q_proj: Any
    k_proj: Any
    v_proj: Any
    out_proj: Any

    def __init__(self, source: nn.MultiheadAttention, layers: Mapping[str, nn.Module]):
        super().__init__()
        self.embed_dim, self.num_heads, self.head_dim = source.embed_dim, source.num_heads, source.head_dim
        self.dropout, self.batch_first, self.add_zero_attn = source.dropout, source.batch_first, source.add_zero_attn
        self.bias_k, self.bias_v = source.bias_k, source.bias_v
        for name, layer in layers.items():
            self.add_module(name, layer)
        with_hooks_of(source, self).train(source.training)

    def forward(
        self,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        key_padding_mask: torch.Tensor | None = None,
        need_weights: bool = True,
        attn_mask: torch.Tensor | None = None,
        average_attn_weights: bool = True,
        is_causal: bool = False,
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Arguments and results of nn.MultiheadAttention.forward."""
        if is_causal and attn_mask is None:
            raise RuntimeError("Need attn_mask if specifying the is_causal hint.")
        is_batched = query.dim() == 3
        q, k, v = (self._batch_first(part, is_batched) for part in self._projected(query, key, value))
        # As PyTorch has it, the hint stands for the mask where nothing but the mask would be added.
        is_causal = is_causal and key_padding_mask is None and not need_weights
        mask = None if is_causal else self._mask(attn_mask, key_padding_mask, q)
        k, v, mask = self._with_extra_positions(k, v, mask)
        q, k, v = (part.unflatten(-1, (self.num_heads, self.head_dim)).transpose(1, 2) for part in (q, k, v))
        read, weights = self._read(q, k, v, mask, is_causal, need_weights)
        output = self.out_proj(self._as_given(read.transpose(1, 2).flatten(2), is_batched))
        if weights is None:
            return output, None
        weights = weights.mean(1) if average_attn_weights else weights
        return output, weights if is_batched else weights.squeeze(0)

    def _projected(self, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> tuple[torch.Tensor, ...]:
        if "q_proj" in self._modules:
            return self.q_proj(query), self.k_proj(key), self.v_proj(value)
        if query is key and key is value:
            return self.in_proj(query).chunk(3, -1)
        width = self.embed_dim
        if key is value:
            return self._rows(query, 0, width), *self._rows(key, width, 3 * width).chunk(2, -1)
        return tuple(self._rows(x, i * width, (i + 1) * width) for i, x in enumerate((query, key, value)))

    def _rows(self, x: torch.Tensor, start: int, stop: int) -> torch.Tensor:
        layer: Any = self.in_proj
        if isinstance(layer, LowRank):
            x, layer = layer.reduce(x), layer.expand
        found: torch.Tensor = layer(x, slice(start, stop))
        return found

    def _batch_first(self, x: torch.Tensor, is_batched: bool) -> torch.Tensor:
        if not is_batched:
            return x.unsqueeze(0)
        return x if self.batch_first else x.transpose(0, 1)

    def _as_given(self, x: torch.Tensor, is_batched: bool) -> torch.Tensor:
        if not is_batched:
            return x.squeeze(0)
        return x if self.batch_first else x.transpose(0, 1)

    def _mask(
        self, attn_mask: torch.Tensor | None, key_padding_mask: torch.Tensor | None, q: torch.Tensor
    ) -> torch.Tensor | None:
        """What is added to the scores (n or 1, heads or 1, queries or 1, keys)."""
        mask = None
        if attn_mask is not None:
            shape = (len(q), self.num_heads) if attn_mask.dim() == 3 else (1, 1)
            mask = _additive(attn_mask, q.dtype).reshape(*shape, *attn_mask.shape[-2:])
        if key_padding_mask is not None:
            padding = _additive(key_padding_mask, q.dtype).reshape(len(q), 1, 1, -1)
            mask = padding if mask is None else mask + padding
        return mask

    def _with_extra_positions(
        self, k: torch.Tensor, v: torch.Tensor, mask: torch.Tensor | None
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor | None]:
        """`add_bias_kv` and `add_zero_attn`: learned and zero keys behind the others, which no mask hides."""
        if self.bias_k is not None and self.bias_v is not None:
            k, v = (torch.cat([x, b.expand(len(x), 1, -1)], 1) for x, b in ((k, self.bias_k), (v, self.bias_v)))
            mask = None if mask is None else F.pad(mask, (0, 1))
        if self.add_zero_attn:
            k, v = F.pad(k, (0, 0, 0, 1)), F.pad(v, (0, 0, 0, 1))
            mask = None if mask is None else F.pad(mask, (0, 1))
        return k, v, mask

    def _read(
        self,
        q: torch.Tensor,
        k: torch.Tensor,
        v: torch.Tensor,
        mask: torch.Tensor | None,
        is_causal: bool,
        need_weights: bool,
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        dropout = self.dropout if self.training else 0.0
        if not need_weights:
            return F.scaled_dot_product_attention(q, k, v, mask, dropout, is_causal), None
        scores = q @ k.transpose(-2, -1) / math.sqrt(self.head_dim)
        weights = F.dropout(torch.softmax(scores if mask is None else scores + mask, -1), dropout)
        return weights @ v, weights


def _additive(mask: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """True hides a position, as -inf added to its score does."""
    if mask.dtype != torch.bool:
        return mask.to(dtype)
    return torch.zeros_like(mask, dtype=dtype).masked_fill_(mask, -math.inf)
