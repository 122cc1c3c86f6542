"""How a training is written into a file; a file that does not fit changes nothing."""

import json
import os
from functools import partial

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import nn

from lowrank_kit.checks import InputError
from lowrank_kit.methods import checkpoints
from lowrank_kit.methods.checkpoints import resume, save_checkpoint
from lowrank_kit.methods.training import Training
from lowrank_kit.models.factored import Factored
from lowrank_kit.models.factoring import factored
from tests.methods.checkpoint_trainings import OPTIMISERS, adaptive, dense, listed, net, run, stopped
from tests.methods.states import counts_of, tensors_of

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
