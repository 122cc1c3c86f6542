"""A training in a file goes on to the bit, wherever it was stopped; a file that does not fit changes nothing."""

import json
import os
import subprocess
import sys
from functools import cache, partial

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from lowrank_kit.checks import InputError
from lowrank_kit.methods import checkpoints
from lowrank_kit.methods.adaptive import Adaptation, AdaptiveTraining
from lowrank_kit.methods.batches import Batches
from lowrank_kit.methods.checkpoints import resume, save_checkpoint
from lowrank_kit.methods.training import Training, one_cycle
from lowrank_kit.models.factored import Factored
from lowrank_kit.models.factoring import factored
from lowrank_kit.models.layers import channels_last

EPOCHS = 3
OPTIMISERS = {
    "SGD": partial(torch.optim.SGD, lr=0.05, momentum=0.9, nesterov=True, weight_decay=1e-3),
    "Adam": partial(torch.optim.Adam, lr=0.01),
    "AMSGrad": partial(torch.optim.AdamW, lr=0.01, amsgrad=True),
    "plain": partial(torch.optim.SGD, lr=0.05),
}


class Net(nn.Module):
    """With BatchNorm and dropout, in float32; inputs (n, 2, 6, 6), 3 classes."""

    def __init__(self, width=8, classes=3):
        super().__init__()
        self.conv1, self.norm1 = nn.Conv2d(2, 6, 3, padding=1), nn.BatchNorm2d(6)
        self.conv2, self.drop = nn.Conv2d(6, width, 3, padding=1, bias=False), nn.Dropout(0.2)
        self.fc1, self.head = nn.Linear(width * 9, 10), nn.Linear(10, classes)

    def forward(self, x):
        x = nn.functional.max_pool2d(torch.relu(self.norm1(self.conv1(x))), 2)
        return self.head(torch.relu(self.fc1(self.drop(torch.relu(self.conv2(x)).flatten(1)))))


def net(**sizes):
    torch.manual_seed(0)
    return Net(**sizes)


def examples(n=35):
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(n, 2, 6, 6, generator=generator)
    return x, x.flatten(1)[:, :3].argmax(1)


def listed():
    x, y = examples()
    return [*zip(x.split(8), y.split(8), strict=True)]


def loader(own, **options):
    generator = torch.Generator().manual_seed(3) if own else None
    return DataLoader(TensorDataset(*examples()), batch_size=8, shuffle=True, generator=generator, **options)


# Batches of five an epoch.
BATCHES = {
    "list": listed,
    "loader": partial(loader, True),
    "loader on the common generator": partial(loader, False),
    "batches of the kit": lambda: Batches(*examples(), size=8, seed=4),
}


def adaptive(optimiser="SGD", model=None, adaptation=None, **options):
    adaptation = adaptation or Adaptation(0.3, local_steps=4)
    options = {"schedule": one_cycle, "rank": 0.6, **options}
    return AdaptiveTraining(model or net(), OPTIMISERS[optimiser], adaptation, **options)


def dense(optimiser="SGD"):
    return Training(net(), OPTIMISERS[optimiser], schedule=one_cycle)


BUILDS = {
    "adaptive": adaptive,
    "Adam": partial(adaptive, "Adam"),
    "AMSGrad": partial(adaptive, "AMSGrad"),
    "without memory": partial(adaptive, "plain"),
    "matrix": partial(adaptive, view="matrix"),
    "kernel": partial(adaptive, view="kernel"),
    "budget": partial(adaptive, adaptation=Adaptation(budget=0.4, local_steps=2, burn_in=3)),
    "dense": dense,
    "dense by Adam": partial(dense, "Adam"),
}
builds = pytest.mark.parametrize("build", BUILDS)
kinds = pytest.mark.parametrize("kind", BATCHES)


def tensors_of(training):
    places = [p for group in training.optimiser.param_groups for p in group["params"]]
    memory = {
        f"memory {place} {name}": torch.as_tensor(value)
        for place, p in enumerate(places)
        for name, value in training.optimiser.state.get(p, {}).items()
        if value is not None
    }
    return {name: value.clone() for name, value in {**training.model.state_dict(), **memory}.items()}


def counts_of(training):
    names = ("steps", "epoch", "batches", "total", *training.own_counts)
    rates = [(group["lr"], group["initial_lr"]) for group in training.optimiser.param_groups]
    counts = [getattr(training, name) for name in names]
    return [[*map(list, c)] if isinstance(c, list) else c for c in counts], rates, training.losses, training.failures


def assert_same(found, expected):
    """To the bit, the layout of tensors included."""
    one, other = tensors_of(found), tensors_of(expected)
    assert {*one} == {*other}
    for name, values in other.items():
        assert one[name].dtype == values.dtype and torch.equal(one[name], values), name
        assert one[name].stride() == values.stride(), name
    assert counts_of(found) == counts_of(expected)
    mine, theirs = found.trajectory, expected.trajectory
    assert (mine.name, mine.layers, mine.facts) == (theirs.name, theirs.layers, theirs.facts)
    np.testing.assert_array_equal(mine.steps, theirs.steps)
    assert {*mine.arrays} == {*theirs.arrays}
    for name in theirs.arrays:
        np.testing.assert_array_equal(mine[name], theirs[name])


def run(training, batches, steps=None):
    """So many steps, an accuracy recorded at each third; all that is left by default."""
    found = []
    for loss in training.run(batches, EPOCHS):
        found.append(loss)
        if training.steps % 3 == 0:
            training.record(accuracy=training.steps / 100)
        if len(found) == steps:
            break
    return found


@cache
def whole(build, kind):
    """A training that was never stopped, and its losses."""
    training = BUILDS[build]()
    torch.manual_seed(11)
    return training, run(training, BATCHES[kind]())


def stopped(build, kind, steps, path):
    """Losses up to where a training was saved, after which much else was drawn."""
    training = BUILDS[build]()
    torch.manual_seed(11)
    losses = run(training, BATCHES[kind](), steps)
    save_checkpoint(training, path)
    torch.rand(100)
    return losses


# going on


@builds
@kinds
@pytest.mark.parametrize("steps", [4, 7, 10], ids=["between cycles", "in a cycle", "at an epoch's end"])
def test_a_training_goes_on_to_the_bit(tmp_path, build, kind, steps):
    expected, losses = whole(build, kind)
    before = stopped(build, kind, steps, tmp_path / "training")
    again = resume(BUILDS[build](), tmp_path / "training")
    assert [*before, *run(again, BATCHES[kind]())] == losses
    assert_same(again, expected)


@kinds
def test_what_was_resumed_is_what_was_saved(tmp_path, kind):
    training, batches = adaptive(), BATCHES[kind]()
    run(training, batches, 7)
    save_checkpoint(training, tmp_path / "training")
    again = resume(adaptive(), tmp_path / "training")
    assert_same(again, training)
    assert again.layers["conv2"].ranks == training.layers["conv2"].ranks
    assert all(p.is_leaf and p.grad is None for p in again.model.parameters())
    save_checkpoint(again, tmp_path / "again")
    one, other = (load_file(tmp_path / name) for name in ("training", "again"))
    assert {*one} == {*other} and all(one[n].numpy().tobytes() == other[n].numpy().tobytes() for n in one)


@kinds
def test_saving_changes_nothing(tmp_path, kind):
    expected, losses = whole("adaptive", kind)
    training, found = adaptive(), []
    torch.manual_seed(11)
    batches = BATCHES[kind]()
    for loss in training.run(batches, EPOCHS):
        found.append(loss)
        if training.steps % 3 == 0:
            training.record(accuracy=training.steps / 100)
        save_checkpoint(training, tmp_path / "training")
    assert found == losses
    assert_same(training, expected)


@kinds
@pytest.mark.parametrize("build", ["adaptive", "dense"])
def test_a_training_may_be_stopped_again_and_again(tmp_path, build, kind):
    expected, losses = whole(build, kind)
    path, found = tmp_path / "training", stopped(build, kind, 2, tmp_path / "training")
    while len(found) < len(losses):
        training = resume(BUILDS[build](), path)
        if len(found) % 2:
            save_checkpoint(training, path)  # before it has gone on
            training = resume(BUILDS[build](), path)
        found += run(training, BATCHES[kind](), 3)
        save_checkpoint(training, path)
        torch.rand(7)
    assert found == losses
    assert_same(resume(BUILDS[build](), path), expected)


@kinds
@pytest.mark.parametrize("epoch", [1, 2])
def test_a_training_that_came_to_the_end_of_an_epoch_goes_on_with_the_next(tmp_path, kind, epoch):
    def long(training):
        training.total = 15
        return training

    expected = long(adaptive())
    torch.manual_seed(11)
    batches = BATCHES[kind]()
    losses = [*expected.run(batches, EPOCHS)]
    training, batches = long(adaptive()), BATCHES[kind]()
    torch.manual_seed(11)
    found = [*training.run(batches, epoch)]
    assert (training.epoch, training.batches) == (epoch, 0)
    save_checkpoint(training, tmp_path / "training")
    torch.rand(9)
    again = resume(adaptive(), tmp_path / "training")
    assert [*found, *again.run(BATCHES[kind](), EPOCHS)] == losses
    assert_same(again, expected)


@pytest.mark.parametrize("fault", [KeyboardInterrupt(), RuntimeError("out of memory")], ids=["Ctrl-C", "error"])
@kinds
@pytest.mark.parametrize("call", [5, 6, 9])
def test_a_training_that_was_interrupted_in_a_step_goes_on_to_the_bit(tmp_path, kind, fault, call):
    expected, losses = whole("adaptive", kind)
    training, found, passes = adaptive(), [], []

    def stop(*_):
        passes.append(1)
        if len(passes) == call:
            torch.rand(3)
            raise fault

    training.model.norm1.register_forward_hook(stop)
    torch.manual_seed(11)
    with pytest.raises(type(fault)):
        for loss in training.run(BATCHES[kind](), EPOCHS):
            found.append(loss)
            if training.steps % 3 == 0:
                training.record(accuracy=training.steps / 100)
    save_checkpoint(training, tmp_path / "training")
    torch.rand(9)
    again = resume(adaptive(), tmp_path / "training")
    assert [*found, *run(again, BATCHES[kind]())] == losses
    assert_same(again, expected)


def test_steps_without_a_run_go_on_too(tmp_path):
    def steps(training, given):
        return [training.step(x, y) for x, y in given]

    training = adaptive()
    torch.manual_seed(11)
    losses = steps(training, listed())
    again = adaptive()
    torch.manual_seed(11)
    found = steps(again, listed()[:3])
    save_checkpoint(again, tmp_path / "training")
    torch.rand(7)
    again = resume(adaptive(), tmp_path / "training")
    assert [*found, *steps(again, listed()[3:])] == losses
    assert_same(again, training)
    assert not torch.equal(torch.rand(5), torch.rand(5))


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")  # Python 3.12's, of forks
def test_workers_that_load_the_batches_make_no_difference(tmp_path):
    losses = whole("adaptive", "loader")[1]
    found = stopped("adaptive", "loader", 7, tmp_path / "training")
    again = resume(adaptive(), tmp_path / "training")
    assert [*found, *run(again, loader(True, num_workers=1))] == losses


def test_channels_last_networks_go_on_to_the_bit(tmp_path):
    def build():
        return adaptive(model=channels_last(net()))

    training = build()
    torch.manual_seed(11)
    losses = run(training, listed())
    again = build()
    torch.manual_seed(11)
    found = run(again, listed(), 6)
    save_checkpoint(again, tmp_path / "training")
    again = resume(build(), tmp_path / "training")
    assert [*found, *run(again, listed())] == losses
    assert_same(again, training)


def test_failures_are_remembered(tmp_path):
    training, given = adaptive(), listed()
    given[1] = (given[1][0] * float("nan"), given[1][1])
    run(training, given, 4)
    assert training.failures
    save_checkpoint(training, tmp_path / "training")
    assert resume(adaptive(), tmp_path / "training").failures == training.failures


def test_a_training_that_has_not_begun_is_saved_too(tmp_path):
    path, losses, training = tmp_path / "training", whole("adaptive", "list")[1], adaptive()
    torch.manual_seed(11)
    save_checkpoint(training, path)
    torch.rand(5)
    again = resume(adaptive(), path)
    assert len(again.trajectory) == 0 and run(again, listed()) == losses


def test_a_module_in_two_places_comes_back_as_one(tmp_path):
    def build():
        torch.manual_seed(0)
        both = nn.Linear(12, 12)
        body = (nn.Linear(72, 12), both, nn.Tanh(), both, nn.Linear(12, 3))
        return adaptive(model=nn.Sequential(nn.Flatten(), *body), rank=0.3)

    training = build()
    run(training, listed(), 6)
    save_checkpoint(training, tmp_path / "training")
    again = resume(build(), tmp_path / "training")
    assert again.model[2] is again.model[4] and again.model[2].core is again.model[4].core
    assert run(again, listed(), 3) == run(training, listed(), 3)


FRESH = """
import importlib.util, sys
from pathlib import Path
spec = importlib.util.spec_from_file_location("saved", sys.argv[1])
saved = importlib.util.module_from_spec(spec)
spec.loader.exec_module(saved)
for build in ("adaptive", "Adam", "dense"):
    for kind in saved.BATCHES:
        path = Path(sys.argv[2]) / f"{build} {kind}"
        training = saved.resume(saved.BUILDS[build](), path)
        saved.run(training, saved.BATCHES[kind]())
        saved.save_checkpoint(training, path)
"""


def test_a_fresh_process_goes_on_to_the_bit(tmp_path):
    for build in ("adaptive", "Adam", "dense"):
        for kind in BATCHES:
            stopped(build, kind, 7, tmp_path / f"{build} {kind}")
    subprocess.run([sys.executable, "-c", FRESH, __file__, tmp_path], check=True, timeout=120)
    for build in ("adaptive", "Adam", "dense"):
        for kind in BATCHES:
            assert_same(resume(BUILDS[build](), tmp_path / f"{build} {kind}"), whole(build, kind)[0])


# files


def test_the_file_is_written_into_a_folder_of_its_own_and_returned(tmp_path):
    path = tmp_path / "deep" / "er" / "training"
    assert save_checkpoint(adaptive(), str(path)) == path
    assert [*path.parent.iterdir()] == [path]


@pytest.mark.parametrize("fault", [OSError("No space left on device"), KeyboardInterrupt()], ids=["full", "Ctrl-C"])
def test_a_failed_write_leaves_the_old_file(tmp_path, monkeypatch, fault):
    training, path = adaptive(), tmp_path / "training"
    run(training, listed(), 3)
    before = save_checkpoint(training, path).read_bytes()
    run(training, listed(), 2)

    def fail(tensors, part, **kwargs):
        part.write_bytes(b"half")
        raise fault

    monkeypatch.setattr(checkpoints, "save_file", fail)
    with pytest.raises(InputError if isinstance(fault, OSError) else KeyboardInterrupt) as caught:
        save_checkpoint(training, path)
    assert isinstance(fault, KeyboardInterrupt) or "`path` must be one that can be written; " in str(caught.value)
    assert path.read_bytes() == before and [*tmp_path.iterdir()] == [path]


def test_a_place_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(InputError, match=r"`path` must be one that can be written; .*file/training"):
        save_checkpoint(adaptive(), tmp_path / "file" / "training")


class Worded(nn.Linear):
    def get_extra_state(self):
        return "a word"

    def set_extra_state(self, state):
        pass


def test_a_network_that_holds_more_than_tensors(tmp_path):
    model = nn.Sequential(nn.Flatten(), nn.Linear(72, 8), Worded(8, 8), nn.Linear(8, 3))
    with pytest.raises(InputError, match=r"must be of a network that holds tensors only to be saved; 2\._extra_state"):
        save_checkpoint(Training(model, OPTIMISERS["SGD"]), tmp_path / "training")
    assert not [*tmp_path.iterdir()]


def test_a_file_cannot_run_code(tmp_path):
    path = tmp_path / "training"
    torch.save({}, path)
    with pytest.raises(InputError, match="must be a whole file that `save_checkpoint` wrote"):
        resume(adaptive(), path)


# what does not fit


def words_of(path):
    with safe_open(path, framework="pt") as file:
        return json.loads(file.metadata()["words"])


def rewritten(path, tensors=None, **words):
    save_file(tensors or load_file(path), path, metadata={"words": json.dumps({**words_of(path), **words})})


def tampered(path, name, change):
    """With a tensor changed; what holds it has the layout that it now has."""
    tensors = load_file(path)
    tensors[name] = change(tensors[name]).contiguous()
    strides = {**words_of(path)["strides"], name: tensors[name].stride()}
    rewritten(path, tensors, strides=strides)


WHOLE = "must be a whole file that `save_checkpoint` wrote; it is not"
FIT = "must be of this network, with the same layers in factored form, and of the same kind of training and optimiser"
DAMAGES = {
    "absent": (lambda p: p.unlink(), WHOLE),
    "empty": (lambda p: p.write_bytes(b""), WHOLE),
    "cut short": (lambda p: p.write_bytes(p.read_bytes()[:-9]), WHOLE),
    "longer": (lambda p: p.write_bytes(p.read_bytes() + b"more"), WHOLE),
    "no safetensors": (lambda p: p.write_bytes(os.urandom(500)), WHOLE),
    "other tensors": (lambda p: save_file({"x": torch.zeros(2)}, p), WHOLE),
    "words that are no JSON": (lambda p: save_file({"x": torch.zeros(2)}, p, metadata={"words": "{"}), WHOLE),
    "another format": (lambda p: rewritten(p, format="training 9"), "its format is 'training 9'"),
    "no strides": (lambda p: rewritten(p, strides={}), WHOLE),
    "impossible strides": (lambda p: rewritten(p, strides={name: [-1] for name in words_of(p)["strides"]}), WHOLE),
    "another shape": (
        lambda p: tampered(p, "model/head.weight", lambda t: t[:, 1:]),
        f"{FIT}; it differs in head.weight",
    ),
    "another type": (lambda p: tampered(p, "model/head.bias", torch.Tensor.double), f"{FIT}; it differs in head.bias"),
    "a basis of another size": (lambda p: tampered(p, "model/fc1.bases.1", lambda t: t[1:]), "it differs in fc1"),
    "a basis without its core": (lambda p: tampered(p, "model/fc1.bases.1", lambda t: t[:, 1:]), "it differs in fc1"),
    "a core of another kernel": (
        lambda p: tampered(p, "model/conv2.core", lambda t: t[..., 1:]),
        "it differs in conv2",
    ),
}


@pytest.mark.parametrize(("damage", "words"), DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_file_is_told_and_the_training_left_alone(tmp_path, damage, words):
    path = tmp_path / "training"
    stopped("adaptive", "list", 7, path)
    damage(path)
    assert_untouched(adaptive(), path, words)


def assert_untouched(training, path, words):
    before, counts, numbers = tensors_of(training), counts_of(training), torch.get_rng_state()
    with pytest.raises(InputError, match=words):
        resume(training, path)
    after = tensors_of(training)
    assert {*after} == {*before} and all(torch.equal(after[name], values) for name, values in before.items())
    assert counts_of(training) == counts and len(training.trajectory) == 0
    assert torch.equal(torch.get_rng_state(), numbers) and not training.random_at_save


STRANGERS = {
    "wider": (lambda: adaptive(model=net(width=9)), "it differs in conv2"),
    "of more classes": (lambda: adaptive(model=net(classes=4)), "it differs in head.bias, head.weight"),
    "other layers in factors": (lambda: adaptive(keep=["conv1", "fc1", "head"]), "it differs in fc1"),
    "in another view": (lambda: adaptive(view="kernel"), "it differs in conv2.bases.2"),
    "in matrices": (lambda: adaptive(view="matrix"), "it differs in conv2"),
    "of another type": (lambda: adaptive(model=net().double()), "it differs in "),
    "dense": (dense, "it differs in conv2"),
    "not adaptive": (
        lambda: Training(factored(net(), rank=0.6), OPTIMISERS["SGD"]),
        "it differs in the kind of training, the groups of parameters",
    ),
    "by another optimiser": (partial(adaptive, "Adam"), "it differs in the optimiser"),
    "partly frozen": (lambda: adaptive(model=frozen(net())), "it differs in the groups of parameters"),
}


def frozen(model):
    model.head.bias.requires_grad_(False)
    return model


@pytest.mark.parametrize(("build", "words"), STRANGERS.values(), ids=STRANGERS)
def test_a_file_of_another_training_is_told_and_the_training_left_alone(tmp_path, build, words):
    path = tmp_path / "training"
    stopped("adaptive", "list", 7, path)
    assert_untouched(build(), path, f"{FIT}; {words}")


def test_ranks_may_be_others(tmp_path):
    path = tmp_path / "training"
    stopped("adaptive", "list", 7, path)
    again = resume(adaptive(rank=0.2), path)
    assert isinstance(again.model.conv2, Factored) and run(again, listed()) == run(resume(adaptive(), path), listed())
