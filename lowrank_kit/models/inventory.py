"""Which layers of a network can be factorised, and why the others can't."""

import hashlib
from collections import Counter
from collections.abc import Iterable

import torch
from torch import nn
from torch.nn.utils.parametrize import is_parametrized

from lowrank_kit.models.layers import Factorable, is_factorable

__all__ = ["factorable_layers", "head_of", "inventory", "weights_hash"]

# They read their parts' weights themselves, so a part can't be replaced without breaking them.
READS_ITS_PARTS = (nn.MultiheadAttention, nn.TransformerEncoderLayer)
COMPUTED = "its weight is computed from other tensors, as by weight norm or pruning"


def inventory(model: nn.Module) -> dict[str, str | None]:
    """{layer: None where it can be factorised, otherwise the reason}, in the order of registration.

    Layers are the modules that own a matrix or a kernel; parts of an attention block stand under its name.
    """
    uses = Counter(id(p) for _, m in model.named_modules(remove_duplicate=False) for p in m.parameters(recurse=False))
    found: dict[str, str | None] = {}
    blocks: list[str] = []
    for name, module in model.named_modules():
        if any(name.startswith(f"{block}.") for block in blocks):
            continue
        if isinstance(module, READS_ITS_PARTS):
            blocks.append(name)
            found[name] = f"{type(module).__name__} reads the weights of its parts itself"
        elif is_parametrized(module):
            blocks.append(name)
            found[name] = COMPUTED
        elif any(p.ndim >= 2 for p in module.parameters(recurse=False)):
            found[name] = _refusal(module, uses)
    return found


def factorable_layers(model: nn.Module) -> dict[str, Factorable]:
    """{name: layer} of the layers the kit can replace, in the order of registration."""
    modules = dict(model.named_modules())
    return {name: modules[name] for name, reason in inventory(model).items() if reason is None}


def head_of(model: nn.Module, order: Iterable[str] = ()) -> str | None:
    """The classifier head: the last factorable layer. Cutting its few outputs costs points by itself.

    `order` names layers as they are run, which tells better than the order of registration.
    """
    layers = factorable_layers(model)
    return next(reversed([name for name in order if name in layers] or list(layers)), None)


def weights_hash(model: nn.Module) -> str:
    """SHA-256 over the names, types, shapes and values of all parameters and buffers."""
    digest = hashlib.sha256()
    for name, tensor in model.state_dict().items():
        if not isinstance(tensor, torch.Tensor):  # the extra state of a module may be anything
            continue
        values = tensor.detach().cpu().contiguous()
        digest.update(f"{name} {values.dtype} {tuple(values.shape)}\n".encode())
        digest.update(values.reshape(-1).view(torch.uint8).numpy().data)
    return f"sha256:{digest.hexdigest()}"


def _refusal(module: nn.Module, uses: Counter[int]) -> str | None:
    if any(uses[id(p)] > 1 for p in module.parameters(recurse=False)):
        return "its weight is used in more than one place"
    if type(module) is nn.Conv2d and module.groups > 1:
        return f"a convolution in {module.groups} groups"
    if not is_factorable(module):
        return f"only nn.Linear and nn.Conv2d are factorised, not {type(module).__name__}"
    if not isinstance(module.weight, nn.Parameter):
        return COMPUTED
    return None
