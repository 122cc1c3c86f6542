"""A training in a file goes on to the bit, wherever it was stopped."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from lowrank_kit.methods.checkpoints import resume, save_checkpoint
from lowrank_kit.models.layers import channels_last
from tests.methods import checkpoint_trainings
from tests.methods.checkpoint_trainings import (
    BATCHES,
    BUILDS,
    EPOCHS,
    adaptive,
    listed,
    loader,
    net,
    run,
    stopped,
    whole,
)
from tests.methods.states import counts_of, tensors_of

builds = pytest.mark.parametrize("build", BUILDS)
kinds = pytest.mark.parametrize("kind", BATCHES)


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
from lowrank_kit.methods.checkpoints import resume, save_checkpoint
spec = importlib.util.spec_from_file_location("saved", sys.argv[1])
saved = importlib.util.module_from_spec(spec)
spec.loader.exec_module(saved)
for build in ("adaptive", "Adam", "dense"):
    for kind in saved.BATCHES:
        path = Path(sys.argv[2]) / f"{build} {kind}"
        training = resume(saved.BUILDS[build](), path)
        saved.run(training, saved.BATCHES[kind]())
        save_checkpoint(training, path)
"""


def test_a_fresh_process_goes_on_to_the_bit(tmp_path):
    for build in ("adaptive", "Adam", "dense"):
        for kind in BATCHES:
            stopped(build, kind, 7, tmp_path / f"{build} {kind}")
    subprocess.run([sys.executable, "-c", FRESH, checkpoint_trainings.__file__, tmp_path], check=True, timeout=120)
    for build in ("adaptive", "Adam", "dense"):
        for kind in BATCHES:
            assert_same(resume(BUILDS[build](), tmp_path / f"{build} {kind}"), whole(build, kind)[0])
