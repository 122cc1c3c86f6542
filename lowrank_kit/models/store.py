"""Weights from files, safetensors only: a pickle can run code when it is opened."""

from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from lowrank_kit.checks import InputError

__all__ = ["load_weights"]

# The first bytes of a torch.save archive (a zip of pickles), of older ones, and of bare pickles.
PICKLES = (b"PK\x03\x04", b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")


def load_weights(model: nn.Module, path: str | Path) -> nn.Module:
    """The model with the weights of a safetensors file. Raises InputError, the model unchanged, if they don't fit."""
    tensors = _read(Path(path))
    own = model.state_dict()
    # safetensors.torch.save_model writes a shared tensor once, under one of its names.
    given = {(own[k].data_ptr(), own[k].shape) for k in own if k in tensors}
    missing = [k for k in own if k not in tensors and (own[k].data_ptr(), own[k].shape) not in given]
    wrong = [k for k in own if k in tensors and own[k].shape != tensors[k].shape]
    differing = sorted([*missing, *(k for k in tensors if k not in own)]) or wrong
    if differing:
        raise InputError(
            f"`weights` must hold the tensors of this {type(model).__name__}, {len(own)} names with their shapes; "
            f"{path} differs in {', '.join(differing[:3])}{' ...' if len(differing) > 3 else ''}."
        )
    model.load_state_dict(tensors, strict=False)
    return model


def _read(path: Path) -> dict[str, torch.Tensor]:
    try:
        with path.open("rb") as file:
            start = file.read(9)
    except OSError as fault:
        raise InputError(f"`weights` must be a readable safetensors file; {path}: {fault.strerror}.") from None
    # The header of a safetensors file may begin like a pickle, but its ninth byte opens a JSON object.
    if start.startswith(PICKLES) and start[8:] != b"{":
        raise InputError(
            f"`weights` must be a safetensors file; {path} is a pickle, which can run code when opened, and was not "
            "read. Write it anew where it was made: safetensors.torch.save_model(model, 'model.safetensors')."
        )
    try:
        return load_file(path)
    except (SafetensorError, ValueError, RuntimeError) as fault:
        raise InputError(
            f"`weights` must be a whole safetensors file; {path} is damaged or not one ({fault})."
        ) from None
