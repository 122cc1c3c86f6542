"""Compressed networks come back from their folders bit for bit, and no folder is ever half a network."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn
from torch.nn.utils import parametrizations

from lowrank_kit.checks import InputError
from lowrank_kit.measurement.cost import size_bytes
from lowrank_kit.measurement.quality import logits
from lowrank_kit.methods.planning import plan
from lowrank_kit.models import store
from lowrank_kit.models.inventory import factorable_layers, weights_hash
from lowrank_kit.models.low_rank import matrix_shape, suited
from lowrank_kit.models.store import restore, save
from lowrank_kit.models.surgery import compress
from lowrank_kit.models.zoo import load
from lowrank_kit.records import Examples, LayerPlan, RankPlan, break_even_rank


def convolutional():
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, stride=2, padding=1),
        nn.BatchNorm2d(8),
        nn.Conv2d(8, 16, 3, groups=2, padding=1),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(16, 12),
    )


def tied():
    first, second = nn.Linear(12, 12), nn.Linear(12, 12)
    second.weight = first.weight
    return nn.Sequential(first, nn.ReLU(), second)


def attentive():
    layer = nn.TransformerEncoderLayer(12, 2, 24, batch_first=True)
    return nn.Sequential(
        nn.Unflatten(1, (1, 12)), nn.TransformerEncoder(layer, 2, enable_nested_tensor=False), nn.Flatten()
    )


def computed():
    return nn.Sequential(parametrizations.spectral_norm(nn.Linear(12, 16)), nn.Linear(16, 12))


def mixed():
    """Two precisions in one network."""
    model = nn.Sequential(nn.Linear(12, 24).double(), nn.Linear(24, 12).double())
    return nn.Sequential(Cast(torch.float64), model, Cast(torch.float32), nn.Linear(12, 12))


class Cast(nn.Module):
    def __init__(self, dtype):
        super().__init__()
        self.dtype = dtype

    def forward(self, x):
        return x.to(self.dtype)


# name -> the network, what is done to it before it is planned, the method
NETWORKS = {
    "float32": (lambda: nn.Sequential(nn.Linear(12, 24), nn.ReLU(), nn.Linear(24, 12)), {}, "svd"),
    "float64": (
        lambda: nn.Sequential(nn.Linear(12, 24), nn.ReLU(), nn.Linear(24, 12)),
        {"dtype": torch.float64},
        "aware",
    ),
    "half": (lambda: nn.Sequential(nn.Linear(12, 24), nn.Linear(24, 12)), {"dtype": torch.float16}, "svd"),
    "bfloat16": (convolutional, {"dtype": torch.bfloat16}, "svd"),
    "channels last": (convolutional, {"memory_format": torch.channels_last}, "spatial"),
    "in groups": (convolutional, {}, "aware"),
    "three modes": (convolutional, {"memory_format": torch.channels_last}, "tucker"),
    "tied": (tied, {}, "svd"),
    "attention": (attentive, {}, "svd"),
    "computed": (computed, {}, "svd"),
    "two precisions": (mixed, {}, "svd"),
    "one layer": (lambda: nn.Linear(12, 12), {}, "svd"),
}
networks = pytest.mark.parametrize("name", NETWORKS)


def built(name, seed):
    """The network with random weights, its running statistics included, in eval mode."""
    build, form, _ = NETWORKS[name]
    torch.manual_seed(seed)
    model = build()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(), module.running_var.uniform_(0.5, 1.5)
    return model.to(**form).eval()


def inputs(name):
    shape = (5, 3, 9, 9) if NETWORKS[name][0] is convolutional else (5, 12)
    return torch.randn(shape, generator=torch.Generator().manual_seed(1))


def examples(name):
    return Examples(inputs(name).numpy(), np.zeros(5, int))


@torch.no_grad()
def outputs(model, name):
    weight = next(model.parameters())
    x = inputs(name) if name == "two precisions" else inputs(name).to(weight.dtype)
    return model(x)


def planned(name, model):
    layers = factorable_layers(model)
    return RankPlan(
        {n: half(layer, suited(layer, NETWORKS[name][2])) for n, layer in layers.items()}, weights_hash(model)
    )


def half(layer, method):
    """Half the rank up to which the layer becomes smaller; of a pair of ranks, both at half."""
    if method == "tucker":
        return LayerPlan([-(-size // 2) for size in layer.weight.shape[:2]], method)
    return LayerPlan(max(break_even_rank(matrix_shape(layer, method)) // 2, 1), method)


def compressed(name):
    model = built(name, 0)
    plan = planned(name, model)
    return model, plan, compress(model, plan, data=examples(name))


def assert_equal_bit_for_bit(found, expected):
    one, other = found.state_dict(), expected.state_dict()
    assert [*one] == [*other]
    for key, tensor in other.items():
        assert one[key].dtype == tensor.dtype and torch.equal(one[key], tensor), key
        assert one[key].stride() == tensor.stride(), key


@networks
@pytest.mark.parametrize("training", [True, False])
def test_a_compressed_network_comes_back_bit_for_bit(tmp_path, name, training, states):
    _, plan, small = compressed(name)
    assert save(small, plan, tmp_path / "net") == tmp_path / "net"
    model = built(name, 9).train(training)
    before = states(model)
    found = restore(tmp_path / "net", model)
    assert states.same(before, states(model))
    assert found.training is training
    assert_equal_bit_for_bit(found, small)
    assert torch.equal(outputs(found.eval(), name), outputs(small, name))
    assert [len({*map(id, m.parameters())}) for m in (found, small)] == [len([*small.parameters()])] * 2


@pytest.mark.parametrize("name", [name for name, (_, form, _) in NETWORKS.items() if form])
def test_precision_and_layout_come_back_whatever_those_of_the_model(tmp_path, name):
    _, plan, small = compressed(name)
    save(small, plan, tmp_path / "net")
    plain = NETWORKS[name][0]().eval()
    found = restore(tmp_path / "net", plain)
    assert_equal_bit_for_bit(found, small)
    assert torch.equal(outputs(found, name), outputs(small, name))
    assert {p.dtype for p in plain.parameters()} == {torch.float32}


@networks
def test_a_dense_network_is_compressed_as_it_is_saved(tmp_path, name):
    model, plan, small = compressed(name)
    save(model, plan, str(tmp_path / "net"), data=examples(name))
    assert_equal_bit_for_bit(restore(str(tmp_path / "net"), built(name, 9)), small)


IN_A_FRESH_PROCESS = """
import importlib.util, sys
from pathlib import Path
from safetensors.torch import save_file
spec = importlib.util.spec_from_file_location("saved", sys.argv[1])
saved = importlib.util.module_from_spec(spec)
spec.loader.exec_module(saved)
folder = Path(sys.argv[2])
found = {name: saved.restore(folder / name, saved.built(name, 9)) for name in saved.NETWORKS}
save_file({name: saved.outputs(model, name) for name, model in found.items()}, folder / "outputs.safetensors")
"""


def test_a_fresh_process_computes_the_same_bit_for_bit(tmp_path):
    expected = {}
    for name in NETWORKS:
        _, plan, small = compressed(name)
        save(small, plan, tmp_path / name)
        expected[name] = outputs(small, name)
    subprocess.run([sys.executable, "-c", IN_A_FRESH_PROCESS, __file__, tmp_path], check=True, timeout=120)
    found = load_file(tmp_path / "outputs.safetensors")
    assert {*found} == {*NETWORKS}
    assert all(torch.equal(found[name], y) for name, y in expected.items())


def test_the_kits_own_network_comes_back_and_its_file_holds_no_more_than_its_tensors(tmp_path, mnist):
    model, data = mnist
    found = plan(model, budget=0.5)
    small = compress(model, found)
    save(small, found, tmp_path / "net")
    again = restore(tmp_path / "net", load("mnist-cnn", weights="initial")[0])
    np.testing.assert_array_equal(logits(again, data.test.x), logits(small, data.test.x))
    assert_size_is_that_of_the_tensors(tmp_path / "net", small)
    assert on_disk(tmp_path / "net") < 0.55 * size_bytes(model)


@networks
def test_a_folder_is_no_larger_than_its_tensors(tmp_path, name):
    _, plan, small = compressed(name)
    assert_size_is_that_of_the_tensors(save(small, plan, tmp_path / "net"), small)


def on_disk(folder):
    return sum(path.stat().st_size for path in folder.iterdir())


def assert_size_is_that_of_the_tensors(folder, model):
    tensors = size_bytes(model)
    assert tensors < on_disk(folder) <= tensors + max(0.05 * tensors, 4096)


@networks
def test_what_was_trained_further_is_what_is_saved(tmp_path, name):
    _, plan, small = compressed(name)
    with torch.no_grad():
        for p in small.parameters():
            p.add_(0.01 * torch.randn_like(p))
    save(small, plan, tmp_path / "net")
    assert_equal_bit_for_bit(restore(tmp_path / "net", built(name, 9)), small)


def test_what_was_restored_can_be_trained_and_saved_again(tmp_path):
    _, plan, small = compressed("in groups")
    save(small, plan, tmp_path / "net")
    found = restore(tmp_path / "net", built("in groups", 9)).train()
    optimiser = torch.optim.SGD(found.parameters(), lr=0.1)
    found(inputs("in groups")).square().sum().backward()
    optimiser.step()
    save(found, plan, tmp_path / "net")
    again = restore(tmp_path / "net", built("in groups", 9))
    assert_equal_bit_for_bit(again, found)
    assert weights_hash(again) != weights_hash(small)


def test_layers_that_the_guard_left_dense_are_not_in_the_stored_plan(tmp_path):
    model = nn.Sequential(nn.Linear(12, 16), nn.Linear(16, 12))
    plan = RankPlan({"0": LayerPlan(3), "1": LayerPlan(12)}, weights_hash(model))
    save(model, plan, tmp_path / "net")
    stored = RankPlan.from_json((tmp_path / "net" / "plan.json").read_text())
    assert stored.layers == {"0": LayerPlan(3)} and stored.weights == plan.weights
    found = restore(tmp_path / "net", nn.Sequential(nn.Linear(12, 16), nn.Linear(16, 12)))
    assert_equal_bit_for_bit(found, compress(model, plan))


def test_a_plan_that_compresses_nothing_keeps_the_network_as_it_is(tmp_path):
    model = built("in groups", 0)
    save(model, RankPlan({}, weights_hash(model)), tmp_path / "net")
    assert_equal_bit_for_bit(restore(tmp_path / "net", built("in groups", 9)), model)


def test_two_parameters_on_one_memory_come_back_as_two(tmp_path):
    def build():
        model = nn.Sequential(nn.Linear(12, 12), nn.Linear(12, 12), nn.Linear(12, 12))
        model[1].weight = nn.Parameter(model[0].weight.data)
        return model

    model = build()
    plan = RankPlan({"2": LayerPlan(2)}, weights_hash(model))
    small = compress(model, plan)
    small[1].weight.data = small[0].weight.data
    save(small, plan, tmp_path / "net")
    assert_equal_bit_for_bit(restore(tmp_path / "net", build()), small)


class Tallied(nn.Linear):
    """Saves, beside its weights, a tensor that is neither parameter nor buffer."""

    def __init__(self, inputs, outputs):
        super().__init__(inputs, outputs)
        self.tally = torch.randn(3)

    def get_extra_state(self):
        return self.tally

    def set_extra_state(self, state):
        self.tally = state


def test_a_tensor_that_a_module_saves_of_its_own_comes_back(tmp_path):
    model = nn.Sequential(nn.Linear(12, 12), Tallied(12, 12))
    save(model, RankPlan({"0": LayerPlan(2)}, weights_hash(model)), tmp_path / "net")
    found = restore(tmp_path / "net", nn.Sequential(nn.Linear(12, 12), Tallied(12, 12)))
    assert torch.equal(found[1].tally, model[1].tally)


# nothing is lost


@pytest.fixture
def folder(tmp_path):
    """A saved network in a folder of its own."""
    _, plan, small = compressed("float32")
    return save(small, plan, tmp_path / "shelf" / "net")


def other():
    """Another plan for the same network."""
    model = built("float32", 0)
    return model, RankPlan({"0": LayerPlan(1), "2": LayerPlan(1)}, weights_hash(model))


@pytest.mark.parametrize("written", ["network.safetensors", "plan.json"])
@pytest.mark.parametrize("fault", [OSError("No space left on device"), KeyboardInterrupt()], ids=["full", "Ctrl-C"])
def test_a_failed_write_leaves_the_old_network(folder, monkeypatch, written, fault):
    before = {path.name: path.read_bytes() for path in folder.iterdir()}

    def fail(*args, **kwargs):
        raise fault

    monkeypatch.setattr(*((store, "save_file") if "network" in written else (Path, "write_text")), fail)
    with pytest.raises(InputError if isinstance(fault, OSError) else KeyboardInterrupt) as caught:
        save(*other(), folder)
    assert isinstance(fault, KeyboardInterrupt) or "`folder` must be one that can be written; " in str(caught.value)
    monkeypatch.undo()
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert [*folder.parent.iterdir()] == [folder]
    restore(folder, built("float32", 9))


def test_both_files_may_be_read_by_the_same_people(folder):
    assert len({path.stat().st_mode for path in folder.iterdir()}) == 1


def test_a_link_to_a_folder_stays_one_and_what_it_points_to_is_replaced(folder, tmp_path):
    link = tmp_path / "link"
    link.symlink_to(folder, target_is_directory=True)
    save(*other(), link)
    assert link.is_symlink() and link.resolve() == folder
    assert [*folder.parent.iterdir()] == [folder] and {*tmp_path.iterdir()} == {link, folder.parent}
    assert_equal_bit_for_bit(restore(folder, built("float32", 9)), compress(*other()))


STOPPED = """
import importlib.util, os, sys
from pathlib import Path
spec = importlib.util.spec_from_file_location("saved", sys.argv[1])
saved = importlib.util.module_from_spec(spec)
spec.loader.exec_module(saved)
rename = Path.rename
def stop(self, target):
    rename(self, target)
    os._exit(3)
Path.rename = stop
saved.save(*saved.other(), Path(sys.argv[2]))
"""


def test_a_machine_that_stops_between_the_renames_loses_nothing(folder):
    before = outputs(restore(folder, built("float32", 9)), "float32")
    stopped = subprocess.run([sys.executable, "-c", STOPPED, __file__, folder], timeout=120)
    assert stopped.returncode == 3
    left = {path.suffix: path for path in folder.parent.iterdir()}
    assert {*left} == {".old", ".part"}
    assert torch.equal(outputs(restore(left[".old"], built("float32", 9)), "float32"), before)
    new = outputs(compress(*other()), "float32")
    assert torch.equal(outputs(restore(left[".part"], built("float32", 9)), "float32"), new)
    save(*other(), folder)
    assert torch.equal(outputs(restore(folder, built("float32", 9)), "float32"), new)


# sentences


def rewritten(folder, **fields):
    path = folder / "plan.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))


def layers_of(folder):
    return json.loads((folder / "plan.json").read_text())["layers"]


def tampered(folder, change):
    path = folder / "network.safetensors"
    tensors = load_file(path)
    change(tensors)
    save_file(tensors, path)


def relaid(folder, words):
    """The same tensors, with other words about which of them were laid out channels last."""
    path = folder / "network.safetensors"
    save_file(load_file(path), path, metadata={"channels_last": words})


def whole_numbers(tensors):
    tensors["0.reduce.weight"] = tensors["0.reduce.weight"].int()


LAYOUT = "must say which tensors were laid out channels last; what it says is damaged"
DAMAGES = {
    "no folder": (shutil.rmtree, r"`folder` must hold plan.json and network.safetensors.*lacks plan.json"),
    "no plan": (lambda f: (f / "plan.json").unlink(), "lacks plan.json"),
    "no weights": (lambda f: (f / "network.safetensors").unlink(), "lacks network.safetensors"),
    "truncated": (
        lambda f: (f / "network.safetensors").write_bytes((f / "network.safetensors").read_bytes()[:-9]),
        "must be a whole safetensors file; .*network.safetensors is damaged or not one",
    ),
    "empty": (lambda f: (f / "network.safetensors").write_bytes(b""), "must be a whole safetensors file"),
    "a pickle": (lambda f: torch.save({}, f / "network.safetensors"), "is a pickle, which can run code when opened"),
    "no JSON": (lambda f: (f / "plan.json").write_text("{"), "must be the JSON text that `plan.to_json"),
    "no text": (lambda f: (f / "plan.json").write_bytes(b"\xff\xfe"), "plan.json must be a readable plan"),
    "another format": (lambda f: rewritten(f, format="plan 9"), "the plan's format must be 'lowrank-kit rank plan 1'"),
    "a layer missing": (
        lambda f: rewritten(f, layers={"0": layers_of(f)["0"]}),
        "plan.json must name every layer that is stored in factors; 2 is missing",
    ),
    "a layer too many": (
        lambda f: rewritten(f, layers=layers_of(f) | {"9": {"rank": 1, "method": "svd"}}),
        "`layer` must be one of '0', '2'; got '9'",
    ),
    "a layer without factors": (
        lambda f: tampered(f, lambda t: [t.pop(f"2.{part}.weight") for part in ("reduce", "expand")]),
        "must hold the factors of every layer of the plan; 2 has none",
    ),
    "half a layer": (
        lambda f: tampered(f, lambda t: t.pop("2.expand.weight")),
        r"must hold the tensors of this Sequential, .* differs in 2\.expand\.weight",
    ),
    "another rank": (
        lambda f: rewritten(f, layers=layers_of(f) | {"0": {"rank": 1, "method": "svd"}}),
        r"differs in 0\.expand\.weight, 0\.reduce\.weight|differs in 0\.reduce\.weight, 0\.expand\.weight",
    ),
    "a rank beyond the layer": (
        lambda f: rewritten(f, layers=layers_of(f) | {"0": {"rank": 99, "method": "svd"}}),
        r"`rank of 0` must be a whole number between 1 and min\(m, n\) = 12",
    ),
    "an unknown method": (
        lambda f: rewritten(f, layers=layers_of(f) | {"0": {"rank": 1, "method": "cp"}}),
        "`method` must be one of 'svd', 'spatial', 'aware', .*; got 'cp'",
    ),
    "a rule that is no word": (lambda f: rewritten(f, rule=[1]), r"the plan's `rule` can't be \[1\]"),
    "a budget that is no number": (lambda f: rewritten(f, budget="x"), "the plan's `budget` can't be 'x'"),
    "deep JSON": (lambda f: (f / "plan.json").write_text("[" * 10**5), "must be the JSON text that `plan.to_json"),
    "a long number": (lambda f: (f / "plan.json").write_text("9" * 5000), "must be the JSON text that `plan.to_json"),
    "a layout that is no JSON": (lambda f: relaid(f, "junk"), LAYOUT),
    "a layout that is a number": (lambda f: relaid(f, "3"), LAYOUT),
    "a layout of numbers": (lambda f: relaid(f, "[3]"), LAYOUT),
    "a layout of unknown tensors": (lambda f: relaid(f, '["9.weight"]'), LAYOUT),
    "whole numbers for weights": (lambda f: tampered(f, whole_numbers), r"differs in 0\.reduce\.weight"),
    "a pair for a layer that is a matrix": (
        lambda f: rewritten(f, layers=layers_of(f) | {"0": {"rank": [1, 1], "method": "tucker"}}),
        "`method of 0` must be one of 'svd', 'aware'; got 'tucker'",
    ),
    "one rank where two are needed": (
        lambda f: rewritten(f, layers=layers_of(f) | {"0": {"rank": 1, "method": "tucker"}}),
        r"`rank` must be a pair for the method 'tucker', \(outputs, inputs\); got 1",
    ),
    "another layer's method": (
        lambda f: rewritten(f, layers=layers_of(f) | {"0": {"rank": 1, "method": "spatial"}}),
        "`method of 0` must be one of 'svd', 'aware'; got 'spatial'",
    ),
}


@pytest.mark.parametrize(("damage", "words"), DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_folder_is_told_and_the_model_left_alone(folder, damage, words, states):
    damage(folder)
    model = built("float32", 9)
    before = states(model)
    with pytest.raises(InputError, match=words):
        restore(folder, model)
    assert states.same(before, states(model))


def test_a_layout_of_a_matrix_is_none(folder):
    expected = restore(folder, built("float32", 9))
    relaid(folder, '["0.reduce.weight"]')
    assert_equal_bit_for_bit(restore(folder, built("float32", 9)), expected)


STRANGERS = {
    "wider": (lambda: nn.Sequential(nn.Linear(12, 30), nn.ReLU(), nn.Linear(30, 12)), r"differs in 0\.\w+\.weight"),
    "longer": (lambda: nn.Sequential(*built("float32", 0), nn.Linear(12, 12)), r"differs in 3\.bias, 3\.weight"),
    "named otherwise": (lambda: nn.Sequential(nn.Flatten(), *built("float32", 0)), "`layer` must be one of '1', '3'"),
    "without layers": (lambda: nn.ReLU(), "`layer` must be one there is, but there is none"),
}


@pytest.mark.parametrize(("build", "words"), STRANGERS.values(), ids=STRANGERS)
def test_a_network_of_another_make_is_told(folder, build, words):
    with pytest.raises(InputError, match=words):
        restore(folder, build())


def put(path, text="mine"):
    path.mkdir(parents=True)
    (path / "thesis.txt").write_text(text)
    return path


UNFIT_FOLDERS = {
    "holds other things": (lambda p: put(p / "net"), "is replaced as a whole; .*net holds thesis.txt"),
    "is a file": (lambda p: (p / "net").write_text("mine"), "is replaced as a whole; .*net is a file"),
    "is a link to nowhere": (
        lambda p: p.joinpath("net").symlink_to("nowhere/at/all"),
        "must be one that can be written",
    ),
}


@pytest.mark.parametrize(("prepare", "words"), UNFIT_FOLDERS.values(), ids=UNFIT_FOLDERS)
def test_what_is_not_ours_is_never_replaced(tmp_path, prepare, words):
    prepare(tmp_path)
    before = [*tmp_path.rglob("*")]
    with pytest.raises(InputError, match=f"`folder` .*{words}"):
        save(*other(), tmp_path / "net")
    assert [*tmp_path.rglob("*")] == before


def test_a_folder_within_a_file(tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(InputError, match=r"`folder` must be one that can be written; .*file/net"):
        save(*other(), tmp_path / "file" / "net")


@pytest.mark.skipif(getattr(os, "geteuid", lambda: 1)() == 0, reason="root may write anywhere")
def test_a_folder_that_cannot_be_written(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(InputError, match=r"`folder` must be one that can be written; .*Permission denied"):
        save(*other(), tmp_path / "net")


def test_an_empty_folder_is_filled(tmp_path):
    (tmp_path / "net").mkdir()
    save(*other(), tmp_path / "net")
    restore(tmp_path / "net", built("float32", 9))


def sparse():
    layer = nn.Linear(12, 12)
    layer.weight = nn.Parameter(layer.weight.detach().to_sparse())
    return layer


class Worded(nn.Linear):
    def get_extra_state(self):
        return "a word"

    def set_extra_state(self, state):
        pass


UNFIT_MODELS = {
    "a word": (lambda: Worded(12, 12), r"1\._extra_state is a str"),
    "sparse": (sparse, r"1\.weight is sparse"),
    "meta": (lambda: nn.Linear(12, 12, device="meta"), r"1\.weight is without values"),
}


@pytest.mark.parametrize(("build", "words"), UNFIT_MODELS.values(), ids=UNFIT_MODELS)
def test_what_cannot_be_written_is_told_before_anything_is(tmp_path, build, words):
    model = nn.Sequential(nn.Linear(12, 12), build())
    with pytest.raises(InputError, match=f"`model` must hold plain tensors only to be saved; {words}"):
        save(model, RankPlan({"0": LayerPlan(2)}, weights_hash(model)), tmp_path / "net")
    assert not [*tmp_path.iterdir()]


def test_a_model_that_the_plan_was_not_made_for(tmp_path):
    _, plan, small = compressed("float32")
    with pytest.raises(
        InputError, match=r"`model` must be the network that the plan .* none of the plan's layers is in"
    ):
        save(built("float32", 5), plan, tmp_path / "net")
    lower = RankPlan({name: LayerPlan(1) for name in plan.layers}, plan.weights)
    with pytest.raises(InputError, match="here 0 has rank"):
        save(small, lower, tmp_path / "net")
    assert not [*tmp_path.iterdir()]


def test_a_dense_network_by_the_aware_method_asks_for_data(tmp_path):
    model, plan, _ = compressed("float64")
    with pytest.raises(InputError, match='`data` must come with the method "aware"'):
        save(model, plan, tmp_path / "net")
