"""Tables are read as they were written, and what is no table is refused with its path."""

from dataclasses import fields, replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lowrank_kit.checks import InputError
from lowrank_kit.measurement.latency_table import read_table, table_name, write_table
from lowrank_kit.records import RecordedTime

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
