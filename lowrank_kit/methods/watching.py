"""A real network learns beside its deep linear twin, and both are watched with the same eyes."""

import copy
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from lowrank_kit.checks import InputError, check_name, check_positive
from lowrank_kit.maths.dynamics import STARTS, start
from lowrank_kit.methods.training import Training
from lowrank_kit.records import Data, Examples, Trajectory
from lowrank_kit.records.measurements import wilson

__all__ = ["OPTIMISERS", "Watch", "WatchSettings", "linear_twin"]

OPTIMISERS = ("descent", "momentum", "adam")
# Sizes and learning rates beyond it say nothing, and overflow at once.
LARGEST = 1e30
# How PyTorch begins where nothing is said.
DEFAULT = "default"
FRAMES = 100
# A singular value is at rest while it is within a hundredth of what it began with.
RESTING = 0.01
# Directions of the inputs with less than this share of the largest variance were not seen, and are not stretched.
SEEN = 1e-4


@dataclass(frozen=True)
class WatchSettings:
    """How both networks are trained.

    Parameters
    ----------
    start : "orthogonal", "gaussian" or "uniform" of size `scale`, or "default": as PyTorch begins, which has a size of
        its own. Biases begin with zero, and are not trained in either network
    learning_rate : of the mean over examples of half the squared error, against one-hot labels
    optimiser : "descent", "momentum" (0.9) or "adam"
    batch : examples a step; None for all of them
    whitened : whether the inputs' seen directions get the same variance
    steps, seed : how long, and from which weights and batches

    Raises InputError for what cannot be trained.
    """

    start: str = "orthogonal"
    scale: float = 0.5
    learning_rate: float = 0.1
    optimiser: str = "descent"
    batch: int | None = 64
    whitened: bool = True
    steps: int = 400
    seed: int = 0

    def __post_init__(self) -> None:
        check_name(self.start, (*STARTS, DEFAULT), name="start")
        check_name(self.optimiser, OPTIMISERS, name="optimiser")
        for name in ("scale", "learning_rate"):
            check_positive(getattr(self, name), LARGEST, name=name)
        for name, least in (("steps", 1), ("batch", 1), ("seed", 0)):
            value = getattr(self, name)
            if value is None and name == "batch":
                continue
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                raise InputError(f"`{name}` must be a whole number of at least {least}; got {value!r}.")

    def torch_optimiser(self, parameters: Any) -> torch.optim.Optimizer:
        if self.optimiser == "adam":
            return torch.optim.Adam(parameters, lr=self.learning_rate)
        return torch.optim.SGD(parameters, lr=self.learning_rate, momentum=0.9 if self.optimiser == "momentum" else 0.0)


def linear_twin(network: nn.Sequential) -> nn.Sequential:
    """The same linear layers in a row, without what stands between them; its weights are copies.

    Raises InputError for a network that is not a Sequential of linear layers and activations.
    """
    known = (nn.Linear, nn.ReLU, nn.GELU, nn.SiLU, nn.Tanh, nn.Sigmoid, nn.LeakyReLU, nn.Identity, nn.Flatten)
    if not isinstance(network, nn.Sequential) or not all(isinstance(part, known) for part in network):
        raise InputError(
            "`network` must be an nn.Sequential of linear layers and activations, such as digits-mlp; "
            f"got {type(network).__name__}."
        )
    layers = [(name, copy.deepcopy(part)) for name, part in network.named_children() if isinstance(part, nn.Linear)]
    if not layers:
        raise InputError("`network` must have linear layers; it has none.")
    twin = nn.Sequential()
    for name, layer in layers:
        twin.add_module(name, layer)
    return twin


class Watch:
    """Two trainings in step, and what is seen of them.

    `run` takes the steps, and can be left between any two; `trajectory` has "values" (T, 2L, k) of the network's layers
    and then of the twin's, "resting" (T, 2L), how many of them are within a hundredth of where they began, "moved"
    (T, 2L), the share of the weight's change so far that its leading 2 x classes directions hold, and "loss" and
    "accuracy" (T, 2), the latter on the validation examples and with its 95 % interval.
    """

    def __init__(self, network: nn.Sequential, data: Data, settings: WatchSettings):
        if data.train is None:
            raise InputError(
                "`data` must hold training examples, Data(name, validation, test, train); "
                f"{data.name!r} has validation and test examples only."
            )
        self.settings, self.data = settings, data
        self.n_classes = int(data.train.y.max()) + 1
        whiten = _whitening(data.train.x) if settings.whitened else _flat
        self.x, self.y = torch.from_numpy(whiten(data.train.x)), torch.from_numpy(data.train.y)
        self.validation = Examples(whiten(data.validation.x), data.validation.y)
        begun = _begun(network, settings)
        _check_sizes(begun, self.x.shape[1], self.n_classes)
        self.trainings = [
            Training(part, settings.torch_optimiser, loss=partial(_squared_error, n_classes=self.n_classes))
            for part in (begun, linear_twin(begun))
        ]
        self.layers = [name for name, part in begun.named_children() if isinstance(part, nn.Linear)]
        self._first = [self._weights(training) for training in self.trainings]
        self._before = [[np.linalg.svd(weight, compute_uv=False) for weight in own] for own in self._first]
        self.rows: list[dict[str, Any]] = []
        self.fault = ""
        self._look(0)

    @property
    def trajectory(self) -> Trajectory:
        """What was seen so far."""
        rows = list(self.rows)
        names = [name for name in rows[0] if name != "step"]
        arrays = {name: np.array([row[name] for row in rows]) for name in names}
        layers = tuple(f"{name}{mark}" for mark in ("", " (linear)") for name in self.layers)
        facts = {
            **asdict(self.settings),
            "n_classes": self.n_classes,
            "n_train": len(self.y),
            "n_looked_at": len(self.validation),
            "diverged": self.fault,
        }
        return Trajectory(self.data.name, np.array([row["step"] for row in rows]), arrays, layers, facts)

    @property
    def expected_rows(self) -> int:
        """How many rows there will be, where nothing diverges."""
        every, last = self._every, self.settings.steps
        return len({0, 1, last, *range(every, last, every)})

    @property
    def _every(self) -> int:
        return max(self.settings.steps // FRAMES, 1)

    def run(self) -> Iterator[int]:
        """The steps that are done, after each of them."""
        every, batches = self._every, self._batches()
        for step in range(1, self.settings.steps + 1):
            x, y = next(batches)
            try:
                for training in self.trainings:
                    training.step(x, y)
            except InputError as fault:  # a training that diverges ends; what was seen stays
                self.fault = str(fault)
                return
            if step % every == 0 or step in (1, self.settings.steps):
                self._look(step)
            yield step

    def _batches(self) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        generator, size = torch.Generator().manual_seed(self.settings.seed), self.settings.batch or len(self.y)
        while True:
            if size >= len(self.y):
                yield self.x, self.y
                continue
            for chosen in torch.randperm(len(self.y), generator=generator).split(size):
                yield self.x[chosen], self.y[chosen]

    def _weights(self, training: Training) -> list[np.ndarray]:
        layers = [part for part in training.model.modules() if isinstance(part, nn.Linear)]
        return [layer.weight.detach().numpy().astype(np.float64) for layer in layers]

    def _look(self, step: int) -> None:
        looked = [self._seen(number) for number in range(2)]
        row = {name: np.stack([part for seen in looked for part in seen[name]]) for name in looked[0]}
        self.rows.append({"step": step, **row})

    def _seen(self, number: int) -> dict[str, Any]:
        """Of one network: per layer its singular values, how many rest, and how much of its change is in few."""
        training = self.trainings[number]
        k = max(map(len, self._before[number]))
        values, resting, moved = [], [], []
        for weight, begun, before in zip(
            self._weights(training), self._first[number], self._before[number], strict=True
        ):
            found = np.linalg.svd(weight, compute_uv=False)
            values.append(np.pad(found, (0, k - len(found)), constant_values=np.nan))
            resting.append(int((np.abs(found - before) <= RESTING * before).sum()))
            moved.append(_share(weight - begun, 2 * self.n_classes))
        loss, accuracy = self._judged(training.model)
        low, high = wilson(accuracy, len(self.validation))
        numbers = {"loss": loss, "accuracy": accuracy, "accuracy_low": low, "accuracy_high": high}
        return {"values": values, "resting": resting, "moved": moved} | {k: [value] for k, value in numbers.items()}

    @torch.inference_mode()
    def _judged(self, model: nn.Module) -> tuple[float, float]:
        loss = _squared_error(model(self.x), self.y, n_classes=self.n_classes)
        found = model(torch.from_numpy(self.validation.x)).argmax(dim=1).numpy()
        return float(loss), float((found == self.validation.y).mean())


def _begun(network: nn.Sequential, settings: WatchSettings) -> nn.Sequential:
    """A copy as it begins, its biases at zero for good."""
    linear_twin(network)  # which says what it must be
    begun = copy.deepcopy(network).float()
    layers = [part for part in begun if isinstance(part, nn.Linear)]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        for number, layer in enumerate(layers):
            _begin(layer, settings, number)
    return begun


def _check_sizes(network: nn.Sequential, inputs: int, classes: int) -> None:
    layers = [part for part in network if isinstance(part, nn.Linear)]
    found = layers[0].in_features, layers[-1].out_features
    if found != (inputs, classes):
        raise InputError(
            f"`network` must have {inputs} inputs and {classes} outputs, as the data have values and classes; "
            f"it has {found[0]} and {found[1]}."
        )


def _begin(layer: nn.Linear, settings: WatchSettings, number: int) -> None:
    if settings.start == DEFAULT:
        layer.reset_parameters()
    else:
        drawn = start(settings.start, layer.weight.shape[::-1], settings.scale, 1000 * settings.seed + number)[0]
        layer.weight.data = torch.from_numpy(drawn).float()
    if layer.bias is not None:
        nn.init.zeros_(layer.bias).requires_grad_(False)


def _squared_error(outputs: torch.Tensor, labels: torch.Tensor, *, n_classes: int) -> torch.Tensor:
    wanted = F.one_hot(labels, n_classes).to(outputs.dtype)
    return (outputs - wanted).square().sum(dim=1).mean() / 2


def _flat(x: np.ndarray) -> np.ndarray:
    return x.reshape(len(x), -1).astype(np.float32)


def _whitening(x: np.ndarray) -> Any:
    """What gives every seen direction of these inputs (n, ...) the same second moment, one."""
    flat = _flat(x).astype(np.float64)
    squares, Q = np.linalg.eigh(flat.T @ flat / len(flat))
    seen = squares > SEEN * squares[-1]
    stretch = (Q[:, seen] / np.sqrt(squares[seen])) @ Q[:, seen].T
    return lambda other: (_flat(other) @ stretch).astype(np.float32)


def _share(change: np.ndarray, rank: int) -> float:
    """Of a change, what its leading directions hold; 1 where nothing has changed."""
    squares = np.linalg.svd(change, compute_uv=False) ** 2
    return float(squares[:rank].sum() / squares.sum()) if squares.sum() > 0 else 1.0
