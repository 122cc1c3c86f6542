"""Files hold the old content or the new, never a part."""

import json
from pathlib import Path

import numpy as np
import pytest

from lowrank_kit.checks import InputError
from lowrank_kit.files import read_arrays, read_npz, shipped, write_arrays, write_beside, write_folder, write_rows


def test_a_failed_write_leaves_the_old_file_whole_and_no_part(tmp_path):
    path = tmp_path / "record.json"
    path.write_text("old")

    def fail(part):
        part.write_text("ne")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_beside(path, fail)
    assert path.read_text() == "old"
    assert [*tmp_path.iterdir()] == [path]


def test_a_write_shows_the_old_content_until_it_is_done(tmp_path):
    path = tmp_path / "record.json"
    path.write_text("old")

    def write(part):
        part.write_text("new")
        assert path.read_text() == "old"

    write_beside(path, write)
    assert path.read_text() == "new"
    assert [*tmp_path.iterdir()] == [path]


def test_a_first_write_that_writes_nothing_leaves_nothing(tmp_path):
    with pytest.raises(FileNotFoundError):
        write_beside(tmp_path / "record.json", lambda part: None)
    assert not [*tmp_path.iterdir()]


@pytest.mark.parametrize(
    "array", [np.arange(6.0).reshape(2, 3).T, np.zeros(0), np.array([True, False]), np.arange(9, dtype=np.int32)[::2]]
)
def test_arrays_and_words_come_back_equal(tmp_path, array):
    path = tmp_path / "table.safetensors"
    words = {"name": "層", "shape": [2, 3], "nothing": None}
    write_arrays(path, words, {"a": array, "b": np.ones(2)})
    back, arrays = read_arrays(path)
    assert back == words
    assert {*arrays} == {"a", "b"}
    assert arrays["a"].dtype == array.dtype
    np.testing.assert_array_equal(arrays["a"], array)


@pytest.mark.parametrize("damage", ["missing", "empty", "truncated", "rubbish", "without words"])
def test_a_damaged_file_is_told(tmp_path, damage):
    path = tmp_path / "table.safetensors"
    write_arrays(path, {"name": "x"}, {"a": np.ones(100)})
    whole = path.read_bytes()
    if damage == "missing":
        path.unlink()
    elif damage == "without words":
        from safetensors.numpy import save_file

        save_file({"a": np.ones(3)}, path)
    else:
        path.write_bytes({"empty": b"", "truncated": whole[:-50], "rubbish": b"\x93NUMPY" * 20}[damage])
    with pytest.raises(InputError, match=r"table\.safetensors must be a whole file of arrays; it is damaged"):
        read_arrays(path)


def test_shipped_finds_data_and_tells_what_is_missing():
    assert shipped("data", "mnist-cnn", "card.json").is_file()
    with pytest.raises(InputError, match=r"data/nothing\.npz is missing; install lowrank_kit again"):
        shipped("data", "nothing.npz")


# folders


def names(folder):
    return {path.name: path.read_text() for path in folder.iterdir()}


def written(text):
    return lambda part: (part / "a").write_text(text)


def broken(part):
    (part / "a").write_text("ne")
    raise KeyboardInterrupt


def test_a_folder_is_replaced_as_a_whole(tmp_path):
    path = tmp_path / "deep" / "saved"
    write_folder(path, written("old"))
    (path / "b").write_text("beside")
    write_folder(path, written("new"))
    assert names(path) == {"a": "new"}
    assert [*path.parent.iterdir()] == [path]


@pytest.mark.parametrize("before", [None, "old"])
def test_a_failed_write_leaves_the_old_folder_whole_and_no_part(tmp_path, before):
    path = tmp_path / "saved"
    if before:
        write_folder(path, written(before))
    with pytest.raises(KeyboardInterrupt):
        write_folder(path, broken)
    assert [*tmp_path.iterdir()] == ([path] if before else [])
    assert not before or names(path) == {"a": before}


@pytest.mark.parametrize("which", [1, 2])
def test_a_failed_rename_leaves_the_old_folder_whole_and_no_part(tmp_path, monkeypatch, which):
    path, calls, rename = tmp_path / "saved", [], Path.rename
    write_folder(path, written("old"))

    def failing(self, target):
        calls.append(target)
        if len(calls) == which:
            raise OSError("no")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", failing)
    with pytest.raises(OSError, match="no"):
        write_folder(path, written("new"))
    assert [*tmp_path.iterdir()] == [path]
    assert names(path) == {"a": "old"}


@pytest.mark.parametrize("facts", [{}, {"made": "today", "more": {"a": [1, 2]}}])
@pytest.mark.parametrize("rows", [[], [{"a": 1}, {"a": None, "b": "text"}]])
def test_rows_stand_on_lines_of_their_own(tmp_path, facts, rows):
    path = tmp_path / "new" / "rows.json"
    write_rows(path, facts, rows)
    text = path.read_text(encoding="utf-8")
    assert json.loads(text) == facts | {"rows": rows}
    assert all(json.dumps(row) in (line.strip().rstrip(",") for line in text.splitlines()) for row in rows)


def test_named_arrays_come_back_equal(tmp_path):
    np.savez_compressed(tmp_path / "a.npz", x=np.eye(3), y=np.array(["cat", "dog"]))
    found = read_npz(tmp_path / "a.npz")
    assert list(found) == ["x", "y"]
    np.testing.assert_array_equal(found["x"], np.eye(3))
    assert found["y"].tolist() == ["cat", "dog"]


class Opened:
    """Would leave a file behind if anything made an object of it again."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def test_objects_in_a_file_of_arrays_are_not_made(tmp_path):
    trace = tmp_path / "opened"
    np.savez(tmp_path / "a.npz", x=np.array([Opened(trace)], dtype=object))
    with pytest.raises(InputError, match="it cannot be read"):
        read_npz(tmp_path / "a.npz")
    assert not trace.exists()


@pytest.mark.parametrize("what", ["nothing", "text", "one array", "folder", "cut", "damaged"])
def test_what_is_no_whole_file_of_arrays_is_told(tmp_path, what):
    path = tmp_path / "a.npz"
    np.savez(path, x=np.arange(9000.0))
    whole = path.read_bytes()
    path.unlink()
    if what == "folder":
        path.mkdir()
    elif what == "one array":
        np.save(tmp_path / "a.npy", np.eye(3))
        (tmp_path / "a.npy").rename(path)
    elif what != "nothing":
        middle = whole[:5000] + b"other" + whole[5005:]
        path.write_bytes({"text": b"1, 2", "cut": whole[:5000], "damaged": middle}[what])
    with pytest.raises(InputError, match="must be a file of arrays of numbers or words") as raised:
        read_npz(path)
    assert "\n" not in str(raised.value)
