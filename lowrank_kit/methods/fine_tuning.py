"""A trained network learns something new from few examples: whole, or through adapters."""

from collections.abc import Collection
from dataclasses import replace
from functools import partial
from itertools import islice
from math import ceil
from typing import Any

import torch
from torch import nn

from lowrank_kit.checks import InputError, check_labels
from lowrank_kit.measurement.quality import logits
from lowrank_kit.methods.batches import Batches
from lowrank_kit.methods.training import Training
from lowrank_kit.models.adapters import Adapter, adapted, n_trained, updates
from lowrank_kit.models.replacement import replaced
from lowrank_kit.records import Examples, Trajectory

__all__ = ["FineTuning", "fine_tune"]

# Of the scripts of Deep LoRA: no weight decay, and what keeps Adam's smallest steps small (arXiv 2406.04112).
ADAM = partial(torch.optim.AdamW, betas=(0.9, 0.999), eps=1e-6, weight_decay=0.0)
# Rows that a trajectory has.
ROWS = 50


class FineTuning(Training):
    """A training in which the outer factors of updates take steps of `gamma` times the learning rate."""

    def __init__(self, model: nn.Module, learning_rate: float, *, gamma: float, **options: Any):
        self.rate, self.gamma = learning_rate, gamma
        super().__init__(model, partial(ADAM, lr=learning_rate), **options)

    def _stepped(self) -> Any:
        slow = [p for update in updates(self.model).values() for p in update.outer if p.requires_grad]
        known = {id(p) for p in slow}
        fast = [p for p in self.model.parameters() if p.requires_grad and id(p) not in known]
        groups: list[dict[str, Any]] = [{"params": fast}, {"params": slow, "lr": self.gamma * self.rate}]
        return [group for group in groups if group["params"]]


def fine_tune(
    model: nn.Module,
    examples: Examples,
    adapter: Adapter | None = None,
    *,
    steps: int = 300,
    learning_rate: float = 1e-3,
    gamma: float = 1e-2,
    layers: Collection[str] | None = None,
    batch: int = 16,
    seed: int = 0,
) -> tuple[nn.Module, Trajectory]:
    """A network that was trained further on these examples, in eval mode, and how its loss went; the model is kept.

    Parameters
    ----------
    adapter : LoRA or DeepLoRA, whose network `merged` of :mod:`lowrank_kit.models.adapters` makes plain again; where
        not given, a copy of the whole model is trained
    steps : of AdamW, at a constant learning rate
    gamma : what the outer factors of Deep LoRA have of the learning rate; with 0 they stay where they start
    layers : names of the layers that are adapted; all linear ones but the head where not given
    batch : how many examples a step sees
    seed : of the updates' start, of the order of the examples and of what else the network draws in training

    Raises InputError as `adapted` does, and where the training breaks off.
    """
    _check(steps, learning_rate, gamma)
    check_labels(examples.y, logits(model, examples.x[:1]).shape[1])
    batches = Batches.of(examples, size=batch, seed=seed)
    network = _start(model, adapter, batches, layers)
    for update in updates(network).values():
        for parameter in update.outer:
            parameter.requires_grad_(gamma > 0)
    training = FineTuning(network, learning_rate, gamma=gamma)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        _run(training, batches, steps)
    facts = {"trained": n_trained(network), "learning_rate": learning_rate, "gamma": gamma, "examples": len(examples)}
    return network.eval(), replace(training.trajectory, facts={**training.trajectory.facts, **facts})


def _start(model: nn.Module, adapter: Adapter | None, batches: Batches, layers: Collection[str] | None) -> nn.Module:
    if adapter is None:
        if layers is not None:
            raise InputError("`layers` are for an adapter; without one the whole network is trained. Leave them out.")
        return replaced(model, {})
    x, y = next(batches.epoch(0))
    return adapted(model, adapter, Examples(x.numpy(), y.numpy()), layers=layers, seed=batches.seed)


def _run(training: Training, batches: Any, steps: int) -> None:
    for _ in islice(training.run(batches, ceil(steps / len(batches))), steps):
        if training.steps % max(steps // ROWS, 1) == 0:
            training.record()
    training.record()


def _check(steps: int, learning_rate: float, gamma: float) -> None:
    if steps < 1 or not learning_rate > 0 or not gamma >= 0:
        raise InputError(
            "`steps` must be at least 1, `learning_rate` above 0 and `gamma` at least 0; "
            f"got {steps!r}, {learning_rate!r} and {gamma!r}."
        )
