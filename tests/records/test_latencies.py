"""A recorded time is read as it was written, and tells its layer's shape and plan."""

from dataclasses import fields, replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lowrank_kit.checks import InputError
from lowrank_kit.records import LayerPlan, LayerShape, RecordedTime, Timing

NAMES = [field.name for field in fields(RecordedTime)]
ROW = RecordedTime(
    device="a device",
    driver="1.2.3",
    torch="2.0",
    date="2024-02-29",
    network="a network",
    layer="conv1",
    outputs=64,
    inputs=32,
    kernel=(3, 5),
    size=(28, 20),
    out_size=(14, 10),
    groups=2,
    method="svd",
    ranks=(8,),
    fraction=0.125,
    batch=32,
    dtype="bfloat16",
    precision="ieee",
    layout="channels_last",
    mode="graph",
    threads=1,
    p05_s=1e-6,
    p25_s=2e-6,
    median_s=3.142e-6,
    p75_s=4e-5,
    p95_s=5.0,
    rounds=101,
    busy=0.0,
    setup_s=12.5,
)
NETWORK = replace(ROW, layer="", outputs=0, inputs=0, kernel=(), size=(), out_size=(), groups=1, ranks=())

# As many digits as are kept.
numbers = st.floats(allow_nan=False, allow_infinity=False).map(lambda value: float(f"{value:.4g}"))
VALUES = {
    str: st.text(),
    int: st.integers(0, 10**12),
    float: numbers,
    tuple[int, ...]: st.lists(st.integers(0, 10**6), max_size=3).map(tuple),
}
rows = st.builds(RecordedTime, **{field.name: VALUES[field.type] for field in fields(RecordedTime)})


@given(rows)
def test_any_row_is_read_as_it_was_written(row):
    text = row.to_text()
    assert list(text) == NAMES
    assert all(isinstance(value, str) for value in text.values())
    assert RecordedTime.from_text(text) == row


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_what_was_read_once_is_written_alike(value):
    text = replace(ROW, busy=value).to_text()
    assert RecordedTime.from_text(text).to_text() == text
    assert float(text["busy"]) == pytest.approx(value, rel=1e-5)


def test_text_is_what_a_person_would_write():
    text = ROW.to_text()
    assert (text["kernel"], text["ranks"], text["fraction"], text["median_s"]) == ("3x5", "8", "0.125", "3.142e-06")
    assert (text["rounds"], text["busy"], text["setup_s"]) == ("101", "0", "12.5")
    assert NETWORK.to_text()["kernel"] == ""


@pytest.mark.parametrize("name", NAMES)
def test_a_missing_column_is_named(name):
    text = ROW.to_text()
    del text[name]
    with pytest.raises(InputError, match=rf"other columns; missing: \['{name}'\], foreign: \[\]"):
        RecordedTime.from_text(text)


def test_a_foreign_column_is_named():
    with pytest.raises(InputError, match=r"missing: \[\], foreign: \['colour'\]"):
        RecordedTime.from_text({**ROW.to_text(), "colour": "red"})


def test_a_renamed_column_is_missing_and_foreign():
    text = {("median" if name == "median_s" else name): value for name, value in ROW.to_text().items()}
    with pytest.raises(InputError, match=r"missing: \['median_s'\], foreign: \['median'\]"):
        RecordedTime.from_text(text)


@pytest.mark.parametrize(
    ("name", "value", "quoted"),
    [
        ("outputs", "many", "'many'"),
        ("outputs", "6.5", "'6.5'"),
        ("batch", "", "''"),
        ("median_s", "fast", "'fast'"),
        ("p05_s", "", "''"),
        ("kernel", "3x", "''"),
        ("kernel", "3*3", "'3*3'"),
        ("ranks", "8, 8", "'8, 8'"),
    ],
)
def test_a_value_that_cannot_be_read_is_quoted(name, value, quoted):
    with pytest.raises(InputError, match="has a line that can't be read") as fault:
        RecordedTime.from_text({**ROW.to_text(), name: value})
    assert quoted in str(fault.value)


@pytest.mark.parametrize("name", ["setup_s", "rounds"])
def test_a_line_that_ends_too_early_cannot_be_read(name):
    """CSV readers put None where a line has no more to give."""
    with pytest.raises(InputError, match="has a line that can't be read"):
        RecordedTime.from_text({**ROW.to_text(), name: None})


def test_the_shape_is_the_layers_and_a_network_has_none():
    assert ROW.shape == LayerShape(64, 32, (3, 5), (28, 20), (14, 10), 2)
    assert replace(ROW, kernel=(), size=(7,), out_size=(7,), groups=1).shape == LayerShape(64, 32, (), (7,), (7,))
    assert NETWORK.shape is None


@pytest.mark.parametrize(
    ("method", "ranks", "plan"),
    [
        ("dense", (), None),
        ("svd", (8,), LayerPlan(8)),
        ("spatial", (8,), LayerPlan(8, "spatial")),
        ("tucker", (8, 4), LayerPlan((8, 4), "tucker")),
    ],
)
def test_the_plan_is_the_one_that_was_timed(method, ranks, plan):
    assert replace(ROW, method=method, ranks=ranks).plan == plan
    assert replace(NETWORK, method=method).plan is None


def test_conditions_are_those_of_a_timing_and_say_nothing_of_the_layer():
    timing = Timing(np.ones(3), 32, "a device", "bfloat16", "channels_last", 1, mode="graph")
    assert ROW.conditions == timing.conditions
    assert replace(ROW, layer="another", method="dense", median_s=1.0, busy=0.9).conditions == ROW.conditions


@pytest.mark.parametrize("name", ["device", "batch", "dtype", "precision", "layout", "mode", "threads"])
def test_every_condition_counts(name):
    other = replace(ROW, **{name: 7 if name in ("batch", "threads") else "other"})
    assert {key for key, value in other.conditions.items() if ROW.conditions[key] != value} == {name}


def test_a_timing_becomes_a_row_in_four_digits():
    raw = np.array([1.23456, 2.34567, 3.45678]) * 1e-3
    timing = Timing(raw, 32, "a device", "bfloat16", "channels_last", 1, 0.123456, "graph", "ieee", 12.3456)
    told = {name: getattr(ROW, name) for name in NAMES if name not in timing.to_row()}
    found = RecordedTime.of(timing, **told)
    assert (found.median_s, found.p25_s, found.busy, found.setup_s) == (2.346e-3, 1.79e-3, 0.1235, 12.35)
    assert found.rounds == 3
    assert found.conditions == timing.conditions
    assert {name: getattr(found, name) for name in told} == told
    assert RecordedTime.from_text(found.to_text()) == found


def test_a_row_without_its_layer_cannot_be_built():
    with pytest.raises(TypeError):
        RecordedTime.of(Timing(np.ones(3), 1, "cpu", "float32", "contiguous", 1), network="a network")
