"""Networks that learn something new while their own weights stay as they are: adapters on linear layers.

`adapted` freezes a copy of a network and puts an update on the weights of its linear layers; `merged` makes a plain
network of it again, which runs no slower than the one it was made from.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils.parametrize import (
    is_parametrized,
    register_parametrization,
    remove_parametrizations,
    type_before_parametrizations,
)

from lowrank_kit.checks import InputError, check_finite, check_name, check_rank
from lowrank_kit.maths.matrix import singular_values
from lowrank_kit.models.inventory import head_of
from lowrank_kit.models.layers import is_computed, plain_type, refusal
from lowrank_kit.models.replacement import replaced
from lowrank_kit.models.running import inputs_for, weight_of
from lowrank_kit.models.updates import DeepUpdate, LoRAUpdate, Update
from lowrank_kit.records import Examples, Spectrum

__all__ = [
    "Adapter",
    "DeepLoRA",
    "LoRA",
    "adaptable_layers",
    "adapted",
    "merged",
    "n_trained",
    "update_spectra",
    "updates",
]

Loss = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


@dataclass(frozen=True)
class LoRA:
    """(alpha / rank) B A on every weight; alpha is the rank where it is not given."""

    rank: int = 8
    alpha: float | None = None

    def check(self, layers: Mapping[str, nn.Linear]) -> None:
        _check_rank(self.rank, layers)
        if self.alpha is not None and not self.alpha > 0:
            raise InputError(f"`alpha` must be above 0, or nothing is learnt; got {self.alpha!r}. Try {self.rank}.")

    def update(self, weight: torch.Tensor, generator: torch.Generator) -> Update:
        scale = 1.0 if self.alpha is None else self.alpha / self.rank
        return LoRAUpdate(weight, self.rank, scale, generator)


@dataclass(frozen=True)
class DeepLoRA:
    """Three factors a weight, compressed to `rank` by the gradient of one batch; rank None leaves them whole.

    `epsilon` is the size that all their singular values start from.
    """

    rank: int | None = 8
    epsilon: float = 1e-3

    def check(self, layers: Mapping[str, nn.Linear]) -> None:
        if not self.epsilon > 0:
            raise InputError(f"`epsilon` must be above 0, which is never left; got {self.epsilon!r}. Try 1e-3.")
        if self.rank is None:
            return
        _check_rank(self.rank, layers)
        if self.rank % 2:
            raise InputError(
                "`rank` must be even for Deep LoRA: half of it for the inputs that the gradient reads, half for the "
                f"outputs it writes; got {self.rank}. Take {self.rank - 1 or 2}."
            )

    def update(self, weight: torch.Tensor, generator: torch.Generator) -> Update:
        return DeepUpdate(weight, self.epsilon, generator)


Adapter = LoRA | DeepLoRA


def adaptable_layers(model: nn.Module) -> dict[str, nn.Linear]:
    """{name: layer} of the linear layers whose weight is a plain one, in order, the head included."""
    found = {name: module for name, module in model.named_modules() if plain_type(module) is not None}
    return {n: x for n, x in found.items() if isinstance(x, nn.Linear) and not is_computed(x) and refusal(x) is None}


def adapted(
    model: nn.Module,
    adapter: Adapter,
    examples: Examples | None = None,
    *,
    layers: Collection[str] | None = None,
    loss: Loss = F.cross_entropy,
    seed: int = 0,
) -> nn.Module:
    """A frozen copy of the model, in eval mode, with an update on the weights of its linear layers, ready to train.

    Parameters
    ----------
    examples : one batch, whose gradient tells Deep LoRA its directions; other adapters need none
    layers : names of the layers that are adapted; all linear ones but the head where not given
    loss : of outputs and labels
    seed : what the updates start with is drawn by it

    Raises InputError where there is no such layer, a rank does not fit one, or the gradient is not finite.

    >>> network = adapted(nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 3)), LoRA(2))
    >>> [*updates(network)], n_trained(network)  # 2 (4 + 6); the last layer is the head
    (['0'], 20)
    """
    if not isinstance(adapter, Adapter):
        raise InputError(f"`adapter` must be LoRA(rank) or DeepLoRA(rank); got {adapter!r}.")
    if updates(model):
        raise InputError("`model` must be a plain network; this one is adapted. Give what `merged` makes of it.")
    network = replaced(model, {}).eval().requires_grad_(False)
    chosen = _chosen(network, layers)
    adapter.check(chosen)
    generator = torch.Generator().manual_seed(seed)
    for layer in chosen.values():
        # Drawn on a CPU whatever the device is: the same start everywhere.
        update = adapter.update(layer.weight.detach().cpu(), generator).to(layer.weight.device)
        register_parametrization(layer, "weight", update)
    if isinstance(adapter, DeepLoRA) and adapter.rank is not None:
        _compress(network, chosen, adapter.rank, examples, loss)
    return network


def updates(network: nn.Module) -> dict[str, Update]:
    """{layer: its update} of an adapted network, in order."""
    found = {name: _update(module) for name, module in network.named_modules()}
    return {name: update for name, update in found.items() if update is not None}


def merged(network: nn.Module) -> nn.Module:
    """The plain network with W_0 and update in one weight, all of it trainable again; the given one is untouched."""
    plain = replaced(network, {}).requires_grad_()
    for name in updates(network):
        _settle(plain.get_submodule(name))
    return plain


def n_trained(network: nn.Module) -> int:
    """Numbers that training changes."""
    return sum(p.numel() for p in network.parameters() if p.requires_grad)


def update_spectra(tuned: nn.Module, start: nn.Module) -> dict[str, Spectrum]:
    """{layer: Spectrum of what was added to its weight} for every linear layer that differs from where it started."""
    known = updates(tuned)
    found = {}
    for name, layer in adaptable_layers(start).items():
        now: Any = tuned.get_submodule(name)
        delta = known[name].delta() if name in known else now.weight - layer.weight
        values = delta.detach().cpu().double().numpy()
        if values.any():
            found[name] = Spectrum(singular_values(values), values.shape, name)
    return found


def _check_rank(rank: int, layers: Mapping[str, nn.Linear]) -> None:
    for name, layer in layers.items():
        check_rank(rank, (layer.out_features, layer.in_features), name=f"rank of {name}")


def _chosen(network: nn.Module, names: Collection[str] | None) -> dict[str, nn.Linear]:
    layers = adaptable_layers(network)
    for name in names or ():
        check_name(name, layers, name="layers")
    head = head_of(network)
    chosen = {name: x for name, x in layers.items() if (name != head if names is None else name in names)}
    if not chosen:
        raise InputError(
            "`model` must have a linear layer to adapt, the head left out unless `layers` names it; "
            f"it has {', '.join(layers) or 'none'}."
        )
    return chosen


def _compress(
    network: nn.Module, layers: Mapping[str, nn.Linear], rank: int, examples: Examples | None, loss: Loss
) -> None:
    if examples is None:
        raise InputError("`examples` must come with Deep LoRA: one batch, whose gradient tells where to look.")
    whole = {name: update for name, update in updates(network).items() if isinstance(update, DeepUpdate)}
    labels = torch.from_numpy(examples.y).to(weight_of(network).device)
    value = loss(network(inputs_for(network, examples.x)), labels)
    ends = [update.square_end for update in whole.values()]
    gradients = torch.autograd.grad(value, ends, materialize_grads=True)
    for (name, update), gradient in zip(whole.items(), gradients, strict=True):
        check_finite(gradient.cpu().numpy(), name=f"gradient of {name}")
        remove_parametrizations(layers[name], "weight", leave_parametrized=False)
        register_parametrization(layers[name], "weight", update.compressed(gradient, rank))


def _settle(layer: Any) -> None:
    """Not remove_parametrizations: it changes the class, which a copy shares with what it was copied from."""
    kind, weight = type_before_parametrizations(layer), nn.Parameter(layer.weight.detach().clone())
    del layer.parametrizations
    layer.__class__, layer.weight = kind, weight
    if "bias" in layer._parameters:  # behind the weight again, as a hash of the network wants it
        layer._parameters["bias"] = layer._parameters.pop("bias")


def _update(module: nn.Module) -> Update | None:
    if not is_parametrized(module, "weight"):
        return None
    parts: Any = module.parametrizations
    return next((part for part in parts.weight if isinstance(part, Update)), None)
