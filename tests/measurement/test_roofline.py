"""Ceilings under times that the test makes: exact rates, measured once and read from then on."""

import json
from dataclasses import asdict, replace

import numpy as np
import pytest
import torch
from torch import nn

from lowrank_kit.checks import InputError
from lowrank_kit.measurement import roofline as room
from lowrank_kit.measurement.latency_table import FOLDER, ceilings_name, read_ceilings
from lowrank_kit.measurement.placement import device_name
from lowrank_kit.measurement.roofline import COPIED, Copied, ceilings, measured_ceilings
from lowrank_kit.models.layers import is_channels_last
from lowrank_kit.records import Ceilings, Timing

HERE = device_name(torch.device("cpu"))
THREADS = torch.get_num_threads()
FOUND = Ceilings(
    HERE, "float32", "ieee", THREADS, torch.__version__, "2026-01-01", 3e9, ((1e3, 4e9), (1e5, 8e9)), 1e-5, 4
)


class Bench:
    """Stands for `latency`: a time by the kind of layer, and a list of what was timed, on what."""

    def __init__(self):
        self.timed = []

    def __call__(self, models, x, *, batch, budget_s):
        (model,) = models
        self.timed.append((model, x.shape, batch, budget_s))
        least = self.least(model)
        # The median is the third of them.
        times = np.array([least * factor for factor in (5, 1, 3, 2, 4)])
        weight = next(model.parameters())
        return [Timing(times, batch, HERE, str(weight.dtype).removeprefix("torch."), "any", 3, precision="tf32")]

    def least(self, model):
        """Half the bytes in KiB for a copy, a second for a linear layer but the smallest, and half a second else."""
        if isinstance(model, Copied):
            return model.source.numel() * model.source.element_size() / 1024
        return 0.5 if isinstance(model, nn.Conv2d) else 1.0 if model.in_features > 8 else 0.25


@pytest.fixture
def bench(monkeypatch):
    found = Bench()
    monkeypatch.setattr(room, "latency", found)
    return found


@pytest.fixture
def counted(monkeypatch):
    """How often ceilings are measured, and in which dtypes."""
    calls = []

    def measured(device, dtype):
        calls.append((device, dtype))
        return replace(FOUND, dtype=dtype, threads=torch.get_num_threads())

    monkeypatch.setattr(room, "measured_ceilings", measured)
    return calls


@pytest.mark.parametrize(("dtype", "itemsize"), [("float32", 4), ("float64", 8), ("bfloat16", 2)])
def test_rates_are_what_was_done_over_the_least_time(bench, dtype, itemsize):
    found = measured_ceilings("cpu", dtype)
    macs = 256 * 256 * 9 * 28 * 28
    assert found.macs_per_s == max(1024**3 / 1.0, 2 * macs / 0.5)
    assert found.copies == tuple((2.0 * size, 2048.0) for size in COPIED)
    assert found.launch_s == 0.75  # a median
    assert (found.dtype, found.itemsize) == (dtype, itemsize)
    assert (found.device, found.threads, found.precision) == (HERE, 3, "tf32")
    assert found.torch == torch.__version__


def test_the_fastest_product_counts(bench, monkeypatch):
    monkeypatch.setattr(bench, "least", lambda model: 2.0 if isinstance(model, nn.Conv2d) else 1.0)
    assert measured_ceilings().macs_per_s == 1024**3
    monkeypatch.setattr(bench, "least", lambda model: 1.0 if getattr(model, "in_features", 0) == 512 else 1e6)
    assert measured_ceilings().macs_per_s == 512**3


def test_what_is_timed_is_large_products_a_convolution_copies_and_the_smallest_layer(bench):
    measured_ceilings("cpu", "float64")
    models = [model for model, *_ in bench.timed]
    assert {next(model.parameters()).dtype for model in models} == {torch.float64}
    products = {(model.in_features, model.out_features, batch) for model, _, batch, _ in linears(bench)}
    assert products == {(512, 512, 512), (1024, 1024, 1024), (8, 8, 1)}
    (conv,) = (model for model in models if isinstance(model, nn.Conv2d))
    assert is_channels_last(conv)
    copied = [model.source.numel() * 8 for model in models if isinstance(model, Copied)]
    assert copied == list(COPIED)
    assert not any(weight.requires_grad for model in models for weight in model.parameters())


def linears(bench):
    return [call for call in bench.timed if isinstance(call[0], nn.Linear)]


def test_layers_run_on_inputs_that_suit_them(bench):
    measured_ceilings()
    assert {(shape, model.in_features) for model, shape, *_ in linears(bench)} == {
        ((1, side), side) for side in (8, 512, 1024)
    }
    (images,) = ((shape, batch) for model, shape, batch, _ in bench.timed if isinstance(model, nn.Conv2d))
    assert images == ((1, 256, 28, 28), 2)


def test_a_copy_is_of_all_its_numbers_whatever_comes_in():
    copied = Copied(7, torch.device("cpu"), torch.float64)
    with torch.no_grad():
        copied.source.copy_(torch.arange(7.0))
    assert copied.target.data_ptr() != copied.source.data_ptr()
    assert copied(torch.ones(1, 1)) is copied.target
    assert torch.equal(copied.target, torch.arange(7.0, dtype=torch.float64))
    assert not copied.target.requires_grad


def test_real_times_make_ceilings_that_can_be_asked(monkeypatch):
    """Small sides and copies, the least number of rounds: nothing is said of the times but that there are some."""
    monkeypatch.setattr(room, "SIDES", {"cpu": (16,)})
    monkeypatch.setattr(room, "COPIED", (2**10, 2**12))
    monkeypatch.setattr(room, "CONVOLUTION", replace(room.CONVOLUTION, outputs=8, inputs=8))
    monkeypatch.setattr(room, "BUDGET_S", 0.0)
    found = measured_ceilings("cpu", "float64")
    assert found.device == HERE
    assert found.threads == torch.get_num_threads()
    assert (found.dtype, found.precision, found.itemsize) == ("float64", "ieee", 8)
    assert [size for size, _ in found.copies] == [2**11, 2**13]
    assert found.bound_s([room.CONVOLUTION], 4) > 0
    assert found.launch_s > 0


def test_ceilings_are_measured_once_and_read_from_then_on(counted, tmp_path):
    first = ceilings(folder=tmp_path / "a" / "b")
    assert ceilings(folder=tmp_path / "a" / "b") == first == FOUND
    assert counted == [("cpu", "float32")]


def test_every_dtype_and_precision_has_its_own_file(counted, tmp_path, monkeypatch):
    ceilings(folder=tmp_path)
    assert ceilings(dtype="float64", folder=tmp_path).dtype == "float64"
    monkeypatch.setattr(room, "precision_of", lambda device, dtype: "tf32")
    ceilings(folder=tmp_path)
    assert counted == [("cpu", "float32"), ("cpu", "float64"), ("cpu", "float32")]
    names = {ceilings_name(HERE, *pair) for pair in (("float32", "ieee"), ("float64", "ieee"), ("float32", "tf32"))}
    assert {path.name for path in tmp_path.iterdir()} == names
    ceilings(folder=tmp_path)
    assert len(counted) == 3


def test_with_other_threads_they_are_measured_anew_in_place_of_the_kept_ones(counted, tmp_path, monkeypatch):
    ceilings(folder=tmp_path)
    monkeypatch.setattr(torch, "get_num_threads", lambda: THREADS + 1)
    assert ceilings(folder=tmp_path) == ceilings(folder=tmp_path) == replace(FOUND, threads=THREADS + 1)
    assert len(counted) == 2
    assert len([*tmp_path.iterdir()]) == 1


def test_those_of_another_torch_are_measured_anew(counted, tmp_path):
    ceilings(folder=tmp_path)
    (path,) = tmp_path.iterdir()
    path.write_text(json.dumps({**asdict(FOUND), "torch": "1.0"}), encoding="utf-8")
    assert ceilings(folder=tmp_path) == FOUND
    assert read_ceilings(path, HERE) == FOUND
    assert len(counted) == 2


def test_they_are_kept_where_the_boards_look():
    assert ceilings.__kwdefaults__["folder"] is FOLDER
    assert FOLDER.is_absolute()


def test_the_file_is_read_by_people_and_holds_everything(counted, tmp_path):
    ceilings(folder=tmp_path)
    (path,) = tmp_path.iterdir()
    text = path.read_text(encoding="utf-8")
    assert text.endswith("}\n")
    assert json.loads(text) == json.loads(json.dumps(asdict(FOUND)))
    assert read_ceilings(path, HERE) == FOUND
    assert isinstance(read_ceilings(path, HERE).copies[0], tuple)


def test_a_file_is_there_whole_or_not_at_all(counted, tmp_path, monkeypatch):
    """A measuring that fails, or a writing that stops in the middle, leaves nothing behind; the next one measures."""

    def fails(*_):
        raise OSError("no room")

    def stops(path, text, **_):
        path.write_bytes(text.encode()[:20])
        fails()

    with monkeypatch.context() as broken, pytest.raises(OSError, match="no room"):
        broken.setattr(room.Path, "write_text", stops)
        ceilings(folder=tmp_path)
    with monkeypatch.context() as broken, pytest.raises(OSError, match="no room"):
        broken.setattr(room, "measured_ceilings", fails)
        ceilings(folder=tmp_path)
    assert [*tmp_path.iterdir()] == []
    assert ceilings(folder=tmp_path) == FOUND


def test_another_devices_file_is_refused(counted, tmp_path):
    ceilings(folder=tmp_path)
    (path,) = tmp_path.iterdir()
    path.write_text(json.dumps({**asdict(FOUND), "device": "another processor"}), encoding="utf-8")
    with pytest.raises(InputError, match=r"holds the ceilings of another processor, not of .*; delete it") as fault:
        ceilings(folder=tmp_path)
    assert str(path) in str(fault.value)
    assert HERE in str(fault.value)
    assert len(counted) == 1


WORDS = asdict(FOUND)
DAMAGED = {
    "empty": "",
    "cut": json.dumps(WORDS)[:-9],
    "no object": "[1, 2]",
    "a number": "3",
    "less": json.dumps({name: value for name, value in WORDS.items() if name != "launch_s"}),
    "no copies": json.dumps({name: value for name, value in WORDS.items() if name != "copies"}),
    "more": json.dumps({**WORDS, "colour": "red"}),
    "empty copies": json.dumps({**WORDS, "copies": []}),
    "copies without rates": json.dumps({**WORDS, "copies": [[1.0], [2.0]]}),
    "copies that are no numbers": json.dumps({**WORDS, "copies": [[1.0, "fast"]]}),
}


@pytest.mark.parametrize("text", DAMAGED.values(), ids=DAMAGED)
def test_a_damaged_file_is_told(counted, tmp_path, text):
    ceilings(folder=tmp_path)
    (path,) = tmp_path.iterdir()
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match="must hold ceilings that were measured; delete it to measure anew") as fault:
        ceilings(folder=tmp_path)
    assert str(path) in str(fault.value)
    path.unlink()
    assert ceilings(folder=tmp_path) == FOUND
    assert len(counted) == 2


def test_bytes_that_are_no_text_and_a_missing_file_are_told(tmp_path):
    path = tmp_path / "ceilings.json"
    for _ in range(2):
        with pytest.raises(InputError, match="must hold ceilings"):
            read_ceilings(path, HERE)
        path.write_bytes(b"\xff\xfe\x00")
