"""A table of one device tells under which conditions it holds what, and refuses what belongs to another."""

from dataclasses import replace

import pytest

from lowrank_kit.checks import InputError
from lowrank_kit.records import Conditions, LatencyTable, LayerShape
from tests.known_times import CPU, GPU, known_row, known_table

FIRST, OTHER, HALF = CPU.conditions
CONV, LINEAR = LayerShape(32, 16, (3, 3), (8, 8), (8, 8)), LayerShape(24, 48)


@pytest.fixture(scope="module")
def table():
    return known_table(CPU)


def row(shape=CONV, conditions=FIRST, **told):
    return known_row(CPU, conditions, shape, 1e-3, **told)


@pytest.mark.parametrize(
    ("conditions", "words"),
    [
        (FIRST, "float32 · channels_last · eager · 1 thread"),
        (HALF._replace(threads=4), "bfloat16 · channels_last · eager · 4 threads"),
        (GPU.conditions[1], "tf32 · channels_last · eager · 1 thread"),
    ],
)
def test_conditions_read_as_one_would_say_them(conditions, words):
    assert str(conditions) == words


def test_a_table_is_of_its_device(table):
    assert (table.device, table.torch, table.date, table.is_gpu, table.tile) == (
        "a processor", "2.9", "2026-01-02", False, 16,
    )  # fmt: skip
    assert (known_table(GPU).is_gpu, known_table(GPU).tile) == (True, 64)


def test_it_is_as_old_as_its_newest_row(table):
    days = ("2025-12-31", "2026-01-01", "2024-06-01")
    found = LatencyTable(tuple(row(date=day, torch=day) for day in days), table.roofs)
    assert (found.date, found.torch) == ("2026-01-01", "2024-06-01")


@pytest.mark.parametrize("device", [CPU, GPU], ids=lambda d: d.name)
def test_conditions_are_those_that_a_model_can_be_fitted_under(device):
    assert known_table(device).conditions == device.conditions


def test_conditions_without_ceilings_or_convolutions_fitted_on_are_none(table):
    fitted, linear = row(network="fitted"), row(LINEAR, network="fitted")
    told = {
        "no ceilings": row(network="fitted", dtype="float64"),
        "other threads": row(network="fitted", threads=2),
        "other precision": row(network="fitted", precision="tf32"),
        "held out": row(conditions=OTHER, network="held-out"),
        "linear": replace(linear, dtype="bfloat16"),
    }
    found = LatencyTable((linear, *told.values(), fitted), table.roofs)
    assert found.conditions == (FIRST,)
    assert LatencyTable((linear,), table.roofs).conditions == ()
    assert LatencyTable((fitted,), ()).conditions == ()


def test_rows_under_conditions_are_those_of_convolutions_and_of_all_linear_layers(table):
    conv, linear, contiguous = row(), row(LINEAR), row(conditions=OTHER)
    network = row(layer="", outputs=0, inputs=0, kernel=(), size=(), out_size=(), layout="contiguous")
    others = [row(dtype="bfloat16"), row(LINEAR, dtype="bfloat16"), row(mode="graph"), row(threads=2), network]
    found = LatencyTable((conv, *others, linear, contiguous), table.roofs)
    assert linear.layout == "contiguous"
    assert found.under(FIRST) == [conv, linear]
    assert found.under(OTHER, "net") == found.under(OTHER) == [linear, contiguous]
    assert found.under(FIRST, "net") == [conv, linear]
    assert found.under(FIRST, "another net") == []


@pytest.mark.parametrize("conditions", CPU.conditions, ids=str)
def test_a_network_is_asked_for_alone(table, conditions):
    found = table.under(conditions, "held-out")
    assert {found.network for found in found} == {"held-out"}
    assert len(found) == 2 * 4 * 3
    assert all(found.layout == conditions.layout for found in found if not found.shape.is_linear)


def test_all_rows_of_a_layer_at_a_batch_are_there_whatever_the_conditions(table):
    found = table.of("resnet50", "layer3.1.conv2", 32)
    assert {(row.network, row.layer, row.batch) for row in found} == {("resnet50", "layer3.1.conv2", 32)}
    assert {row.method for row in found} == {"dense", "svd", "tucker", "narrow"}
    assert {row.dtype for row in found} == {"float32", "int8"}
    assert len(found) == 8
    assert table.of("resnet50", "layer3.1.conv2", 2) == table.of("resnet50", "no layer", 1) == []


def test_a_roof_is_of_a_dtype_a_precision_and_threads(table):
    assert table.roof(FIRST) is table.roof(OTHER) is table.roofs[0]
    assert table.roof(HALF) is table.roofs[1]
    for unlike in ({"dtype": "float64"}, {"precision": "tf32"}, {"threads": 2}):
        with pytest.raises(InputError, match=r"the ceilings of a processor in float\d\d were not"):
            table.roof(FIRST._replace(**unlike))


def test_what_is_of_another_device_is_refused(table):
    with pytest.raises(InputError, match=r"times and ceilings of one device; got \['a GPU', 'a processor'\]"):
        LatencyTable((row(), replace(row(), device="a GPU")), table.roofs)
    with pytest.raises(InputError, match=r"got \['a GPU', 'a processor'\]"):
        LatencyTable((row(),), known_table(GPU).roofs)


def test_a_table_without_rows_is_refused(table):
    with pytest.raises(InputError, match="times and ceilings of one device; got none"):
        LatencyTable((), ())
    with pytest.raises(InputError, match="a table holds the times"):
        LatencyTable((), table.roofs)


def test_conditions_are_values():
    assert Conditions(*FIRST) == FIRST and len({FIRST, OTHER, Conditions(*FIRST)}) == 2
