"""Training in steps that can be watched, stopped, undone, saved and resumed to the bit."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from lowrank_kit.checks import InputError
from lowrank_kit.methods.randomness import RandomState, random_state, set_random_state
from lowrank_kit.models.factored import become
from lowrank_kit.models.running import layout_of, weight_of
from lowrank_kit.records import Trajectory

__all__ = ["Failure", "Loss", "Optimiser", "Schedule", "Training", "buffers_kept", "constant", "one_cycle", "stacked"]

Loss = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
# The factor of the learning rate at a fraction of the training.
Schedule = Callable[[float], float]
Optimiser = Callable[[Any], torch.optim.Optimizer]

# So many failures in a row are no accident of a batch.
PATIENCE = 3


def constant(progress: float) -> float:
    """The learning rate as it was given."""
    return 1.0


def one_cycle(progress: float, *, warm_up: float = 0.2) -> float:
    """Up in a straight line, then down along half a cosine to zero."""
    if progress < warm_up:
        return 0.05 + 0.95 * progress / warm_up
    return 0.5 * (1 + float(np.cos(np.pi * (progress - warm_up) / (1 - warm_up))))


@dataclass(frozen=True)
class Failure:
    """A step that was undone, and why."""

    step: int
    reason: str


class Training:
    """A network in training, a batch at a time.

    Parameters
    ----------
    model : it is trained in place
    optimiser : makes one from parameters, such as `partial(torch.optim.SGD, lr=0.1, momentum=0.9)`
    loss : of outputs and labels
    schedule : factor of the learning rate at a fraction of the training, where `run` knows its length

    A step whose loss or gradients are not finite changes nothing and is told in `failures`; three in a row raise
    InputError. One that is interrupted, by Ctrl-C or by an error, has not been either: what comes next goes on to the
    bit.
    """

    def __init__(
        self,
        model: nn.Module,
        optimiser: Optimiser,
        *,
        loss: Loss = F.cross_entropy,
        schedule: Schedule = constant,
        name: str = "",
    ):
        self.model, self.loss, self.schedule = model, loss, schedule
        self.name = name or type(model).__name__
        self.optimiser = optimiser(self._stepped())
        if isinstance(self.optimiser, torch.optim.LBFGS):
            raise InputError(
                "`optimiser` must take one gradient a step; LBFGS asks for several. Take SGD, Adam or AdamW."
            )
        for group in self.optimiser.param_groups:
            group.setdefault("initial_lr", group["lr"])
        # How many steps were taken, the epoch and the batches of it that are done, and how many there are in all.
        self.steps, self.epoch, self.batches, self.total = 0, 0, 0, 0
        self.failures: list[Failure] = []
        # Since the last row.
        self.losses: list[float] = []
        self._reached, self._failed = 0, 0
        self.rows: list[dict[str, Any]] = []
        # What the present epoch is drawn from, and where its random numbers stood when the training was saved.
        self.source: Any = None
        self.random_at_epoch: RandomState = {}
        self.random_at_save: RandomState = {}

    @property
    def progress(self) -> float:
        """The fraction of the training that is done; 0 where its length is not known."""
        return min(self.steps / self.total, 1.0) if self.total else 0.0

    @property
    def trajectory(self) -> Trajectory:
        """What was recorded so far."""
        names = list(dict.fromkeys(key for row in self.rows for key in row if key != "step"))
        steps = np.array([row["step"] for row in self.rows], dtype=np.int64)
        arrays = {name: stacked([row.get(name) for row in self.rows]) for name in names}
        return Trajectory(self.name, steps, arrays, self._layers(), self._facts())

    def step(self, x: torch.Tensor, y: torch.Tensor) -> float:
        """One step on a batch; its loss, or NaN where it failed and was undone."""
        if self.random_at_save:
            set_random_state(self.random_at_save, self.source)
            self.random_at_save = {}
        before, numbers = self._snapshot(), random_state()
        try:
            return self._step(self._placed(x), y.to(weight_of(self.model).device))
        except InputError:
            raise
        except BaseException:
            self._go_back(before)
            set_random_state(numbers)
            raise

    def run(self, batches: Iterable[tuple[torch.Tensor, torch.Tensor]], epochs: int) -> Iterator[float]:
        """Step after step, each one's loss, up to this many epochs in all; goes on where it was stopped or saved.

        `batches` is a DataLoader or anything else that can be gone through once an epoch, or
        :class:`lowrank_kit.methods.batches.Batches`, which need not be gone through again to go on.
        """
        length = _length(batches)
        if not length and self.schedule is not constant:
            raise InputError(
                "`batches` must have a length where the learning rate follows a schedule: a list, Batches, or a "
                "DataLoader of a dataset with one."
            )
        self.total = max(self.total, epochs * length)
        while self.epoch < epochs:
            for x, y in self._rest_of_epoch(batches):
                value = self.step(x, y)
                self.batches += 1
                yield value
            self.epoch, self.batches, self.random_at_epoch = self.epoch + 1, 0, {}

    def record(self, **facts: Any) -> None:
        """Add facts to the trajectory's row of this step, which begins with the mean loss since the row before."""
        if not self.rows or self.rows[-1]["step"] != self.steps:
            loss = float(np.mean(self.losses)) if self.losses else float("nan")
            self.losses = []
            self.rows.append({"step": self.steps, "loss": loss})
        self.rows[-1].update(facts)

    # What a subclass changes.

    # Names of further attributes, numbers and lists of numbers, that a checkpoint keeps.
    own_counts: tuple[str, ...] = ()

    def _stepped(self) -> Any:
        """The parameters that the optimiser steps."""
        return [p for p in self.model.parameters() if p.requires_grad]

    def _layers(self) -> tuple[str, ...]:
        return ()

    def _facts(self) -> dict[str, Any]:
        return {"failures": len(self.failures)}

    def _stepped_on(self) -> None:
        """After every step that succeeded."""

    def _undo(self) -> None:
        """After a step that failed; the buffers are put back already."""

    def _step(self, x: torch.Tensor, y: torch.Tensor) -> float:
        self._set_rate()
        self.model.train()
        value = self._try(x, y)
        if value is None:
            return float("nan")
        self.steps += 1
        if self.steps > self._reached:  # going over what was undone does not yet mean that it goes on
            self._reached, self._failed = self.steps, 0
        self.losses.append(value)
        self._stepped_on()
        return value

    def _try(self, x: torch.Tensor, y: torch.Tensor) -> float | None:
        """A step on the optimiser's parameters; None where it failed."""
        before = [buffer.clone() for buffer in self.model.buffers()]
        loss = self.loss(self.model(x), y)
        value = float(loss.detach())
        self.optimiser.zero_grad(set_to_none=True)
        if np.isfinite(value):
            loss.backward()
        reason = self._fault(value)
        if reason:
            self._put_back(before)
            self._fail(reason)
            return None
        self.optimiser.step()
        return value

    def _fault(self, loss: float) -> str:
        if not np.isfinite(loss):
            return f"the loss is {loss}"
        gradients = [p.grad for group in self.optimiser.param_groups for p in group["params"] if p.grad is not None]
        return "" if bool(torch.isfinite(torch.nn.utils.get_total_norm(gradients))) else "a gradient is not finite"

    def _fail(self, reason: str) -> None:
        self.failures.append(Failure(self.steps, reason))
        self._failed += 1
        self._undo()
        if self._failed >= PATIENCE:
            self._failed = 0
            rates = ", ".join(f"{group['lr']:.3g}" for group in self.optimiser.param_groups)
            raise InputError(
                f"training must have finite losses and gradients; at step {self.steps} {reason}, {PATIENCE} times in a "
                "row. What these steps did is undone, but the ruin may lie before them: begin anew, or from a "
                f"checkpoint, with a learning rate below {rates}, or look at the data."
            )

    def _put_back(self, buffers: list[torch.Tensor]) -> None:
        with torch.no_grad():
            for buffer, values in zip(self.model.buffers(), buffers, strict=True):
                buffer.copy_(values)

    def _snapshot(self) -> dict[str, Any]:
        """Everything that steps change."""
        tensors = [*self.model.parameters(), *self.model.buffers()]
        memory = {
            parameter: {name: _copied(value) for name, value in state.items()}
            for parameter, state in self.optimiser.state.items()
        }
        return {
            "tensors": [(tensor, tensor.detach().clone()) for tensor in tensors],
            "memory": memory,
            "counts": {name: getattr(self, name) for name in ("steps", *self.own_counts)},
            "lists": {name: [*getattr(self, name)] for name in ("losses", "rows")},
        }

    def _go_back(self, to: dict[str, Any]) -> None:
        for tensor, values in to["tensors"]:
            become(tensor, values.clone())
        self.optimiser.state.clear()
        for parameter, state in to["memory"].items():
            self.optimiser.state[parameter] = {name: _copied(value) for name, value in state.items()}
        vars(self).update(to["counts"], **{name: [*entries] for name, entries in to["lists"].items()})

    def _placed(self, x: torch.Tensor) -> torch.Tensor:
        weight = weight_of(self.model)
        x = x.to(weight.device, weight.dtype if x.is_floating_point() else None)
        return x.contiguous(memory_format=torch.channels_last) if self._channels_last and x.ndim == 4 else x

    @property
    def _channels_last(self) -> bool:
        return layout_of(self.model) == "channels_last"

    def _set_rate(self) -> None:
        for group in self.optimiser.param_groups:
            group["lr"] = group["initial_lr"] * self.schedule(self.progress)

    def _rest_of_epoch(self, batches: Any) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """The batches that are not done yet, drawn from the random numbers that they would have been drawn from."""
        self.source = batches
        now = self.random_at_save or random_state(batches)
        set_random_state(self.random_at_epoch or now, batches)
        self.random_at_epoch = random_state(batches)
        rest = self._drawn(batches)
        if self.batches:
            # Not the batches' own generator, which stands where it should after as many batches.
            set_random_state(now)
        self.random_at_save = {}
        yield from rest

    def _drawn(self, batches: Any) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        if hasattr(batches, "epoch"):
            return batches.epoch(self.epoch, start=self.batches)
        rest = iter(batches)
        for _ in range(self.batches):
            next(rest, None)
        return rest


@contextmanager
def buffers_kept(model: nn.Module) -> Iterator[None]:
    """Running statistics and counters are afterwards what they were before."""
    before = [(buffer, buffer.clone()) for buffer in model.buffers()]
    yield
    with torch.no_grad():
        for buffer, values in before:
            buffer.copy_(values)


def stacked(values: list[Any]) -> np.ndarray:
    """An array over steps; entries of different sizes are filled up with NaN, missing ones are NaN throughout."""
    known = [np.asarray(value, dtype=np.float64) for value in values if value is not None]
    shape = tuple(np.max([value.shape for value in known], axis=0)) if known and known[0].ndim else ()
    found = np.full((len(values), *shape), np.nan)
    for index, value in enumerate(values):
        if value is not None:
            part = np.asarray(value, dtype=np.float64)
            corner: Any = (index, *(slice(size) for size in part.shape))
            found[corner] = part
    return found


def _copied(value: Any) -> Any:
    return value.clone() if isinstance(value, torch.Tensor) else value


def _length(batches: Any) -> int:
    """Batches in an epoch; 0 where that is not known."""
    try:
        return len(batches)
    except TypeError:
        return 0
