"""A training in one file, from which it goes on to the bit: safetensors, since a pickle can run code when opened."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import nn

from lowrank_kit.checks import InputError
from lowrank_kit.files import write_beside
from lowrank_kit.methods.randomness import RandomState, random_state
from lowrank_kit.methods.training import Failure, Training
from lowrank_kit.models.factored import Factored, become
from lowrank_kit.models.replacement import within

__all__ = ["resume", "save_checkpoint"]

FORMAT = "lowrank-kit training 1"
COUNTS = ("steps", "epoch", "batches", "total")


def save_checkpoint(training: Training, path: str | Path) -> Path:
    """Write everything a training needs to go on into one file, which is the old one or the new one, never a part.

    Raises InputError where the network holds what is no tensor, or the file can't be written.
    """
    path = Path(path)
    other = [name for name, values in training.model.state_dict().items() if not isinstance(values, torch.Tensor)]
    if other:
        raise InputError(f"`training` must be of a network that holds tensors only to be saved; {other[0]} is none.")
    words, rows = training.trajectory.to_arrays()
    facts = {
        "format": FORMAT,
        "counts": {name: getattr(training, name) for name in (*COUNTS, *training.own_counts)},
        "optimiser": type(training.optimiser).__name__,
        "rates": [[group["lr"], group["initial_lr"]] for group in training.optimiser.param_groups],
        "groups": _groups(training),
        "failures": [[failure.step, failure.reason] for failure in training.failures],
        "losses": training.losses,
        "trajectory": words,
    }
    tensors = {
        **{f"model/{name}": values for name, values in training.model.state_dict().items()},
        **{f"memory/{place}/{name}": values for place, name, values in _memory(training)},
        **{f"epoch/{name}": values for name, values in training.random_at_epoch.items()},
        **{f"now/{name}": values for name, values in _random_now(training).items()},
        **{f"rows/{name}": torch.from_numpy(np.ascontiguousarray(values)) for name, values in rows.items()},
    }
    # PyTorch chooses kernels by strides, and their last bits differ.
    facts["strides"] = {name: values.stride() for name, values in tensors.items()}
    stored = {name: values.detach().cpu().contiguous().clone() for name, values in tensors.items()}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_beside(path, lambda part: save_file(stored, part, metadata={"words": json.dumps(facts)}))
    except (OSError, SafetensorError) as fault:
        raise InputError(f"`path` must be one that can be written; {path}: {fault}.") from None
    return path


def resume(training: Training, path: str | Path) -> Training:
    """A training made anew with the same settings, as it stood when the file was written.

    Raises InputError, the training unchanged, where the file is damaged or of another network or training.
    """
    facts, tensors = _read(Path(path))
    model, memory = _under("model/", tensors), _under("memory/", tensors)
    other = _unlike(training.model, model) or _other_training(training, facts)
    if other:
        raise InputError(
            f"{path} must be of this network, with the same layers in factored form, and of the same kind of training "
            f"and optimiser; it differs in {', '.join(other[:3])}."
        )
    for name, values in (training.model.state_dict(keep_vars=True)).items():
        become(values, model[name].to(values.device))
    _remember(training, memory)
    for name, value in facts["counts"].items():
        setattr(training, name, value)
    for group, (rate, initial) in zip(training.optimiser.param_groups, facts["rates"], strict=True):
        group["lr"], group["initial_lr"] = rate, initial
    training.failures = [Failure(*failure) for failure in facts["failures"]]
    training.losses = facts["losses"]
    training.rows = _rows(_under("rows/", tensors))
    training.random_at_epoch, training.random_at_save = _under("epoch/", tensors), _under("now/", tensors)
    return training


def _unlike(network: nn.Module, tensors: Mapping[str, torch.Tensor]) -> list[str]:
    """Names of tensors that can't be this network's; factored layers may have other ranks."""
    own = network.state_dict()
    wrong = {name for name, values in tensors.items() if name in own and not _alike(own[name], values)}
    if set(own) != set(tensors):
        return sorted(set(own) ^ set(tensors))
    for name, layer in network.named_modules(remove_duplicate=False):
        if isinstance(layer, Factored):
            core, *bases = (within(name, part) for part in ("core", *(f"bases.{i}" for i in range(len(layer.bases)))))
            if _fits(layer, tensors[core], [tensors[basis] for basis in bases]):
                wrong -= {core, *bases}
    return sorted(wrong)


def _alike(own: torch.Tensor, given: torch.Tensor) -> bool:
    return own.shape == given.shape and own.dtype == given.dtype


def _fits(layer: Factored, core: torch.Tensor, bases: list[torch.Tensor]) -> bool:
    """Whether these could be the layer's at some ranks."""
    if {values.dtype for values in (core, *bases)} != {layer.core.dtype} or not all(basis.ndim == 2 for basis in bases):
        return False
    ranks, rest = tuple(basis.shape[1] for basis in bases), layer.core.shape[len(bases) :]
    return tuple(len(basis) for basis in bases) == layer.limits and core.shape == (*ranks, *rest)


def _other_training(training: Training, facts: Mapping[str, Any]) -> list[str]:
    own = {
        "the kind of training": sorted((*COUNTS, *training.own_counts)) == sorted(facts["counts"]),
        "the optimiser": type(training.optimiser).__name__ == facts["optimiser"],
        "the groups of parameters": _groups(training) == facts["groups"],
    }
    return [what for what, same in own.items() if not same]


def _groups(training: Training) -> list[int]:
    return [len(group["params"]) for group in training.optimiser.param_groups]


def _memory(training: Training) -> list[tuple[int, str, torch.Tensor]]:
    """What the optimiser remembers of each of its parameters, by their place."""
    places = [p for group in training.optimiser.param_groups for p in group["params"]]
    state = training.optimiser.state
    return [
        (place, name, torch.as_tensor(value))
        for place, parameter in enumerate(places)
        for name, value in state.get(parameter, {}).items()
        if value is not None
    ]


def _random_now(training: Training) -> RandomState:
    """A training that was resumed, and has not gone on yet, stands where it was saved."""
    return training.random_at_save or random_state(training.source)


def _remember(training: Training, memory: Mapping[str, torch.Tensor]) -> None:
    places = [p for group in training.optimiser.param_groups for p in group["params"]]
    training.optimiser.state.clear()
    for key, values in memory.items():
        place, _, name = key.partition("/")
        parameter = places[int(place)]
        # A count of steps stays where its optimiser keeps it, on the CPU.
        training.optimiser.state[parameter][name] = values.to(parameter.device) if values.ndim else values


def _rows(arrays: Mapping[str, torch.Tensor]) -> list[dict[str, Any]]:
    over = {name.removeprefix("over/"): values.numpy() for name, values in arrays.items() if name.startswith("over/")}
    steps = arrays["steps"].tolist()
    return [{"step": step} | {name: values[t] for name, values in over.items()} for t, step in enumerate(steps)]


def _laid_out(values: torch.Tensor, strides: list[int]) -> torch.Tensor:
    return torch.empty_strided(values.shape, strides, dtype=values.dtype).copy_(values)


def _under(prefix: str, tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name.removeprefix(prefix): values for name, values in tensors.items() if name.startswith(prefix)}


def _read(path: Path) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    try:
        with safe_open(path, framework="pt") as file:
            facts = json.loads((file.metadata() or {})["words"])
            if facts["format"] != FORMAT:
                raise ValueError(f"its format is {facts['format']!r}")
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
            return facts, {name: _laid_out(values, facts["strides"][name]) for name, values in tensors.items()}
    except (OSError, SafetensorError, KeyError, TypeError, ValueError, RuntimeError) as fault:
        raise InputError(f"{path} must be a whole file that `save_checkpoint` wrote; it is not ({fault}).") from None
