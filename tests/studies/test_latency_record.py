"""Recording with times that the test gives: every row is exact, and none is taken twice."""

from collections import OrderedDict
from dataclasses import replace
from datetime import datetime
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from lowrank_kit.checks import InputError
from lowrank_kit.measurement import roofline
from lowrank_kit.measurement.latency_table import read_table, write_table
from lowrank_kit.models.low_rank import LowRank
from lowrank_kit.models.running import layout_of, weight_of
from lowrank_kit.models.tucker import Tucker
from lowrank_kit.models.vision import Residual
from lowrank_kit.records import Ceilings, Layer, LayerPlan, LayerShape, RecordedTime, Timing
from lowrank_kit.studies import latency_record
from lowrank_kit.studies.latency_jobs import Job, Setting, Variant
from lowrank_kit.studies.latency_record import record

CONV = LayerShape(8, 6, (3, 3), (7, 6), (7, 6))
POINT = LayerShape(8, 6, (1, 1), (7, 6), (7, 6))
GROUPED = LayerShape(8, 8, (3, 3), (7, 6), (4, 3), 2)
LINEAR = LayerShape(10, 12, (), (4,), (4,))
VARIANTS = (Variant(), Variant("svd", 0.5), Variant("tucker", 0.5))
EAGER = Setting(2, "float32")


def job(name="conv", shape=CONV, setting=EAGER, variants=VARIANTS):
    return Job("net", Layer("net", name, shape), setting, variants)


def pairs(name, shape, setting=EAGER):
    return job(name, shape, setting, VARIANTS[:2])


def tiny():
    """A residual network with a shortcut, which is a matrix whatever is asked."""
    stem, head = nn.Conv2d(3, 6, 3, padding=1), nn.Linear(8, 4)
    behind = [("block", Residual(6, 8, stride=2)), ("mean", nn.AdaptiveAvgPool2d(1)), ("flatten", nn.Flatten())]
    return nn.Sequential(OrderedDict([("stem", stem), *behind, ("head", head)]))


class Timer:
    """In place of the clock: the k-th network of a job takes k + 1 milliseconds, in three rounds."""

    def __init__(self):
        self.calls, self.models, self.inputs, self.tf32, self.faults = [], [], [], [], {}

    def __call__(self, models, x, *, batch, budget_s, mode):
        self.calls.append((batch, round(budget_s / len(models), 9), mode))
        self.models.append(models)
        self.inputs.append(x[0])
        assert len(x) == len(models)
        self.tf32.append((torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32))
        if len(self.calls) in self.faults:
            raise self.faults[len(self.calls)]
        return [self.timing(number, model, batch, mode) for number, model in enumerate(models, 1)]

    def timing(self, number, model, batch, mode):
        raw, dtype = number * np.array([0.5, 1.0, 2.0]) * 1e-3, str(weight_of(model).dtype).removeprefix("torch.")
        precision = "tf32" if self.tf32[-1] == (True, True) else "ieee"
        return Timing(raw, batch, "a device", dtype, layout_of(model), 1, 0.25, mode, precision, 1.5)


@pytest.fixture
def timer(monkeypatch):
    found = Timer()
    monkeypatch.setattr(latency_record, "latency", found)
    monkeypatch.setattr(latency_record, "device_name", lambda device: "a device")
    monkeypatch.setattr(latency_record, "vision", SimpleNamespace(tiny=tiny))
    return found


@pytest.fixture
def clock(timer, monkeypatch):
    """Seconds that pass while jobs are timed: as many for each as `takes` says."""
    found = SimpleNamespace(now=100.0, takes=30.0)

    def timed(*args, **kwargs):
        found.now += found.takes
        return timer(*args, **kwargs)

    monkeypatch.setattr(latency_record, "latency", timed)
    monkeypatch.setattr(latency_record, "time", SimpleNamespace(monotonic=lambda: found.now))
    return found


@pytest.fixture
def recorded(tmp_path):
    """jobs -> the rows that are in the table afterwards."""

    def rows(*asked, **options):
        path = record(tmp_path, asked=asked, **{"tell": lambda line: None, **options})
        return read_table(path) if path.exists() else ()

    return rows


def test_rows_hold_what_was_timed_where_and_how(timer, recorded):
    before, rows, after = datetime.now().date(), recorded(job()), datetime.now().date()
    days = {datetime.strptime(row.date, "%Y-%m-%d").date() for row in rows}
    assert len(days) == 1
    assert (before - days.pop()).days <= 1 >= (after - before).days
    dense = RecordedTime(
        device="a device",
        driver="",
        torch=torch.__version__,
        date=rows[0].date,
        network="net",
        layer="conv",
        outputs=8,
        inputs=6,
        kernel=(3, 3),
        size=(7, 6),
        out_size=(7, 6),
        groups=1,
        method="dense",
        ranks=(),
        fraction=1.0,
        batch=2,
        dtype="float32",
        precision="ieee",
        layout="channels_last",
        mode="eager",
        threads=1,
        p05_s=0.55e-3,
        p25_s=0.75e-3,
        median_s=1e-3,
        p75_s=1.5e-3,
        p95_s=1.9e-3,
        rounds=3,
        busy=0.25,
        setup_s=1.5,
    )
    twice = {"p05_s": 1.1e-3, "p25_s": 1.5e-3, "median_s": 2e-3, "p75_s": 3e-3, "p95_s": 3.8e-3}
    thrice = {"p05_s": 1.65e-3, "p25_s": 2.25e-3, "median_s": 3e-3, "p75_s": 4.5e-3, "p95_s": 5.7e-3}
    assert rows == (
        dense,
        replace(dense, method="svd", ranks=(4,), fraction=0.5, **twice),
        replace(dense, method="tucker", ranks=(4, 3), fraction=0.5, **thrice),
    )
    assert [row.shape for row in rows] == [CONV] * 3
    assert [row.plan for row in rows] == [None, LayerPlan(4), LayerPlan((4, 3), "tucker")]


def test_the_table_is_named_after_the_device(timer, tmp_path):
    path = record(tmp_path / "new" / "folder", asked=[job()], tell=lambda line: None)
    assert path == tmp_path / "new" / "folder" / "a-device.csv"
    assert path.is_file()


def test_networks_are_timed_as_the_job_says(timer, recorded):
    recorded(job(), pairs("linear", LINEAR, Setting(4, "bfloat16", "contiguous", "compiled")))
    budget_s = latency_record.BUDGET_S["cpu"]
    assert timer.calls == [(2, budget_s, "eager"), (4, budget_s, "compiled")]
    (dense, svd, tucker), (plain, pair) = timer.models
    assert (type(dense), type(svd), type(tucker)) == (nn.Conv2d, LowRank, Tucker)
    assert (type(plain), type(pair)) == (nn.Linear, LowRank)
    assert (svd.reduce.out_channels, tucker.ranks, pair.reduce.out_features) == (4, (4, 3), 5)
    assert {weight.dtype for weight in (*plain.parameters(), *pair.parameters())} == {torch.bfloat16}
    assert {layout_of(model) for model in timer.models[0]} == {"channels_last"}
    assert [x.shape[1:] for x in timer.inputs] == [(6, 7, 6), (4, 12)]


def test_no_factor_is_zero_and_a_dense_layer_is_not_its_blocks(timer, recorded):
    recorded(job(), Job("tiny-32", None, EAGER, VARIANTS))
    for model in (model for models in timer.models for model in models):
        assert all(bool((weight != 0).all()) for weight in model.parameters() if weight.ndim > 1)
        assert not any(weight.requires_grad for weight in model.parameters())
    dense, *compressed = timer.models[1]
    ours = {weight.data_ptr() for weight in dense.parameters()}
    assert all(ours.isdisjoint(weight.data_ptr() for weight in model.parameters()) for model in compressed)


def test_a_whole_network_is_cut_between_its_first_and_its_last_layer(timer, recorded):
    rows = recorded(Job("tiny-32", None, EAGER, VARIANTS))
    dense, svd, tucker = timer.models[0]
    assert not any(isinstance(module, LowRank) for module in dense.modules())
    for model, kind in ((svd, LowRank), (tucker, Tucker)):
        assert (type(model.stem), type(model.head)) == (nn.Conv2d, nn.Linear)
        assert (type(model.block.conv1), type(model.block.conv2)) == (kind, kind)
        assert type(model.block.shortcut.conv) is LowRank
    assert (tucker.block.conv1.ranks, tucker.block.conv2.ranks) == ((4, 3), (4, 4))
    assert svd.block.conv2.reduce.out_channels == 4
    assert timer.inputs[0].shape[1:] == (3, 32, 32)

    assert [(row.network, row.layer, row.method, row.ranks, row.fraction) for row in rows] == [
        ("tiny-32", "", "dense", (), 1.0),
        ("tiny-32", "", "svd", (), 0.5),
        ("tiny-32", "", "tucker", (), 0.5),
    ]
    assert {row.shape for row in rows} == {row.plan for row in rows} == {None}
    assert {(row.outputs, row.inputs, row.kernel, row.size, row.out_size) for row in rows} == {(0, 0, (), (), ())}


def test_a_whole_network_puts_out_finite_numbers(timer, recorded):
    recorded(Job("tiny-32", None, EAGER, VARIANTS))
    for model in timer.models[0]:
        assert bool(model(torch.from_numpy(timer.inputs[0])).isfinite().all())


MANY = [
    job(),
    pairs("point", POINT),
    pairs("point", POINT, replace(EAGER, layout="contiguous")),
    pairs("grouped", GROUPED),
    pairs("linear", LINEAR, replace(EAGER, layout="contiguous")),
    pairs("linear", LINEAR, Setting(2, "bfloat16", "contiguous", "compiled")),
    Job("tiny-32", None, EAGER, VARIANTS),
    Job("tiny-32", None, replace(EAGER, layout="contiguous"), VARIANTS[:2]),
]


def test_what_is_there_is_not_timed_again(timer, recorded):
    first = recorded(*MANY)
    assert len(timer.calls) == len(MANY)
    assert len(first) == sum(len(asked.variants) for asked in MANY)
    assert recorded(*MANY) == first
    assert len(timer.calls) == len(MANY)
    assert recorded(*MANY, job("another"))[: len(first)] == first
    assert len(timer.calls) == len(MANY) + 1


def test_what_is_lacking_is_timed_and_told_of(timer, recorded):
    recorded(MANY[1], MANY[4])
    told = []
    recorded(*MANY[:5], tell=told.append)
    assert told == [
        "1 of 3: net conv 2 float32 ieee channels_last eager",
        "2 of 3: net point 2 float32 ieee contiguous eager",
        "3 of 3: net grouped 2 float32 ieee channels_last eager",
    ]


def test_ctrl_c_keeps_the_jobs_before_it(timer, recorded, tmp_path):
    timer.faults[2] = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        recorded(*MANY[:3])
    rows = read_table(tmp_path / "a-device.csv")
    assert [row.layer for row in rows] == ["conv"] * 3
    assert {row.layer for row in recorded(*MANY[:3])} == {"conv", "point"}
    assert len(timer.calls) == 4, "the first job was timed again"


def test_ctrl_c_between_two_rows_keeps_no_half_of_a_job(timer, recorded, tmp_path, monkeypatch):
    """The other half would never be timed, since the job is there."""
    made = []

    def interrupted(timing, **told):
        made.append(told)
        if len(made) == 5:
            raise KeyboardInterrupt
        return RecordedTime.of(timing, **told)

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(latency_record, "RecordedTime", SimpleNamespace(of=interrupted))
        recorded(*MANY[:2])
    assert [row.layer for row in read_table(tmp_path / "a-device.csv")] == ["conv"] * 3


def test_ctrl_c_in_the_first_job_leaves_no_table(timer, recorded, tmp_path):
    timer.faults[1] = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        recorded(job())
    assert [*tmp_path.iterdir()] == []


def test_a_bug_is_not_hidden_and_costs_nothing_that_was_timed(timer, recorded, tmp_path):
    timer.faults[2] = ZeroDivisionError()
    with pytest.raises(ZeroDivisionError):
        recorded(*MANY[:3])
    assert len(read_table(tmp_path / "a-device.csv")) == 3


@pytest.mark.parametrize(
    "fault", [InputError("`mode` does not work here."), torch.OutOfMemoryError("out of memory")], ids=["mode", "memory"]
)
def test_a_job_that_does_not_work_here_is_told_of_and_left_out(fault, timer, recorded):
    timer.faults[2] = fault
    told = []
    rows = recorded(*MANY[:4], tell=told.append)
    assert list(dict.fromkeys(row.layer for row in rows)) == ["conv", "point", "grouped"]
    assert told[2] == f"  left out: {fault}"
    assert [line[:6] for line in told] == ["1 of 4", "2 of 4", "  left", "3 of 4", "4 of 4"]
    assert {row.layout for row in rows if row.layer == "point"} == {"contiguous"}
    recorded(*MANY[:4])
    assert len(timer.calls) == 5, "it is tried again the next time"


def test_no_job_is_begun_after_the_minutes(clock, recorded):
    """Jobs of half a minute begin at 0 and 30 seconds."""
    rows = recorded(*MANY, minutes=1)
    assert list(dict.fromkeys((row.layer, row.layout) for row in rows)) == [
        ("conv", "channels_last"),
        ("point", "channels_last"),
    ]


def test_without_minutes_nothing_is_begun_and_no_table_made(timer, recorded, tmp_path):
    told = []
    assert recorded(*MANY, minutes=0, tell=told.append) == ()
    assert (timer.calls, told, [*tmp_path.iterdir()]) == ([], [], [])


@pytest.mark.parametrize("minutes", [-1, float("nan")])
def test_minutes_that_are_none(recorded, minutes):
    with pytest.raises(InputError, match=f"`minutes` must be a number of at least 0; got {minutes}"):
        recorded(*MANY, minutes=minutes)


def test_the_table_is_written_while_jobs_go_on(clock, timer, recorded, tmp_path, monkeypatch):
    clock.takes = latency_record.EVERY_S * 0.6
    path, lengths = tmp_path / "a-device.csv", []
    monkeypatch.setattr(timer, "calls", Watched(lambda: lengths.append(len(read_table(path)) if path.exists() else 0)))
    recorded(*[job(str(number)) for number in range(5)])
    assert lengths == [0, 0, 6, 6, 12]


class Watched(list):
    """A list that tells when it grows."""

    def __init__(self, tell):
        super().__init__()
        self.tell = tell

    def append(self, item):
        self.tell()
        super().append(item)


@pytest.fixture
def backends():
    """Whose products of float32 may be taken otherwise; as before afterwards."""
    found = torch.backends.cuda.matmul, torch.backends.cudnn
    before = [backend.allow_tf32 for backend in found]
    yield found
    for backend, was in zip(found, before, strict=True):
        backend.allow_tf32 = was


@pytest.mark.parametrize("precision", ["ieee", "tf32"])
@pytest.mark.parametrize("before", [True, False])
@pytest.mark.parametrize("fault", [None, InputError("no"), KeyboardInterrupt()], ids=["none", "input", "interrupt"])
def test_products_are_taken_as_asked_and_as_before_afterwards(precision, before, fault, timer, recorded, backends):
    backends[0].allow_tf32, backends[1].allow_tf32 = before, not before
    if fault:
        timer.faults[1] = fault
    try:
        rows = recorded(job(setting=replace(EAGER, precision=precision)))
    except KeyboardInterrupt:
        rows = ()
    assert timer.tf32 == [(precision == "tf32",) * 2]
    assert [backend.allow_tf32 for backend in backends] == [before, not before]
    assert {row.precision for row in rows} == (set() if fault else {precision})


def test_a_device_that_is_not_there_is_named(monkeypatch, tmp_path):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(InputError, match="`device` can't be 'cuda': PyTorch finds no CUDA device here"):
        record(tmp_path, "cuda", asked=[])
    with pytest.raises(InputError, match="`device` must be one of 'cpu', 'cuda'; got 'gpu'"):
        record(tmp_path, "gpu", asked=[])
    assert [*tmp_path.iterdir()] == []


def test_a_file_that_is_no_table_stays_as_it_is(timer, recorded, tmp_path):
    path = tmp_path / "a-device.csv"
    path.write_text("my,own\n1,2\n")
    with pytest.raises(InputError, match="other columns"):
        recorded(job())
    assert path.read_text() == "my,own\n1,2\n"
    assert timer.calls == []


def test_rows_of_others_stay_in_the_table(timer, recorded, tmp_path):
    recorded(job())
    (path,) = tmp_path.iterdir()
    older = [replace(row, torch="1.0", network="another") for row in read_table(path)]
    write_table(path, older)
    assert recorded(job())[:3] == tuple(older)
    assert len(read_table(path)) == 6


def test_by_default_the_devices_own_jobs_are_asked(timer, tmp_path, monkeypatch):
    monkeypatch.setattr(latency_record, "jobs", lambda device: iter([job(f"of the {device}")]))
    rows = read_table(record(tmp_path, tell=lambda line: None))
    assert {row.layer for row in rows} == {"of the cpu"}


def test_nothing_is_written_where_nothing_is_asked(timer, recorded, tmp_path):
    assert recorded() == ()
    assert [*tmp_path.iterdir()] == []


@pytest.mark.parametrize("asked", [job(), pairs("linear", LINEAR, Setting(1, "bfloat16", "contiguous"))], ids=str)
def test_a_real_clock_gives_rows_of_this_machine(asked, tmp_path, monkeypatch):
    monkeypatch.setattr(latency_record, "BUDGET_S", {"cpu": 0.01})
    path = record(tmp_path, asked=[asked], tell=lambda line: None)
    rows = read_table(path)
    assert [row.method for row in rows] == [variant.method for variant in asked.variants]
    assert {(row.layer, row.batch, row.dtype, row.layout) for row in rows} == {
        (asked.layer.name, asked.setting.batch, asked.setting.dtype, asked.setting.layout)
    }
    assert all(row.rounds >= 5 and 0 < row.p05_s <= row.median_s <= row.p95_s for row in rows)
    assert record(tmp_path, asked=[asked], tell=pytest.fail) == path


def test_a_driver_is_asked_of_its_program(monkeypatch):
    calls = []

    def told(command, **options):
        calls.append(command[0])
        return SimpleNamespace(stdout="550.54.15\n550.54.15\n")

    monkeypatch.setattr(latency_record.subprocess, "run", told)
    asked = latency_record._driver.__wrapped__
    assert (asked("cuda"), asked("cpu")) == ("550.54.15", "")
    assert calls == ["nvidia-smi"]


def test_a_machine_without_the_drivers_program_has_no_version_of_it(monkeypatch):
    def absent(*args, **kwargs):
        raise FileNotFoundError("nvidia-smi")

    monkeypatch.setattr(latency_record.subprocess, "run", absent)
    assert latency_record._driver.__wrapped__("cuda") == ""


def test_ceilings_are_measured_once_for_every_dtype_and_precision(tmp_path, monkeypatch):
    asked, told = [], []

    def measured(device, dtype):
        asked.append((device, dtype, torch.backends.cudnn.allow_tf32))
        here = (torch.get_num_threads(), torch.__version__)
        return Ceilings("a device", dtype, "ieee", *here, "today", 1e9, ((1.0, 1e9),), 1e-6, 4)

    monkeypatch.setattr(roofline, "measured_ceilings", measured)
    monkeypatch.setattr(roofline, "device_name", lambda _: "a device")
    for _ in range(2):
        latency_record.keep_ceilings(tmp_path, tell=told.append)
    assert asked == [("cpu", "float32", False), ("cpu", "bfloat16", False)]
    assert told == ["ceilings, float32 ieee", "ceilings, bfloat16 ieee"] * 2
    assert {path.name for path in tmp_path.iterdir()} == {
        "a-device-float32-ieee.json",
        "a-device-bfloat16-ieee.json",
    }


def test_rivals_of_low_rank_have_inputs_and_names_of_their_own(recorded, timer, monkeypatch):
    given = []
    monkeypatch.setattr(latency_record, "latency", lambda models, x, **how: given.append(x) or timer(models, x, **how))
    layer = Layer("net", "conv", CONV)
    narrow = Job("net", layer, Setting(1, "float32"), (Variant(), Variant("narrow", 0.5)))
    quantised = Job("net", layer, Setting(1, "int8", "contiguous"), (Variant(),))
    rows = recorded(narrow, quantised)
    assert [(row.method, row.fraction, row.dtype, row.layout) for row in rows] == [
        ("dense", 1, "float32", "channels_last"),
        ("narrow", 0.5, "float32", "channels_last"),
        ("dense", 1, "int8", "contiguous"),
    ]
    assert [row.forms for row in rows] == [(CONV,), (CONV.narrowed(0.5),), (CONV,)]
    assert [x.shape[1] for x in given[0]] == [CONV.inputs, CONV.narrowed(0.5).inputs]
    recorded(narrow, quantised)
    assert len(given) == 2, "both are there"
