"""Weights come from safetensors alone; whatever else is told apart, and never opened as a pickle."""

import pickle
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file, save_model
from torch import nn

from lowrank_kit.checks import InputError
from lowrank_kit.models.store import load_weights


def network():
    return nn.Sequential(nn.Linear(6, 5), nn.BatchNorm1d(5), nn.Linear(5, 3))


@pytest.fixture
def saved(tmp_path):
    torch.manual_seed(7)
    path = tmp_path / "model.safetensors"
    save_model(network(), path)
    return path


class Trap:
    """Whoever unpickles this creates a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def assert_refused(path, words, states):
    model = network()
    before = states(model)
    with pytest.raises(InputError, match=words):
        load_weights(model, path)
    assert states.same(before, states(model))


@pytest.mark.parametrize("as_text", [True, False])
def test_weights_there_and_back(saved, as_text):
    torch.manual_seed(7)
    expected, model = network(), network()
    assert load_weights(model, str(saved) if as_text else saved) is model
    assert all(torch.equal(model.state_dict()[k], v) for k, v in expected.state_dict().items())


def test_tied_weights_are_saved_once_and_loaded_into_both(tmp_path):
    def tied():
        model = nn.Sequential(nn.Embedding(9, 6), nn.Linear(6, 9, bias=False))
        model[1].weight = model[0].weight
        return model

    written, model = tied(), tied()
    save_model(written, tmp_path / "tied.safetensors")
    load_weights(model, tmp_path / "tied.safetensors")
    assert model[1].weight is model[0].weight
    assert torch.equal(model[0].weight, written[0].weight)


@pytest.mark.parametrize("protocol", [None, 0, 2, 3, 4, 5, "old"])
def test_a_pickle_is_refused_and_never_opened(tmp_path, protocol, states):
    path, sprung = tmp_path / "model.pt", tmp_path / "sprung"
    if protocol is None:
        torch.save(Trap(sprung), path)
    elif protocol == "old":
        torch.save(Trap(sprung), path, _use_new_zipfile_serialization=False)
    else:
        path.write_bytes(pickle.dumps(Trap(sprung), protocol=protocol))
    words = (
        "must be a whole safetensors file" if protocol == 0 else "is a pickle, which can run code.*safetensors.torch"
    )
    assert_refused(path, words, states)
    assert not sprung.exists()


def test_the_trap_works(tmp_path):
    pickle.loads(pickle.dumps(Trap(tmp_path / "sprung")))
    assert (tmp_path / "sprung").exists()


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_a_safetensors_file_that_begins_like_a_pickle_is_read(tmp_path, protocol):
    path, length = tmp_path / "model.safetensors", 256 * protocol + 128  # 80 02 ..., 80 03 ..., in the file
    written, model = network(), network()
    if length < 700:  # the header of all tensors would be longer
        written, model = nn.Linear(6, 5), nn.Linear(6, 5)
    tensors = written.state_dict()
    for padding in range(length):
        save_file(tensors, path, metadata={"padding": "x" * padding})
        if int.from_bytes(path.read_bytes()[:8], "little") == length:
            break
    assert path.read_bytes()[:2] == bytes([0x80, protocol])
    load_weights(model, path)
    assert all(torch.equal(model.state_dict()[k], v) for k, v in tensors.items())


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_a_pickle_with_a_brace_in_the_ninth_byte_is_never_opened(tmp_path, protocol, states):
    path, sprung = tmp_path / "model.pt", tmp_path / "sprung"
    trap = pickle.dumps(Trap(sprung), protocol=protocol)
    body = trap[2 + 9 * (protocol >= 4) :]  # without the frame, which later protocols may leave out
    path.write_bytes(bytes([0x80, protocol]) + b"U\x05    {0" + body)  # a string, dropped at once
    assert path.read_bytes()[8:9] == b"{"
    pickle.loads(path.read_bytes())
    assert sprung.exists()
    sprung.unlink()
    assert_refused(path, "must be a whole safetensors file", states)
    assert not sprung.exists()


@pytest.mark.parametrize("left", [0, 3, 8, 100, -1])
def test_a_truncated_file(saved, left, states):
    saved.write_bytes(saved.read_bytes()[:left])
    assert_refused(
        saved, "`weights` must be a whole safetensors file; .*model.safetensors is damaged or not one", states
    )


def test_a_corrupt_file(saved, states):
    saved.write_bytes(b"\xff" * 8 + saved.read_bytes()[8:])
    assert_refused(saved, "damaged or not one", states)


def test_a_file_that_cannot_be_read(tmp_path, states):
    assert_refused(tmp_path / "nothing.safetensors", "readable safetensors file; .*nothing.*No such file", states)
    assert_refused(tmp_path, "readable safetensors file; .*directory", states)


def changed(change):
    tensors = {k: v.clone() for k, v in network().state_dict().items()}
    change(tensors)
    return tensors


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda t: t.pop("2.bias"), r"Sequential, 9 names with their shapes; .* differs in 2\.bias\."),
        (lambda t: t.update(extra=torch.ones(2)), r"differs in extra\."),
        (lambda t: t.update({"0.weight": torch.ones(6, 5)}), r"differs in 0\.weight\."),
        (lambda t: [t.update({f"x{k}": t.pop(k)}) for k in [*t]], r"differs in 0\.bias, 0\.weight, 1\.bias \.\.\."),
    ],
    ids=["missing", "extra", "shape", "all renamed"],
)
def test_tensors_of_another_network(tmp_path, change, words, states):
    save_file(changed(change), tmp_path / "other.safetensors")
    assert_refused(tmp_path / "other.safetensors", words, states)
