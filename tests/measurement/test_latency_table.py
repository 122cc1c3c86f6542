"""Tables are read as they were written, and what is no table is refused with its path; every device has its own."""

from dataclasses import fields, replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lowrank_kit.checks import InputError
from lowrank_kit.measurement import latency_table as room
from lowrank_kit.measurement.latency_table import (
    ceilings_name,
    latency_tables,
    read_table,
    table_name,
    write_ceilings,
    write_table,
)
from lowrank_kit.records import Ceilings, RecordedTime
from tests.known_times import CPU, GPU, known_table, write_known

ROW = RecordedTime(
    device="a device",
    driver="",
    torch="2.0",
    date="2024-02-29",
    network="net",
    layer="conv1",
    outputs=64,
    inputs=32,
    kernel=(3, 3),
    size=(28, 28),
    out_size=(14, 14),
    groups=1,
    method="tucker",
    ranks=(8, 4),
    fraction=0.125,
    batch=32,
    dtype="float32",
    precision="ieee",
    layout="contiguous",
    mode="eager",
    threads=1,
    p05_s=1e-6,
    p25_s=2e-6,
    median_s=3e-6,
    p75_s=4e-5,
    p95_s=5.0,
    rounds=101,
    busy=0.25,
    setup_s=0.0,
)
DENSE = replace(ROW, method="dense", ranks=(), fraction=1.0)
NETWORK = replace(DENSE, layer="", outputs=0, inputs=0, kernel=(), size=(), out_size=())

# What names of devices and layers are made of, and what CSV has to put in quotes.
words = st.text(st.characters(categories=("L", "N", "P", "S", "Zs")))


@pytest.fixture
def path(tmp_path):
    return tmp_path / "tables" / "device.csv"


def test_rows_are_read_as_they_were_written(path):
    write_table(path, [ROW, DENSE, NETWORK])
    assert read_table(path) == (ROW, DENSE, NETWORK)
    assert [file.name for file in path.parent.iterdir()] == ["device.csv"]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.builds(lambda device, layer: replace(ROW, device=device, layer=layer), words, words), min_size=1))
def test_any_name_is_read_as_it_was_written(path, rows):
    write_table(path, rows)
    assert read_table(path) == tuple(rows)


def test_a_table_is_text_with_a_line_for_each_row(path):
    write_table(path, [ROW, NETWORK])
    text = path.read_bytes().decode()
    head, first, network = text.splitlines()
    assert head == ",".join(field.name for field in fields(RecordedTime))
    assert first.startswith("a device,,2.0,2024-02-29,net,conv1,64,32,3x3,28x28,14x14,1,tucker,8x4,0.125,32,float32,")
    assert network.startswith("a device,,2.0,2024-02-29,net,,0,0,,,,1,dense,,1,32,float32,")
    assert text.endswith("\n")
    assert "\r" not in text


def test_a_second_writing_takes_the_place_of_the_first(path):
    write_table(path, [ROW, DENSE])
    write_table(path, iter([NETWORK]))
    assert read_table(path) == (NETWORK,)


def test_an_interrupted_writing_leaves_the_table_as_it_was(path, monkeypatch):
    write_table(path, [ROW])

    def interrupted(self, text, **kwargs):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(type(path), "write_text", interrupted)
        write_table(path, [ROW, DENSE])
    assert read_table(path) == (ROW,)
    assert [file.name for file in path.parent.iterdir()] == ["device.csv"]


@pytest.mark.parametrize(
    ("device", "name"),
    [
        ("NVIDIA H100 80GB HBM3", "nvidia-h100-80gb-hbm3.csv"),
        ("Intel(R) Xeon(R) CPU @ 2.20GHz", "intel-r-xeon-r-cpu-2-20ghz.csv"),
        ("arm64", "arm64.csv"),
        ("../../etc/passwd", "etc-passwd.csv"),
    ],
)
def test_a_file_is_named_after_its_device(device, name):
    assert table_name(device) == name


def refused(path):
    with pytest.raises(InputError) as fault:
        read_table(path)
    assert str(path) in str(fault.value)
    return str(fault.value)


def test_a_missing_table_is_refused(path):
    assert "must be a table that `lowrank-kit record-latency` wrote" in refused(path)


@pytest.mark.parametrize("content", [b"\xff\xfe\x00\x01" * 9, b'a,b\n"open,1\n', b'a,b\n"x"y,1\n'])
def test_what_is_no_table_is_refused(path, content):
    path.parent.mkdir()
    path.write_bytes(content)
    assert "must be a table that `lowrank-kit record-latency` wrote; it is not (" in refused(path)


@pytest.mark.parametrize("lines", [["device,median_s", "cpu,1"], ["a,b", "1,2"]])
def test_a_foreign_table_is_refused(path, lines):
    path.parent.mkdir()
    path.write_text("\n".join(lines))
    assert "other columns; missing: [" in refused(path)


def damaged(path, change):
    """The table of two rows with its last line changed."""
    write_table(path, [ROW, DENSE])
    *lines, last = path.read_text().splitlines()
    path.write_text("\n".join([*lines, change(last)]))


@pytest.mark.parametrize("kept", [1, 40, 120])
def test_a_table_that_ends_within_a_line_is_refused(path, kept):
    damaged(path, lambda line: line[:kept])
    assert "has a line that can't be read" in refused(path)


def test_a_line_with_a_value_too_many_is_refused(path):
    damaged(path, lambda line: f"{line},7")
    assert "foreign: [None]" in refused(path)


def test_a_value_that_is_no_number_is_refused(path):
    damaged(path, lambda line: line.replace("3e-06", "soon"))
    assert "has a line that can't be read: could not convert string to float: 'soon'" in refused(path)


def roof(device, dtype="float32", precision="ieee"):
    return Ceilings(device, dtype, precision, 1, "2.0", "2024-02-29", 1e9, ((1e3, 4e9), (1e5, 8e9)), 1e-6, 4)


def keep(folder, device, *roofs, layer="conv1"):
    write_table(folder / table_name(device), [replace(ROW, device=device, layer=layer)])
    for found in roofs:
        write_ceilings(folder / ceilings_name(device, found.dtype, found.precision), found)


def test_all_devices_of_a_folder_are_there_with_their_ceilings(tmp_path):
    write_known(tmp_path, CPU, GPU)
    found = latency_tables([tmp_path])
    assert [table.device for table in found] == ["a GPU", "a processor"]
    for table, known in zip(found, map(known_table, (GPU, CPU)), strict=True):
        assert {(found.dtype, found.precision) for found in table.roofs} == {
            (r.dtype, r.precision) for r in known.roofs
        }
        assert table.conditions == known.conditions
        assert [row.median_s for row in table.rows] == pytest.approx([row.median_s for row in known.rows], rel=1e-5)
        assert set(table.roofs) == set(known.roofs)


def test_ones_own_table_stands_in_the_place_of_a_shipped_one(tmp_path):
    """With its own ceilings, and not those beside the other."""
    own, shipped = tmp_path / "own", tmp_path / "shipped"
    keep(shipped, "b", roof("b"), layer="shipped")
    keep(shipped, "a", roof("a"), roof("a", "bfloat16"), layer="shipped")
    keep(own, "a", replace(roof("a"), macs_per_s=2e9), layer="own")
    keep(own, "c", layer="own")
    found = {table.device: table for table in latency_tables([own, shipped])}
    assert {name: table.rows[0].layer for name, table in found.items()} == {"a": "own", "b": "shipped", "c": "own"}
    assert [(one.dtype, one.macs_per_s) for one in found["a"].roofs] == [("float32", 2e9)]
    assert found["c"].roofs == ()
    assert latency_tables([shipped, own])[0].rows[0].layer == "shipped"


def test_by_default_this_users_folder_comes_before_what_is_shipped(tmp_path, monkeypatch):
    own, shipped = tmp_path / "own", tmp_path / "shipped"
    asked = []
    monkeypatch.setattr(room, "FOLDER", own)
    monkeypatch.setattr(room, "shipped", lambda *parts: asked.append(parts) or shipped)
    keep(shipped, "a", layer="shipped")
    assert [table.rows[0].layer for table in latency_tables()] == ["shipped"]
    keep(own, "a", layer="own")
    assert [table.rows[0].layer for table in latency_tables()] == ["own"]
    assert set(asked) == {("data", "latency")}


def test_where_there_is_no_table_it_says_where_it_looked(tmp_path):
    (tmp_path / "notes.txt").touch()
    with pytest.raises(InputError) as refusal:
        latency_tables([tmp_path, tmp_path / "absent"])
    expected = f"no recorded times in {tmp_path}, {tmp_path / 'absent'}; `lowrank-kit record-latency` records"
    assert str(refusal.value).startswith(expected)
    with pytest.raises(InputError, match="no recorded times in ; "):
        latency_tables([])


def test_devices_whose_names_begin_alike_keep_their_ceilings_apart(tmp_path):
    names = ("AMD EPYC", "AMD EPYC 9B14", "AMD EPYC 9B14 float32", "amd")
    for name in names:
        keep(tmp_path, name, roof(name), roof(name, "bfloat16"), roof(name, "float32", "tf32"))
    found = {table.device: table for table in latency_tables([tmp_path])}
    assert set(found) == set(names)
    for name, table in found.items():
        assert [(one.device, one.dtype, one.precision) for one in table.roofs] == [
            (name, "bfloat16", "ieee"), (name, "float32", "ieee"), (name, "float32", "tf32"),
        ]  # fmt: skip


def test_a_file_of_any_name_finds_its_own_ceilings_alone(tmp_path):
    """Which no pattern of a name can be taken for."""
    keep(tmp_path, "a")
    (tmp_path / "a.csv").rename(tmp_path / "a+(b.csv")
    write_ceilings(tmp_path / "a+(b-float32-ieee.json", roof("a"))
    write_ceilings(tmp_path / "aa-float32-ieee.json", roof("another"))
    (found,) = latency_tables([tmp_path])
    assert found.roofs == (roof("a"),)


def unread(folder):
    with pytest.raises(InputError) as refusal:
        latency_tables([folder])
    return str(refusal.value)


def test_ceilings_of_another_device_are_refused(tmp_path):
    keep(tmp_path, "a", roof("another"))
    path = tmp_path / "a-float32-ieee.json"
    assert unread(tmp_path) == f"{path} holds the ceilings of another, not of a; delete it to measure anew."


def test_damaged_ceilings_are_refused(tmp_path):
    keep(tmp_path, "a", roof("a"))
    path = tmp_path / "a-float32-ieee.json"
    path.write_text(path.read_text()[:40])
    assert unread(tmp_path).startswith(f"{path} must hold ceilings that were measured; delete it")


def test_a_damaged_a_foreign_and_an_empty_table_are_refused(tmp_path):
    keep(tmp_path, "a")
    path = tmp_path / "a.csv"
    whole = path.read_text()
    for text, words in (
        (whole[:-30], "has a line that can't be read"),
        ("a,b\n1,2\n", "has other columns"),
        (whole.splitlines()[0] + "\n", "must hold recorded times; it has none"),
        ("", "has other columns"),
    ):
        path.write_text(text)
        assert words in unread(tmp_path) and str(path) in unread(tmp_path)


def test_rows_of_two_devices_are_no_table(tmp_path):
    write_table(tmp_path / "a.csv", [ROW, replace(ROW, device="b")])
    assert "one device; got ['a device', 'b']" in unread(tmp_path)


def test_ceilings_stand_beside_the_table_of_their_device():
    assert ceilings_name("A (b) 1.2GHz", "bfloat16", "ieee") == "a-b-1-2ghz-bfloat16-ieee.json"
