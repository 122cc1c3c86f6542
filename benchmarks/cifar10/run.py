"""One training on CIFAR-10 in a folder of its own, where it goes on when it is stopped."""

import json
import signal
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import partial
from multiprocessing import parent_process
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from benchmarks.cifar10.images import Scale, crop_and_flip, load, split
from lowrank_kit.checks import InputError
from lowrank_kit.files import write_arrays, write_beside
from lowrank_kit.measurement.cost import macs, n_params
from lowrank_kit.measurement.placement import device_name
from lowrank_kit.measurement.quality import predictions
from lowrank_kit.methods.adaptive import Adaptation, AdaptiveTraining
from lowrank_kit.methods.batches import Batches
from lowrank_kit.methods.checkpoints import resume, save_checkpoint
from lowrank_kit.methods.training import Training, one_cycle
from lowrank_kit.models import THREADS, vision
from lowrank_kit.models.factoring import factored, plain
from lowrank_kit.models.inventory import weights_hash
from lowrank_kit.models.layers import channels_last
from lowrank_kit.models.store import save
from lowrank_kit.records import Data, Examples, RankPlan

__all__ = ["Recipe", "Run", "finished", "train", "work"]


@dataclass(frozen=True)
class Recipe:
    """How every run of a table is trained, whatever its method."""

    network: str = "vgg8"
    epochs: int = 10
    batch: int = 128
    lr: float = 0.1
    momentum: float = 0.9
    weight_decay: float = 5e-4
    local_steps: int = 10
    rank: float = 1.0
    burn_in: int = 700


@dataclass(frozen=True)
class Run:
    """`method` is "dense", "tdlrt" (`setting` its tolerance), "dlrt" (the matrix case) or "fixed" (`setting` the
    fraction of every mode that plain Tucker factors are trained at)."""

    method: str
    setting: float | None
    seed: int

    @property
    def name(self) -> str:
        return "-".join(str(part) for part in (self.method, self.setting, self.seed) if part is not None)


def finished(folder: Path) -> dict[str, Any] | None:
    """What a finished run found; None where it is not finished."""
    path = folder / "result.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None


def work(run: Run, recipe: Recipe, images: Path, folder: Path, device: str, end: float) -> str:
    """One run in a process of its own, until the first epoch that ends after the time `end`."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the first process hears it, and ends the others
    torch.set_num_threads(THREADS)
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    if time.time() > end:
        return f"{run.name}: not begun"
    first = parent_process()
    done = train(
        run, recipe, split(load(images)), folder, device,
        stop=lambda: time.time() > end or (first is not None and not first.is_alive()),
    )  # fmt: skip
    return f"{run.name}: {'finished' if done else 'stopped, goes on next time'}"


def train(run: Run, recipe: Recipe, data: Data, folder: Path, device: str, *, stop: Callable[[], bool]) -> bool:
    """Train until the end, or until `stop()` is true at the end of an epoch; whether it is finished.

    `data` holds pixels. Written are result.json, the trajectory and the compressed network.
    """
    if done := finished(folder):
        if done["recipe"] != asdict(recipe):
            raise InputError(f"{folder} was finished as {done['recipe']}; give the same options, or another --out.")
        return True
    _check_recipe(folder / "recipe.json", recipe)
    training, start = _training(run, recipe, device), time.perf_counter()
    checkpoint, clock = folder / "training.safetensors", folder / "clock.json"
    if checkpoint.exists():
        resume(training, checkpoint)
    spent = json.loads(clock.read_text(encoding="utf-8"))["seconds"] if clock.exists() else 0.0
    scale = Scale.of(data.train.x)
    validation = scale.examples(data.validation)
    prepare = partial(crop_and_flip, scale)
    batches = Batches.of(data.train, size=recipe.batch, seed=run.seed, prepare=prepare)
    batches = Batches(batches.x.to(device), batches.y, batches.size, batches.seed, batches.prepare)
    for _ in training.run(batches, recipe.epochs):
        if training.batches < len(batches):
            continue
        training.record(accuracy=_accuracy(training.model, validation), epoch=training.epoch + 1)
        seconds = spent + time.perf_counter() - start
        save_checkpoint(training, checkpoint)
        _write(clock, {"seconds": seconds})
        print(_line(run, training, seconds), flush=True)
        if stop() and training.epoch + 1 < recipe.epochs:
            return False
    judged = Data("cifar10", validation, scale.examples(data.test))
    _finish(run, recipe, training, judged, folder, spent + time.perf_counter() - start)
    checkpoint.unlink()
    clock.unlink()
    return True


def _training(run: Run, recipe: Recipe, device: str) -> Training:
    torch.manual_seed(run.seed)
    model = channels_last(getattr(vision, recipe.network)()).to(device)
    options = {"nesterov": True, "momentum": recipe.momentum, "weight_decay": recipe.weight_decay}
    descent = partial(torch.optim.SGD, lr=recipe.lr, **options)
    if run.method == "dense":
        return Training(model, descent, schedule=one_cycle, name=recipe.network)
    if run.method == "fixed":
        network = plain(factored(model, rank=run.setting or 0.5))[0]
        return Training(network, descent, schedule=one_cycle, name=recipe.network)
    adaptation = Adaptation(tolerance=run.setting, local_steps=recipe.local_steps, burn_in=recipe.burn_in)
    view = "matrix" if run.method == "dlrt" else "tucker"
    return AdaptiveTraining(
        model, descent, adaptation, rank=recipe.rank, view=view, schedule=one_cycle, every=5, name=recipe.network
    )


def _check_recipe(path: Path, recipe: Recipe) -> None:
    """A run goes on as it began."""
    if not path.exists():
        _write(path, asdict(recipe))
    begun = json.loads(path.read_text(encoding="utf-8"))
    if begun != asdict(recipe):
        raise InputError(f"{path.parent} was begun as {begun}; give it the same options, or another --out.")


def _finish(run: Run, recipe: Recipe, training: Training, data: Data, folder: Path, seconds: float) -> None:
    network, plan = _used(training)
    network, test = network.cpu().eval(), data.test
    found = predictions(network, test)
    facts = {
        "run": asdict(run),
        "recipe": asdict(recipe),
        "recorded": f"{datetime.now(UTC):%Y-%m-%d}, {device_name(next(training.model.parameters()).device)}, "
        f"torch {torch.__version__}",
        "seconds": round(seconds, 1),
        "steps": training.steps,
        "failures": len(training.failures),
        "validation": _accuracy(network, data.validation),
        "test": float((found == test.y).mean()),
        "predictions": "".join(map(str, found.tolist())),
        "params": n_params(network),
        "conv_params": _conv_params(network),
        "macs": macs(network, test.x),
        "ranks": {name: layer.rank for name, layer in plan.layers.items()},
    }
    save(network, plan, folder / "network")
    write_arrays(folder / "trajectory.safetensors", *training.trajectory.to_arrays())
    _write(folder / "result.json", facts)


def _used(training: Training) -> tuple[nn.Module, RankPlan]:
    """The network as it is used: adaptive ones in plain layers, the others as they were trained."""
    if isinstance(training, AdaptiveTraining):
        return training.compressed()
    return training.model, RankPlan({}, weights_hash(training.model))


def _conv_params(network: nn.Module) -> int:
    """Numbers in all convolutions, those of the blocks of factors included; none of these networks' has a bias."""
    return sum(m.weight.numel() for m in network.modules() if isinstance(m, nn.Conv2d))


def _accuracy(model: nn.Module, examples: Examples) -> float:
    return float(np.mean(predictions(model, examples) == examples.y))


def _line(run: Run, training: Training, seconds: float) -> str:
    row = training.rows[-1]
    size = ""
    if isinstance(training, AdaptiveTraining):  # at the last truncation; since then its bases are wide again
        size = f", {training.trajectory.last('size') / training.n_dense:.1%} left"
    return f"{run.name}: epoch {row['epoch']}, validation {row['accuracy']:.2%}{size}, {seconds:.0f} s"


def _write(path: Path, facts: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_beside(path, lambda part: part.write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8"))
