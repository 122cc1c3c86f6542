"""Every matrix of a network: which can be factorised, and why the others can't."""

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

import torch
from torch import nn
from torch.nn.parameter import is_lazy
from torch.nn.utils.parametrize import is_parametrized

from lowrank_kit.models.attention import projections
from lowrank_kit.models.layers import (
    Factorable,
    is_computed,
    is_quantised,
    is_recomputed,
    plain_layer,
    plain_type,
    refusal,
)
from lowrank_kit.models.low_rank import groups_of
from lowrank_kit.models.replacement import within

__all__ = ["Site", "factorable_layers", "head_of", "inventory", "layers_of", "weights_hash"]


@dataclass(frozen=True, eq=False)
class Site:
    """A matrix of a network: the plain layer that computes with it, or the reason why it stays as it is.

    `kind`, `n_params` and `notes` are for reports. `twin_of` names the site whose very weight this one shares.
    """

    name: str
    kind: str
    n_params: int
    layer: Factorable | None = None
    reason: str = ""
    twin_of: str = ""
    notes: tuple[str, ...] = ()


def inventory(model: nn.Module) -> dict[str, Site]:
    """{name: Site} of all layers, projections and bare parameters that are matrices, in the order of registration.

    A module registered in two places stands under its first name and is replaced in both.
    """
    owners: dict[int, list[Site]] = {}
    sites = list(_sites(model))
    for site in sites:
        if site.layer is not None:
            owners.setdefault(id(site.layer.weight), []).append(site)
    elsewhere = {id(p): name for name, p in _bare_parameters(model)}
    return {site.name: _tied(site, owners, elsewhere) for site in sites}


def factorable_layers(model: nn.Module) -> dict[str, Factorable]:
    """{name: plain layer} of the sites the kit can replace, each weight once, in the order of registration."""
    return layers_of(inventory(model))


def layers_of(sites: Mapping[str, Site]) -> dict[str, Factorable]:
    """:func:`factorable_layers` of an inventory."""
    return {name: site.layer for name, site in sites.items() if site.layer is not None and not site.twin_of}


def head_of(model: nn.Module, order: Iterable[str] = ()) -> str | None:
    """The classifier head: the last factorable layer. Cutting its few outputs costs points by itself.

    `order` names layers as they are run, which tells better than the order of registration. None where the last
    linear layer stays as it is anyhow, as one that shares its weight with an embedding does.
    """
    sites = inventory(model)
    layers = layers_of(sites)
    head = next(reversed([name for name in order if name in layers] or list(layers)), None)
    behind = [*sites][[*sites].index(head) + 1 :] if head is not None else []
    return None if any(sites[name].layer is None and "Linear" in sites[name].kind for name in behind) else head


def weights_hash(model: nn.Module) -> str:
    """SHA-256 over the names, types, shapes and values of the state dict."""
    digest = hashlib.sha256()
    for name, tensor in model.state_dict().items():
        # The extra state of a module may be anything, and a lazy layer has no values yet.
        if not isinstance(tensor, torch.Tensor) or is_lazy(tensor):
            continue
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        if not tensor.is_meta:
            digest.update(_strided(tensor).view(torch.uint8).numpy().data)
    return f"sha256:{digest.hexdigest()}"


def _strided(tensor: torch.Tensor) -> torch.Tensor:
    """The values as they lie in memory (k,), of a quantised or sparse tensor too."""
    tensor = tensor.detach()
    if tensor.is_quantized or type(tensor) not in (torch.Tensor, nn.Parameter):
        tensor = tensor.dequantize()
    if tensor.layout is not torch.strided:
        tensor = tensor.to_dense()
    return tensor.cpu().contiguous().reshape(-1)


def _sites(model: nn.Module) -> Iterator[Site]:
    inside: set[nn.Module] = set()
    for name, module in model.named_modules():
        if module in inside:
            continue
        if isinstance(module, torch.jit.ScriptModule):
            inside.update(module.modules())
            yield Site(name, type(module).__name__, _count(module), reason="compiled to TorchScript")
        elif isinstance(module, nn.MultiheadAttention):
            inside.update(module.modules())
            yield from _projections(name, module)
        elif plain_type(module) is not None or _holds_one_matrix(module):
            if is_parametrized(module) or is_quantised(module):
                inside.update(module.modules())
            yield _site(name, module)
        else:
            for parameter, values in module.named_parameters(recurse=False):
                if _is_matrix(values):
                    yield _bare(within(name, parameter), values, module)


def _site(name: str, module: nn.Module) -> Site:
    reason = refusal(module)
    layer = plain_layer(module) if reason is None else None
    kind = _kind(module, (layer or module)._parameters.get("weight"))
    notes = ("its computed weight is folded in",) if layer is not None and is_computed(module) else ()
    return Site(name, kind, _count(module), layer, reason or "", notes=notes)


def _projections(name: str, block: nn.MultiheadAttention) -> Iterator[Site]:
    if not _opens(block):
        reason = "attention that reads its weights in a way of its own"
        yield Site(name, type(block).__name__, _count(block), reason=reason)
        return
    for part, layer in projections(block).items():
        site = _site(within(name, part), layer)
        yield replace(site, kind=f"MultiheadAttention {part} {_size(layer.weight)}")


def _opens(module: nn.Module) -> bool:
    """Whether this is attention whose projections can stand as layers of their own."""
    own = "forward" in vars(module) or type(module).forward is not nn.MultiheadAttention.forward
    computed = is_parametrized(module) or is_recomputed(module)
    return isinstance(module, nn.MultiheadAttention) and not own and not computed


def _bare(name: str, values: torch.Tensor, owner: nn.Module) -> Site:
    reason = f"a bare parameter of {type(owner).__name__}: only linear and convolution layers are factorised"
    return Site(name, f"Parameter {_size(values)}", values.numel(), reason=reason)


def _tied(site: Site, owners: dict[int, list[Site]], elsewhere: dict[int, str]) -> Site:
    """The site, less its layer where its weight is also used by what can't be replaced together with it."""
    if site.layer is None:
        return site
    weight = site.layer.weight
    sharing = owners[id(weight)]
    other = elsewhere.get(id(weight)) or next((s.name for s in sharing if not _alike(s, site)), None)
    if other is not None:
        return replace(site, layer=None, reason=f"shares its weight with {other}, which can't be factorised along")
    return site if site is sharing[0] else replace(site, twin_of=sharing[0].name)


def _alike(one: Site, other: Site) -> bool:
    """Whether two layers make the same matrices of the weight they share."""
    kinds = [(plain_type(site.layer), groups_of(site.layer)) for site in (one, other) if site.layer is not None]
    return kinds[0] == kinds[-1]


def _bare_parameters(model: nn.Module) -> Iterator[tuple[str, nn.Parameter]]:
    """Parameters of modules that are not factorised: embeddings, and what networks hold themselves."""
    for name, module in model.named_modules():
        if plain_type(module) is None and not _opens(module):
            inside = isinstance(module, nn.MultiheadAttention)  # one that reads its parts in a way of its own
            yield from ((within(name, part), values) for part, values in module.named_parameters(recurse=inside))


def _holds_one_matrix(module: nn.Module) -> bool:
    """A layer by another name, such as an embedding, a quantised or a transposed layer."""
    weight = module._parameters.get("weight")
    return (weight is not None and _is_matrix(weight)) or is_quantised(module)


def _is_matrix(values: torch.Tensor) -> bool:
    return is_lazy(values) or values.ndim >= 2


def _count(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters() if not is_lazy(p))


def _kind(module: nn.Module, weight: object) -> str:
    return f"{type(module).__name__} {_size(weight)}".strip()


def _size(weight: object) -> str:
    if not isinstance(weight, torch.Tensor) or is_lazy(weight):
        return ""
    return " x ".join(map(str, weight.shape))
