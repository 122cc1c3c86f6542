"""Weights from files and compressed networks in folders: safetensors only, since a pickle can run code when opened."""

import json
from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import nn
from torch.nn.parameter import is_lazy

from lowrank_kit.checks import InputError
from lowrank_kit.files import write_folder
from lowrank_kit.models.blocks import rank_of
from lowrank_kit.models.inventory import weights_hash
from lowrank_kit.models.layers import has_last_strides
from lowrank_kit.models.low_rank import LowRank
from lowrank_kit.models.replacement import within
from lowrank_kit.models.surgery import compress, with_empty_blocks
from lowrank_kit.records import Data, Examples, LayerPlan, RankPlan

__all__ = ["load_weights", "restore", "save"]

# The first bytes of a torch.save archive (a zip of pickles), of older ones, and of bare pickles.
PICKLES = (b"PK\x03\x04", b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")
WEIGHTS, PLAN = "network.safetensors", "plan.json"
# How the first factor of a layer is named.
FACTOR = "reduce.weight"


def load_weights(model: nn.Module, path: str | Path) -> nn.Module:
    """The model with the weights of a safetensors file. Raises InputError, the model unchanged, if they don't fit."""
    tensors = _read(Path(path))
    _check_fit(model, tensors, Path(path))
    model.load_state_dict(tensors, strict=False)
    return model


def save(model: nn.Module, plan: RankPlan, folder: str | Path, *, data: Data | Examples | None = None) -> Path:
    """Write a compressed network into a folder of its own, which is returned.

    Parameters
    ----------
    model : the network that the plan was made for, or what `compress` made of it, trained further or not
    folder : a new or empty one, or one that `save` wrote, which is replaced once all of the new one is there
    data : as for `compress`, where `model` is still dense and the plan's method is "aware"

    The folder holds every tensor once (network.safetensors) and the plan, with the hash of the weights it was made
    for and only the layers that are in factors (plan.json). Raises InputError where the model and the plan don't
    belong together, or the folder holds something else or can't be written.
    """
    folder = Path(folder)
    folder = folder.resolve() if folder.exists() else folder
    _check_ours(folder)
    small = compress(model, plan, data=data) if weights_hash(model) == plan.weights else model
    done = replace(plan, layers=_in_factors(small, plan))
    tensors = _each_once(small)
    layout = [name for name, tensor in tensors.items() if has_last_strides(tensor)]

    def write(part: Path) -> None:
        contiguous = {name: tensor.contiguous() for name, tensor in tensors.items()}
        save_file(contiguous, part / WEIGHTS, metadata={"channels_last": json.dumps(layout)})
        (part / PLAN).write_text(done.to_json() + "\n", encoding="utf-8")
        (part / WEIGHTS).chmod((part / PLAN).stat().st_mode)  # which safetensors keeps to the owner

    try:
        write_folder(folder, write)
    except (OSError, SafetensorError, ValueError) as fault:
        raise InputError(f"`folder` must be one that can be written; {folder}: {fault}.") from None
    return folder


def restore(folder: str | Path, model: nn.Module) -> nn.Module:
    """The compressed network that `save` wrote, bit for bit, on the device and in the mode of `model`.

    `model` gives the code: a network of the same class and sizes, whatever its weights; it is left untouched. Raises
    InputError where the folder is damaged or belongs to another network.
    """
    folder = Path(folder)
    plan = _stored_plan(folder)
    tensors, layout = _read(folder / WEIGHTS), _stored_layout(folder / WEIGHTS)
    found = with_empty_blocks(model, plan.layers)
    _check_plan(plan, tensors, set(found.state_dict()), folder)
    _check_fit(found, tensors, folder / WEIGHTS)
    _reshape(found, tensors, layout)
    found.load_state_dict(tensors, strict=False)
    return found


def _in_factors(model: nn.Module, plan: RankPlan) -> dict[str, LayerPlan]:
    """The layers of the plan that are in factors; those the break-even guard has left dense are not."""
    modules = dict(model.named_modules())
    cut = {name: modules[name] for name in plan.layers if isinstance(modules.get(name), LowRank)}
    wrong = [n for n, block in cut.items() if rank_of(block) != plan.layers[n].rank]
    if wrong or (plan.layers and not cut and weights_hash(model) != plan.weights):
        which = f"{wrong[0]} has rank {rank_of(cut[wrong[0]])}" if wrong else "none of the plan's layers is in factors"
        raise InputError(
            "`model` must be the network that the plan was made for, or what `compress` made of it with this plan; "
            f"here {which}."
        )
    return {name: plan.layers[name] for name in cut}


def _each_once(model: nn.Module) -> dict[str, torch.Tensor]:
    """All tensors on the CPU, a shared one under its first name only."""
    state = model.state_dict(keep_vars=True)
    for name, tensor in state.items():
        reason = _unfit(tensor)
        if reason:
            raise InputError(f"`model` must hold plain tensors only to be saved; {name} is {reason}.")
    first = {id(state[name]): name for name in reversed(state)}
    return {name: state[name].detach().cpu().clone() for name in state if first[id(state[name])] == name}


def _unfit(tensor: object) -> str:
    """Why something can't be written, "" where it can."""
    if not isinstance(tensor, torch.Tensor):
        return f"a {type(tensor).__name__}"
    if is_lazy(tensor) or tensor.is_meta:
        return "without values"
    if type(tensor) not in (torch.Tensor, nn.Parameter):
        return f"a {type(tensor).__name__}"
    return "quantised" if tensor.is_quantized else "sparse" if tensor.layout is not torch.strided else ""


def _reshape(model: nn.Module, tensors: Mapping[str, torch.Tensor], layout: list[str]) -> None:
    """Give the model's tensors the stored types and layouts; shared ones stay shared."""
    own = dict(model.named_parameters(remove_duplicate=False)) | dict(model.named_buffers(remove_duplicate=False))
    for name, mine in own.items():
        if name in tensors:  # the extra state of a module may be a tensor that is neither
            order = torch.channels_last if name in layout else torch.contiguous_format
            mine.data = torch.empty_like(tensors[name], device=mine.device, memory_format=order)


def _check_ours(folder: Path) -> None:
    if not folder.exists():
        return
    foreign = (
        [folder.name] if not folder.is_dir() else [p.name for p in folder.iterdir() if p.name not in (WEIGHTS, PLAN)]
    )
    if foreign:
        raise InputError(
            f"`folder` must be new, empty or one that `save` wrote, since it is replaced as a whole; {folder} "
            f"{'is a file' if not folder.is_dir() else f'holds {sorted(foreign)[0]}'}."
        )


def _stored_plan(folder: Path) -> RankPlan:
    missing = [name for name in (PLAN, WEIGHTS) if not (folder / name).is_file()]
    if missing:
        raise InputError(
            f"`folder` must hold {PLAN} and {WEIGHTS}, as `save` writes them; {folder} lacks {missing[0]}."
        )
    try:
        return RankPlan.from_json((folder / PLAN).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as fault:
        raise InputError(f"{folder / PLAN} must be a readable plan; {fault}.") from None


def _stored_layout(path: Path) -> list[str]:
    """The names of tensors that were laid out channels last."""
    with safe_open(path, framework="pt") as file:
        try:
            names = json.loads((file.metadata() or {}).get("channels_last", "[]"))
            return [name for name in names if len(file.get_slice(name).get_shape()) == 4]
        except (ValueError, TypeError, SafetensorError):
            raise InputError(
                f"{path} must say which tensors were laid out channels last; what it says is damaged."
            ) from None


def _check_plan(plan: RankPlan, stored: Collection[str], own: Collection[str], folder: Path) -> None:
    """The plan and the tensors tell of the same layers."""
    unnamed = sorted(name for name in stored if f".{name}".endswith(f".{FACTOR}") and name not in own)
    if unnamed:
        layer = unnamed[0].removesuffix(FACTOR).removesuffix(".")
        raise InputError(f"{folder / PLAN} must name every layer that is stored in factors; {layer} is missing.")
    absent = [name for name in plan.layers if within(name, FACTOR) not in stored]
    if absent:
        raise InputError(f"{folder / WEIGHTS} must hold the factors of every layer of the plan; {absent[0]} has none.")


def _check_fit(model: nn.Module, tensors: Mapping[str, torch.Tensor], path: Path) -> None:
    own = model.state_dict()
    # A shared tensor is written once, under one of its names.
    given = {(own[k].data_ptr(), own[k].shape) for k in own if k in tensors}
    missing = [k for k in own if k not in tensors and (own[k].data_ptr(), own[k].shape) not in given]
    wrong = [k for k in own if k in tensors and not _alike(own[k], tensors[k])]
    differing = sorted([*missing, *(k for k in tensors if k not in own)]) or wrong
    if differing:
        raise InputError(
            f"`weights` must hold the tensors of this {type(model).__name__}, {len(own)} names with their shapes; "
            f"{path} differs in {', '.join(differing[:3])}{' ...' if len(differing) > 3 else ''}."
        )


def _alike(own: torch.Tensor, given: torch.Tensor) -> bool:
    return own.shape == given.shape and own.is_floating_point() == given.is_floating_point()


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
