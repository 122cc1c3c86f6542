"""All that a training is, by name, to compare before and after."""

import torch


def tensors_of(training):
    """Copies of what its network holds and its optimiser remembers."""
    places = [p for group in training.optimiser.param_groups for p in group["params"]]
    memory = {
        f"memory {place} {name}": torch.as_tensor(value)
        for place, p in enumerate(places)
        for name, value in training.optimiser.state.get(p, {}).items()
        if value is not None
    }
    return {name: value.clone() for name, value in {**training.model.state_dict(), **memory}.items()}


def state_of(training, *counts):
    """Tensors, losses and how far it is by these counts; no failures and no random numbers."""
    numbers = {
        "counts": torch.tensor([getattr(training, name) for name in counts]),
        "losses": torch.tensor(training.losses, dtype=torch.float64),
    }
    return {**tensors_of(training), **numbers}


def assert_same(found, expected):
    """The same tensors under the same names, to the bit."""
    assert [*found] == [*expected]
    assert [name for name in expected if not torch.equal(found[name], expected[name])] == []


def counts_of(training):
    """How far it is, its rates, losses and failures, in plain numbers."""
    names = ("steps", "epoch", "batches", "total", *training.own_counts)
    rates = [(group["lr"], group["initial_lr"]) for group in training.optimiser.param_groups]
    counts = [getattr(training, name) for name in names]
    return [[*map(list, c)] if isinstance(c, list) else c for c in counts], rates, training.losses, training.failures
