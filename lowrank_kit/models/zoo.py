"""Networks with data: the kit's own by name, and anybody's through the same door."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from lowrank_kit.checks import InputError, check_name
from lowrank_kit.files import shipped
from lowrank_kit.models.layers import channels_last
from lowrank_kit.models.networks import digits_mlp, mnist_cnn
from lowrank_kit.models.store import load_weights
from lowrank_kit.models.transformer import mnist_vit
from lowrank_kit.records import Data, Examples

__all__ = ["ZOO", "examples", "load"]


@dataclass(frozen=True)
class Entry:
    """A network the kit ships: how to build it, its images and the number that white has in them."""

    build: Any
    dataset: str
    white: int
    variants: tuple[str, ...]


# One training says little about training: the same network from three seeds.
SEEDS = ("trained", "trained-1", "trained-2")

ZOO = {
    "mnist-cnn": Entry(mnist_cnn, "mnist", 255, (*SEEDS, "initial", "without-9")),
    "mnist-vit": Entry(mnist_vit, "mnist", 255, (*SEEDS, "initial")),
    "digits-mlp": Entry(digits_mlp, "digits", 16, (*SEEDS, "initial")),
}


def load(
    source: str | nn.Module = "mnist-cnn",
    data: Any = None,
    *,
    test: Any = None,
    weights: str | Path | None = None,
) -> tuple[nn.Module, Data]:
    """A network in eval mode and the data to judge it on.

    Parameters
    ----------
    source : a name of the zoo, or your own nn.Module
    data : for your own module, its labelled examples: a DataLoader or any iterable of (x, y) batches, or one
        pair (x, y) of tensors or arrays; choices are made on them
    test : examples that are only reported; without it, two thirds of `data` are set aside for it, by class
    weights : for the zoo "trained" (the default, of seed 0), "trained-1" or "trained-2" (of other seeds), "initial"
        (of seed 0, before training) or, for mnist-cnn, "without-9" (trained without nines); for your own module the
        path of a safetensors file

    Raises InputError for an unknown name, examples without one label each, or weights that don't fit.
    """
    if isinstance(source, str):
        if data is not None or test is not None:
            raise InputError(f"`data` and `test` come with a module of your own; {source!r} brings its own data.")
        return _from_zoo(source, str(weights or "trained"))
    if not isinstance(source, nn.Module):
        raise InputError(f"`source` must be a name ({', '.join(ZOO)}) or an nn.Module; got {type(source).__name__}.")
    if data is None:
        raise InputError("`data` must come with your own model: a DataLoader or a pair (x, y) of tensors.")
    if weights is not None:
        load_weights(source, weights)
    given = examples(data)
    validation, held_out = (given, examples(test)) if test is not None else given.stratified(max(len(given) // 3, 1))
    return source.eval(), Data(type(source).__name__, validation, held_out)


def examples(batches: Any) -> Examples:
    """Examples from a pair (x, y) or an iterable of such pairs. Raises InputError where there is no such pair."""
    if isinstance(batches, Examples):
        return batches
    pairs = [batches] if _is_pair(batches) else _pairs(batches)
    if not pairs:
        raise InputError("`data` must hold at least one example; got none.")
    x, y = (np.concatenate([_array(pair[i]) for pair in pairs]) for i in (0, 1))
    return Examples(x, y.astype(np.int64) if y.dtype.kind == "u" else y)


def _from_zoo(name: str, variant: str) -> tuple[nn.Module, Data]:
    check_name(name, ZOO, name="source")
    entry = ZOO[name]
    check_name(variant, entry.variants, name="weights")
    model = load_weights(entry.build(), shipped("data", name, f"{variant}.safetensors"))
    with np.load(shipped("data", f"{entry.dataset}.npz"), allow_pickle=False) as parts:
        validation, test, train = (
            Examples(parts[f"{s}_x"].astype(np.float32) / entry.white, parts[f"{s}_y"].astype(np.int64))
            for s in ("validation", "test", "train")
        )
    return channels_last(model.eval()), Data(name, validation, test, train)


def _is_pair(value: Any) -> bool:
    return isinstance(value, (tuple, list)) and len(value) == 2 and all(len(getattr(v, "shape", ())) for v in value)


def _pairs(batches: Iterable[Any]) -> list[Any]:
    try:
        pairs = list(batches)
    except TypeError:
        pairs = [batches]
    for pair in pairs:
        if not _is_pair(pair):
            raise InputError(
                f"`data` must give batches, pairs (x, y) of tensors; got {type(pair).__name__}. "
                "Put a Dataset into a DataLoader, which makes batches of it."
            )
    return pairs


def _array(value: Any) -> np.ndarray:
    if isinstance(value, torch.Tensor):
        value = value.detach().cpu()
        return (value.float() if value.dtype == torch.bfloat16 else value).numpy()
    return np.asarray(value)
